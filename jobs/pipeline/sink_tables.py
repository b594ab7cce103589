"""The sinks: one per kind of record and delivery guarantee, keyed and valued by raw bytes."""

from __future__ import annotations

from pyflink.table import DataTypes, Schema, TableDescriptor

from jobs.pipeline.config import Deployment
from jobs.pipeline.kafka_options import producer_options
from udfs.outputs import Sink

_GUARANTEE = {"exactly-once": "exactly-once", "at-least-once": "at-least-once", "best-effort": "none"}


def sink_table(deployment: Deployment, sink: Sink) -> TableDescriptor:
    """Describe one sink.

    The transaction timeout must stay above checkpoint interval plus the longest restart and below the broker's
    maximum (15 min by default): when it expires in between, the transaction is lost although Flink believes it done.
    """
    topic = getattr(deployment.topics, sink.kind.value)
    schema = Schema.new_builder().column("key", DataTypes.BYTES()).column("record", DataTypes.BYTES()).build()
    options = {
        **producer_options(deployment),
        "topic": topic.name,
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": _GUARANTEE[sink.delivery],
    }
    if sink.delivery == "exactly-once":
        options["sink.transactional-id-prefix"] = f"meridian-{deployment.name}-{sink.name}"
        options["properties.transaction.timeout.ms"] = str(deployment.kafka.transaction_timeout)
    descriptor = TableDescriptor.for_connector("kafka").schema(schema)
    for name, value in options.items():
        descriptor = descriptor.option(name, value)
    return descriptor.build()

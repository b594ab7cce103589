"""The sinks: one per kind of record and delivery guarantee, keyed and valued by raw bytes."""

from __future__ import annotations

from pyflink.table import DataTypes, Schema, TableDescriptor

from jobs.pipeline.config import Deployment
from jobs.pipeline.kafka_options import common_options
from udfs.outputs import Sink

_GUARANTEE = {"exactly-once": "exactly-once", "at-least-once": "at-least-once", "best-effort": "none"}


def sink_table(deployment: Deployment, sink: Sink) -> TableDescriptor:
    """Describe one sink."""
    topic = getattr(deployment.topics, sink.kind.value)
    return bytes_sink(deployment, topic.name, sink.name, _GUARANTEE[sink.delivery])


def bytes_sink(deployment: Deployment, topic: str, name: str, guarantee: str) -> TableDescriptor:
    """Describe a sink of this job or the grid job; `name` tells its transactions from those of the job's other sinks.

    The transaction timeout must stay above checkpoint interval plus the longest restart and below the broker's
    maximum (15 min by default): when it expires in between, the transaction is lost although Flink believes it done.

    A broker that hangs counts as gone after 10 s. Kafka's 30 s pass once in each transaction that has to be opened, one
    after the other, and held a checkpoint up for minutes while one of three brokers was frozen (docs/faults.md). What
    is asked again is written once all the same: the producers are idempotent.
    """
    schema = Schema.new_builder().column("key", DataTypes.BYTES()).column("record", DataTypes.BYTES()).build()
    options = {
        # Defaults: the deployment's own properties of these names win.
        "properties.compression.type": "lz4",
        "properties.linger.ms": "20",
        "properties.batch.size": "262144",
        "properties.request.timeout.ms": "10000",
        **common_options(deployment),
        "topic": topic,
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": guarantee,
        "properties.max.request.size": "16777216",
    }
    if guarantee == "exactly-once":
        options["sink.transactional-id-prefix"] = f"meridian-{deployment.name}-{name}"
        options["properties.transaction.timeout.ms"] = str(deployment.kafka.transaction_timeout)
    descriptor = TableDescriptor.for_connector("kafka").schema(schema)
    for option, value in options.items():
        descriptor = descriptor.option(option, value)
    return descriptor.build()

"""The topics of the grid job as tables: aligned readings with their watermark made in the JVM, and the sinks."""

from __future__ import annotations

from pyflink.table import DataTypes, Schema, TableDescriptor

from jobs.pipeline.grid_config import GridDeployment, Source
from jobs.pipeline.kafka_options import common_options
from jobs.pipeline.raw_table import APPEND_MS, span_options
from jobs.pipeline.sink_tables import bytes_sink
from udfs.grid.outputs import Kind

# Not JSON_VALUE, which parses the whole record. A quote within a JSON text is escaped, so this is a key, and the
# record's own one comes first.
_EVENT_MS = """TRY_CAST(REGEXP_EXTRACT(CAST(`value` AS STRING), '"event_time_ms": ?(-?[0-9]{1,15})', 1) AS BIGINT)"""


def aligned_table(deployment: GridDeployment, source: Source) -> TableDescriptor:
    """Describe a topic of aligned readings; times that passed the align job move the watermark."""
    schema = (
        Schema.new_builder()
        .column("value", DataTypes.BYTES())
        .column_by_metadata("append_time", DataTypes.TIMESTAMP_LTZ(3), "timestamp", True)
        .column_by_metadata("partition", DataTypes.INT(), "partition", True)
        .column_by_metadata("offset", DataTypes.BIGINT(), "offset", True)
        .column_by_expression("append_ms", APPEND_MS)
        .watermark("append_time", f"TO_TIMESTAMP_LTZ({_EVENT_MS} - {source.out_of_orderness + 1}, 3)")
        .build()
    )
    options = {
        **common_options(deployment),
        "topic": source.topic,
        "properties.group.id": f"meridian-{deployment.name}-{source.name}",
        "properties.isolation.level": "read_committed",
        **span_options(source.start or deployment.kafka.start, source.stop),
        "value.format": "raw",
        **_alignment(deployment),
    }
    if source.stop is None:  # in history no partition is idle: it is behind, or at its end
        options["scan.watermark.idle-timeout"] = f"{source.idle_after} ms"
    descriptor = TableDescriptor.for_connector("kafka").schema(schema)
    for name, value in options.items():
        descriptor = descriptor.option(name, value)
    return descriptor.build()


def grid_sink_table(deployment: GridDeployment, kind: Kind) -> TableDescriptor:
    """Describe a sink."""
    return bytes_sink(deployment, getattr(deployment.topics, kind.value).name, kind.value, "exactly-once")


def _alignment(deployment: GridDeployment) -> dict[str, str]:
    if deployment.alignment is None:
        return {}
    return {
        "scan.watermark.alignment.group": f"meridian-{deployment.name}",
        "scan.watermark.alignment.max-drift": f"{deployment.alignment.max_drift} ms",
        "scan.watermark.alignment.update-interval": f"{deployment.alignment.interval} ms",
    }

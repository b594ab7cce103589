"""The raw topic as a table: value, key, provenance, headers, and the watermark made in the JVM per Kafka partition.

PyFlink's DataStream Kafka source hands over the value only and a Python timestamp assigner costs a crossing per
record, so the source is a Table connector and its watermark is declared here
(https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/connectors/table/kafka/).
"""

from __future__ import annotations

from pyflink.table import DataTypes, Schema, TableDescriptor

from jobs.pipeline.config import Deployment
from jobs.pipeline.kafka_options import common_options
from udfs.align import ENVELOPE_HEADERS
from udfs.event_time import MICROSECONDS_BELOW, MILLISECONDS_BELOW, SECONDS_BELOW

# The header decides; a foreign producer without it is read by its value. TRY_CAST gives NULL for what is no number.
_HEADER_MS = "TRY_CAST(CAST(headers['event_timestamp'] AS STRING) AS BIGINT)"
_VALUE_TEXT = "JSON_VALUE(CAST(`value` AS STRING), '$.event_time')"

# Bands of magnitude as in udfs.event_time: seconds, milliseconds, microseconds, nanoseconds.
_NUMBER = f"TRY_CAST({_VALUE_TEXT} AS DOUBLE)"
_NUMBER_MS = f"""CAST(CASE
    WHEN ABS({_NUMBER}) < {SECONDS_BELOW} THEN {_NUMBER} * 1e3
    WHEN ABS({_NUMBER}) < {MILLISECONDS_BELOW} THEN {_NUMBER}
    WHEN ABS({_NUMBER}) < {MICROSECONDS_BELOW} THEN {_NUMBER} / 1e3
    ELSE {_NUMBER} / 1e6 END AS BIGINT)"""

# ISO 8601 with Z or an offset; a naive text gives NULL: it moves nothing, since only Python knows the stream's zone.
_ZONE = r"([Zz]|[+-][0-9]{2}:?[0-9]{2})$"
_LOCAL = f"TRY_CAST(REPLACE(REGEXP_REPLACE({_VALUE_TEXT}, '{_ZONE}', ''), 'T', ' ') AS TIMESTAMP(3))"
_SIGN = f"CASE WHEN REGEXP({_VALUE_TEXT}, '-[0-9]{{2}}:?[0-9]{{2}}$') THEN -1 ELSE 1 END"
_OFFSET = f"REGEXP_EXTRACT({_VALUE_TEXT}, '[+-]([0-9]{{2}}):?([0-9]{{2}})$', "
_OFFSET_MS = (
    f"(COALESCE(TRY_CAST({_OFFSET} 1) AS BIGINT), 0) * 3600000 + COALESCE(TRY_CAST({_OFFSET} 2) AS BIGINT), 0) * 60000)"
)
_ISO_MS = f"""CASE WHEN REGEXP({_VALUE_TEXT}, '{_ZONE}') THEN
    TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', {_LOCAL}) * CAST(1000 AS BIGINT)
    + EXTRACT(MILLISECOND FROM {_LOCAL})
    - ({_SIGN}) * {_OFFSET_MS}
    END"""
CLAIMED_MS = f"""CASE
    WHEN headers['event_timestamp'] IS NOT NULL THEN {_HEADER_MS}
    WHEN {_NUMBER} IS NOT NULL THEN {_NUMBER_MS}
    ELSE {_ISO_MS} END"""
APPEND_MS = (
    "(EXTRACT(EPOCH FROM append_time) * CAST(1000 AS BIGINT) + CAST(EXTRACT(MILLISECOND FROM append_time) AS BIGINT))"
)


def raw_table(deployment: Deployment) -> TableDescriptor:
    """Describe the raw topic.

    The watermark is `max event time - out-of-orderness - 1 ms` over the times that pass the guard: from the floor, up
    to `max_future` ahead of Kafka's append time, not older than the longest `max_age`. The guard measures against the
    append time because a foreign clock can forge the ingest header. A NULL watermark expression moves nothing.
    """
    time = deployment.time
    oldest_ms = max(s.max_age for s in deployment.streams)
    guard = (
        f"claimed_ms >= {time.floor} AND claimed_ms <= append_ms + {time.max_future} "
        f"AND claimed_ms >= append_ms - {oldest_ms}"
    )
    schema = (
        Schema.new_builder()
        .column("value", DataTypes.BYTES())
        .column("key", DataTypes.BYTES())
        .column_by_metadata("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()), "headers", True)
        .column_by_metadata("append_time", DataTypes.TIMESTAMP_LTZ(3), "timestamp", True)
        .column_by_metadata("partition", DataTypes.INT(), "partition", True)
        .column_by_metadata("offset", DataTypes.BIGINT(), "offset", True)
        .column_by_expression("append_ms", APPEND_MS)
        .column_by_expression("claimed_ms", CLAIMED_MS)
        .column_by_expression("rowtime", f"TO_TIMESTAMP_LTZ(COALESCE({CLAIMED_MS}, {APPEND_MS}), 3)")
        .watermark(
            "rowtime",
            f"CASE WHEN {guard} THEN TO_TIMESTAMP_LTZ(claimed_ms - {time.out_of_orderness + 1}, 3) END",
        )
        .build()
    )
    descriptor = TableDescriptor.for_connector("kafka").schema(schema)
    options = {
        **common_options(deployment),
        "topic": deployment.topics.raw.name,
        "properties.group.id": f"meridian-{deployment.name}",
        "properties.isolation.level": "read_committed",
        "scan.startup.mode": f"{deployment.kafka.start}-offset",
        "scan.watermark.emit.strategy": "on-event" if deployment.time.watermarks == "on-event" else "on-periodic",
        "scan.watermark.idle-timeout": f"{deployment.time.idle_after} ms",
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
    }
    for name, value in options.items():
        descriptor = descriptor.option(name, value)
    return descriptor.build()


def align_arguments(attribute_headers: tuple[str, ...]) -> str:
    """The columns of `udfs.flink.align.AlignBatch`, in its order."""
    headers = [f"headers['{name}']" for name in ENVELOPE_HEADERS + attribute_headers]
    columns = ["`value`", "`key`", "`partition`", "`offset`", "append_ms", *headers]
    return ", ".join(f"{column} AS c{i}" for i, column in enumerate(columns))

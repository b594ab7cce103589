"""The raw topic as a table: value, key, provenance, headers, and the watermark made in the JVM per Kafka partition.

PyFlink's DataStream Kafka source hands over the value only and a Python timestamp assigner costs a crossing per
record, so the source is a Table connector and its watermark is declared here
(https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/connectors/table/kafka/).
"""

from __future__ import annotations

from pyflink.table import DataTypes, Schema, TableDescriptor

from jobs.pipeline.config import Deployment, Offsets
from jobs.pipeline.kafka_options import common_options, source_group
from udfs.align import ENVELOPE_HEADERS

# No expression can be given a name in a table's watermark: each mention of one is generated and evaluated anew, and
# beyond some size the generated code is cut into hundreds of methods that the JIT compiler works on for minutes. So the
# usual case comes first and is cheap, what parses JSON (microseconds a record) is mentioned as seldom as can be, and
# nothing is mentioned twice within itself. A claim that cannot be read is NULL; a NULL claim moves nothing.
_BODY = "CAST(`value` AS STRING)"
_TIME = f"JSON_VALUE({_BODY}, '$.event_time')"
_HEADER = "CAST(headers['event_timestamp'] AS STRING)"
_HEADER_MS = f"TRY_CAST({_HEADER} AS BIGINT)"
_HEADER_SECONDS = f"SUBSTRING({_HEADER} FROM 1 FOR 10)"
_IS_NO_JSON = f"LEFT(LTRIM({_BODY}), 1) <> '{{'"  # Avro, or what decode refuses

# From 2001-09-09 to 2286 an epoch in s, ms, µs or ns has 10, 13, 16 or 19 digits, and its first 13 are milliseconds.
# Older times move nothing unless they come with a header.
_DECIMAL = f"CAST(TRY_CAST({_TIME} AS DECIMAL(38, 9)) AS STRING)"
_DIGITS = f"REPLACE(REGEXP_EXTRACT({_DECIMAL}, '^[0-9]{{10}}([0-9]{{3}}){{0,3}}[.][0-9]+', 0), '.', '')"
_NUMBER_MS = f"TRY_CAST(LEFT({_DIGITS}, 13) AS BIGINT)"

# ISO 8601 down to the second; without Z or an offset only Python knows the zone.
_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))"
_DATE = f"[0-9]{{4}}-{_DAY}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]"
_NAIVE = f"^{_DATE}(:[0-5][0-9]([.,][0-9]+)?)?$"
_AWARE = f"^{_DATE}:[0-5][0-9]([.,][0-9]+)?([Zz]|[+-][0-9]{{2}}:?[0-9]{{2}})$"
_PLAIN = (
    f"REGEXP_REPLACE(UPPER(REPLACE(REGEXP_EXTRACT({_TIME}, '{_AWARE}', 0), ' ', 'T')), "
    "'[.,][0-9]+|:(?=[0-9]{2}$)', '')"
)
_ISO_MS = f"UNIX_TIMESTAMP({_PLAIN}, 'yyyy-MM-dd''T''HH:mm:ssXX') * 1000"

_VALUE_MS = f"COALESCE({_NUMBER_MS}, {_ISO_MS})"
# A header that contradicts its value by a second or more makes the reading invalid and must not move the watermark.
# An epoch in any unit begins with the header's seconds; a text without its milliseconds can be a second behind. Without
# a time to compare with, the header stands alone.
_IS_BELIEVED = f"""RIGHT(REGEXP_SUBSTR({_BODY}, '"event_time": ?[0-9]{{10}}'), 10) = {_HEADER_SECONDS}
    OR {_IS_NO_JSON}
    OR COALESCE(ABS({_VALUE_MS} - {_HEADER_MS}) < 1000, REGEXP(COALESCE({_TIME}, '2000-01-01T00:00'), '{_NAIVE}'))"""
APPEND_MS = (
    "(EXTRACT(EPOCH FROM append_time) * CAST(1000 AS BIGINT) + CAST(EXTRACT(MILLISECOND FROM append_time) AS BIGINT))"
)


def claimed_ms(latest_ms: str) -> str:
    """The event time that a raw record claims, in epoch ms, as SQL; NULL for none, a broken or a too late one.

    Parameters
    ----------
    latest_ms : SQL of the latest time to believe.
    """
    return f"""CASE
        WHEN headers['event_timestamp'] IS NULL THEN CASE WHEN {_VALUE_MS} <= {latest_ms} THEN {_VALUE_MS} END
        WHEN {_HEADER_MS} <= {latest_ms} AND ({_IS_BELIEVED}) THEN {_HEADER_MS}
        END"""


def raw_table(deployment: Deployment) -> TableDescriptor:
    """Describe the raw topic.

    The watermark is `max event time - out-of-orderness - 1 ms` over the times that pass the guard: up to `max_future`
    ahead of Kafka's append time, since a foreign clock can forge the ingest header. Times that are too old pass: they
    are below the maximum, and so move nothing. A NULL watermark expression moves nothing either. The append time is the
    time attribute's column only because one is needed: readings carry their own times in frames.
    """
    claimed = claimed_ms(f"{APPEND_MS} + {deployment.time.max_future}")
    schema = (
        Schema.new_builder()
        .column("value", DataTypes.BYTES())
        .column("key", DataTypes.BYTES())
        .column_by_metadata("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()), "headers", True)
        .column_by_metadata("append_time", DataTypes.TIMESTAMP_LTZ(3), "timestamp", True)
        .column_by_metadata("partition", DataTypes.INT(), "partition", True)
        .column_by_metadata("offset", DataTypes.BIGINT(), "offset", True)
        .column_by_expression("append_ms", APPEND_MS)
        .watermark("append_time", f"TO_TIMESTAMP_LTZ({claimed} - {deployment.time.out_of_orderness + 1}, 3)")
        .build()
    )
    descriptor = TableDescriptor.for_connector("kafka").schema(schema)
    options = {
        **common_options(deployment),
        "topic": deployment.topics.raw.name,
        "properties.group.id": source_group(deployment),
        "properties.isolation.level": "read_committed",
        **span_options(deployment.kafka.start, deployment.kafka.stop),
        "scan.watermark.emit.strategy": "on-event" if deployment.time.watermarks == "on-event" else "on-periodic",
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
    }
    if deployment.kafka.stop is None:  # in history no partition is idle: it is behind, or at its end
        options["scan.watermark.idle-timeout"] = f"{deployment.time.idle_after} ms"
    for name, value in options.items():
        descriptor = descriptor.option(name, value)
    return descriptor.build()


def span_options(start: str | Offsets, stop: Offsets | None) -> dict[str, str]:
    """Where reading begins, and where it ends if it does."""
    if isinstance(start, str):
        options = {"scan.startup.mode": f"{start}-offset"}
    else:
        options = {"scan.startup.mode": "specific-offsets", "scan.startup.specific-offsets": _places(start)}
    if stop is not None:
        options |= {"scan.bounded.mode": "specific-offsets", "scan.bounded.specific-offsets": _places(stop)}
    return options


def _places(offsets: Offsets) -> str:
    return ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(offsets.items()))


def align_arguments(attribute_headers: tuple[str, ...]) -> str:
    """The columns of `udfs.flink.align.AlignBatch`, in its order."""
    headers = [f"headers['{name}']" for name in ENVELOPE_HEADERS + attribute_headers]
    columns = ["`value`", "`key`", "`partition`", "`offset`", "append_ms", *headers]
    return ", ".join(f"{column} AS c{i}" for i, column in enumerate(columns))

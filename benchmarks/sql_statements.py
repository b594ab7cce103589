"""The SQL of `meridian bench sql`: an hourly summary of each sensor over the aligned topic, exactly-once.

*sql* runs in the JVM alone; *sql-crs* also moves every reading with TO_CRS and gives its mean position.

What was tried, on two cores with ten to twenty other processes, in CPU seconds per million of 3 M readings (as it is,
the statement gave 6.3 and 7.4 in a row, so smaller differences are none): one-phase aggregation 8.3, heap instead of
RocksDB state 7.2, the JSON reader that builds a tree 6.2, larger fetches without checksums 5.8. So the planner's
defaults stay: two-phase window aggregation, which touches state once per key and flush, and the reader that skips
what the table does not name. Mini-batches do not concern window table functions; object reuse and Arrow batches are
the cluster's.
"""

from __future__ import annotations

from typing import Literal

SqlWork = Literal["sql", "sql-crs"]
WORKS: tuple[SqlWork, ...] = ("sql", "sql-crs")

HOUR_MS = 3_600_000
TARGET_CRS = "EPSG:3035"
# The workload delays readings by two hours; the plain loop that fills the topic reads raw partitions unevenly, besides.
MAX_LATENESS_MIN = 180

_SETTINGS = {
    "table.local-time-zone": "UTC",
    "table.dml-sync": "false",
    "execution.checkpointing.interval": "10 s",
}

_ALIGNED = """
CREATE TEMPORARY TABLE aligned (
    sensor_id STRING, metric STRING, unit STRING, `value` DOUBLE, event_time_ms BIGINT, {further}
    event_time AS TO_TIMESTAMP_LTZ(event_time_ms, 3),
    WATERMARK FOR event_time AS event_time - INTERVAL '{lateness}' MINUTE(3)
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '{bootstrap}',
    'properties.isolation.level' = 'read_committed',
    'topic' = '{topic}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'value.format' = 'json'
)
"""

_SUMMARIES = """
CREATE TEMPORARY TABLE summaries (
    sensor_id STRING, metric STRING, unit STRING, window_start_ms BIGINT, `count` BIGINT, mean DOUBLE, `min` DOUBLE,
    `max` DOUBLE, std DOUBLE, x DOUBLE, y DOUBLE
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '{bootstrap}',
    'properties.compression.type' = 'lz4',
    'topic' = '{output}',
    'key.format' = 'json',
    'key.fields' = 'sensor_id;metric;window_start_ms',
    'value.format' = 'json',
    'sink.delivery-guarantee' = 'exactly-once',
    'sink.transactional-id-prefix' = '{output}',
    'properties.transaction.timeout.ms' = '600000'
)
"""

_MOVED = """
CREATE TEMPORARY VIEW readings AS
SELECT sensor_id, metric, unit, `value`, event_time, TO_CRS(lon_deg, lat_deg, 'EPSG:4326', '{crs}') AS place
FROM aligned
"""

_SUMMARISE = """
INSERT INTO summaries
SELECT
    sensor_id, metric, unit, EXTRACT(EPOCH FROM window_start) * 1000,
    COUNT(*), AVG(`value`), MIN(`value`), MAX(`value`), STDDEV_POP(`value`), {place}
FROM TABLE(TUMBLE(TABLE {table}, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY sensor_id, metric, unit, window_start, window_end
"""


def output_of(prefix: str) -> str:
    """The topic of a variant's summaries."""
    return f"{prefix}.summaries"


def script(work: SqlWork, bootstrap: str, topic: str, output: str, name: str, functions: str = "") -> str:
    """Write the script that the SQL client is given.

    Parameters
    ----------
    functions
        The text of `sql/02_functions.sql`, for *sql-crs*.
    """
    settings = _SETTINGS | {"pipeline.name": name}
    # Kafka tables push no projection down: what is declared is parsed, read or not.
    further = "lon_deg DOUBLE, lat_deg DOUBLE," if work == "sql-crs" else ""
    given = {
        "bootstrap": bootstrap,
        "topic": topic,
        "output": output,
        "crs": TARGET_CRS,
        "lateness": MAX_LATENESS_MIN,
        "further": further,
    }
    statements = [f"SET '{key}' = '{value}'" for key, value in settings.items()]
    statements += [_ALIGNED.format(**given), _SUMMARIES.format(**given)]
    if work == "sql-crs":
        statements += [_MOVED.format(**given), _SUMMARISE.format(place="AVG(place.x), AVG(place.y)", table="readings")]
    else:
        nowhere = "CAST(NULL AS DOUBLE), CAST(NULL AS DOUBLE)"
        statements.append(_SUMMARISE.format(place=nowhere, table="aligned"))
    return functions + "".join(f"{statement.strip()};\n" for statement in statements)

"""The work *windows* in Spark structured streaming, local mode with two cores, less the late topic.

    python -m benchmarks.spark_job --bootstrap … --raw … --work windows --out-prefix …

JSON, windows and watermark are Spark's own, the CRS is a vectorised (pandas) function. Spark drops late readings
without a word, so there is no late topic (`benchmarks.oracle --no-late-topic`), and its Kafka sink is at-least-once.
The run is one `availableNow` query in micro-batches; the watermark moves between them. Needs Java, and at the first
start the network for the Kafka connector.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from argparse import Namespace
from datetime import datetime

import pandas as pd
import psutil
import pyspark
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f

from benchmarks.broker_io import create_topics, end_offsets, make_consumer
from benchmarks.measure import TreeMeter
from benchmarks.positions import Positions
from benchmarks.report import Result, parser_of
from benchmarks.settings import METRICS, OUT_OF_ORDERNESS_MS, WINDOWS, Topics

_DEFINITION = WINDOWS["windows"][0]
_BATCH = 500_000
_READING = (
    "event_id STRING, sensor_id STRING, metric STRING, value DOUBLE, unit STRING, "
    "event_time BIGINT, x DOUBLE, y DOUBLE, crs STRING"
)


def locate(crs: pd.Series, x: pd.Series, y: pd.Series) -> pd.DataFrame:
    """Positions of a batch; the cache lives as long as the worker process."""
    known = globals().setdefault("_positions", Positions())
    places = [known.locate(*place)[:4] for place in zip(crs, x, y, strict=True)]
    return pd.DataFrame(places, columns=["lon_deg", "lat_deg", "x", "y"])


def session() -> SparkSession:
    package = f"org.apache.spark:spark-sql-kafka-0-10_2.13:{pyspark.__version__}"
    os.environ["PYSPARK_PYTHON"] = sys.executable  # and not the first python3 of the path
    spark: SparkSession = (
        SparkSession.builder.master("local[2]")
        .appName("bench-windows")
        .config("spark.jars.packages", package)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def of_metric(values: dict[str, str]) -> Column:
    """Look up a property of a metric by its name."""
    entries = [f.lit(text) for pair in values.items() for text in pair]
    return f.create_map(*entries)[f.col("metric")]


def windows(raw: DataFrame) -> DataFrame:
    """Window results with the fields of the job's contract."""
    located = f.pandas_udf(locate, "lon_deg DOUBLE, lat_deg DOUBLE, x DOUBLE, y DOUBLE")
    readings = (
        raw.select(f.from_json(f.col("value").cast("string"), _READING).alias("r"))
        .select("r.*")
        .where("sensor_id IS NOT NULL")
        .withColumn("place", located("crs", "x", "y"))
        .withColumn("moment", f.timestamp_millis("event_time"))
        .withWatermark("moment", f"{OUT_OF_ORDERNESS_MS} milliseconds")
    )
    span = f.window("moment", f"{_DEFINITION.size_ms} milliseconds").alias("span")
    folded = readings.groupBy(span, "sensor_id", "metric").agg(
        f.count("value").alias("count"),
        f.avg("value").alias("mean"),
        f.min("value").alias("min"),
        f.max("value").alias("max"),
        f.stddev_pop("value").alias("std"),
        f.min_by("value", "event_time").alias("first"),
        f.min("event_time").alias("first_event_time_ms"),
        f.max_by("value", "event_time").alias("last"),
        f.max("event_time").alias("last_event_time_ms"),
        *(f.avg(f"place.{name}").alias(name) for name in ("lon_deg", "lat_deg", "x", "y")),
    )
    return folded.select(
        of_metric({name: metric.stream for name, metric in METRICS.items()}).alias("stream"),
        f.lit(_DEFINITION.name).alias("definition"),
        f.lit("sensor").alias("key_kind"),
        f.col("sensor_id").alias("key"),
        "metric",
        of_metric({name: metric.unit for name, metric in METRICS.items()}).alias("unit"),
        f.unix_millis("span.start").alias("window_start_ms"),
        f.unix_millis("span.end").alias("window_end_ms"),
        *("count", "mean", "min", "max", "std"),
        *("first", "first_event_time_ms", "last", "last_event_time_ms"),
        f.lit(1).alias("sensors"),
        *("lon_deg", "lat_deg", "x", "y"),
        f.lit("on_time").alias("timing"),
        f.lit(1).alias("revision"),
        f.col("last_event_time_ms").alias("max_event_time_ms"),
        f.unix_millis(f.current_timestamp()).alias("emitted_at_ms"),
    )


def run(given: Namespace, checkpoints: str) -> Result:
    consumer = make_consumer(given.bootstrap, given.group)
    records = sum(end_offsets(consumer, given.raw).values())
    consumer.close()
    with TreeMeter(lambda: [psutil.Process()]) as meter:
        spark = session()
        raw = (
            spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", given.bootstrap)
            .option("subscribe", given.raw)
            .option("startingOffsets", "earliest")
            .option("maxOffsetsPerTrigger", _BATCH)
            .load()
        )
        cpu_before_s = meter.cpu_s()
        query = (
            windows(raw)
            .select(f.col("key").cast("binary").alias("key"), f.to_json(f.struct("*")).alias("value"))
            .writeStream.format("kafka")
            .option("kafka.bootstrap.servers", given.bootstrap)
            .option("topic", Topics(given.out_prefix).windows)
            .option("checkpointLocation", checkpoints)
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        ended_s = time.time()
        began_s = datetime.fromisoformat(query.recentProgress[0].timestamp).timestamp()
        cpu_s = meter.cpu_s()
        spark.stop()
    return Result("spark", given.work, records, began_s, ended_s, cpu_s - cpu_before_s, cpu_s, meter.peak_rss_mb)


def main() -> None:
    given = parser_of("Spark structured streaming, local mode.", ("windows",)).parse_args()
    create_topics(given.bootstrap, Topics(given.out_prefix).all, 4)
    with tempfile.TemporaryDirectory() as checkpoints:
        print(run(given, checkpoints).line())


if __name__ == "__main__":
    main()

"""Meridian: environmental sensor telemetry aligned in time and in space, on Kafka and Apache Flink."""

__version__ = "0.1.0"

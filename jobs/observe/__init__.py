"""What Prometheus sees beside Flink's own page: bridges, topics and probes. docs/metrics.md lists all of it."""

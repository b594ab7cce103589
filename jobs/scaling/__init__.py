"""How many subtasks a job runs with: what fits, and when it should be more or fewer (docs/scaling-out.md).

`limits` says which parallelisms fit, `policy` decides, `figures` is what it decides on (all pure), and `reader` gets
that from Flink and Kafka.
"""

"""The cold store: files of Kafka records that a bridge's breaker diverted, and their way back to the raw topic.

`record` is a line of a file, `layout` names and finds files, `store` writes them while a bridge runs, `fate` says what
the job would do with a record now, and `reingest` sends files again.
"""

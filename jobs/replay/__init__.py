"""Sends a user's own file as readings, and dead letters again as what they were.

`mapping` is the mapping file, `source` reads rows with their line numbers, `convert` turns rows into readings and
`envelope` readings into Kafka records; `dead_letters` turns DLQ records into raw records. Only `jobs.cli` sends them.
"""

"""Sends a user's own file as readings: a mapping says which column is which field.

`mapping` is the mapping file, `source` reads rows with their line numbers, `convert` turns rows into readings and
`envelope` readings into Kafka records; only `jobs.cli.replay` sends them.
"""

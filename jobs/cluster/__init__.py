"""Talking to a Flink cluster: packages, submission, REST."""

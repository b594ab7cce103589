"""A seeded network of stations whose readings, faults and fates are known beforehand.

`network` says who measures what and where, `schedule` when each record is sent, `poison` what is wrong with some,
`render` turns rows into bytes, `ledger` writes down what must become of each; only `produce` knows Kafka.
"""

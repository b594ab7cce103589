"""Proves from the topics alone that every reading became exactly one thing, and that the windows say what they hold.

`intake` turns records into columns, `classes`, `windows` and `ledger` judge the columns, `report` adds up; only
`topics` knows Kafka. Windows are folded by code of their own: the audit shares no arithmetic with the job.
"""

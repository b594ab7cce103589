"""Compares what streaming said of a day with what a batch run over the same raw records says, row by row.

`rows` keeps the final row of each key, `compare` finds the rows that differ, `explain` says why from the readings and
from what streaming called late, `report` adds up. None of them knows Kafka; `day` brings
them together.
"""

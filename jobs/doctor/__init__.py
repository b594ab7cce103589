"""Says what is wrong with a running deployment, and what to change.

`flink`, `kafka` and `machine` collect facts (`facts`); `job`, `checkpoints`, `source`, `topics` and `surroundings` hold
the checks, each a pure function of a snapshot of facts; `diagnose` runs them and ranks what they find.
"""

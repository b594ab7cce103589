"""What the fault tests of the job are made of.

`feed` sends seeded readings for as long as a scenario lasts, `readers` sees what is committed meanwhile and when,
`processes` says what can be killed, `run` puts a job between them and states the laws at the end, `report` makes the
table. What must become of each reading is worked out by `benchmarks.oracle`, which shares no code with the job.
"""

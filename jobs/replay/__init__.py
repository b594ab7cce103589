"""Sends a user's own file as readings, and puts right what was refused or late.

`mapping` is the mapping file, `source` reads rows with their line numbers, `convert` turns rows into readings and
`envelope` readings into Kafka records. `dead_letters` turns DLQ records into raw records: `selection` chooses them by
their `content`, `edits` is the file of edits and `edit` applies it, `forecast` says what the job would make of them,
`rerun` is one run over them, `pace` how fast it may go, `history` how one reading got where it is. `late` says which
windows late readings have missed, `recompute` folds them again. Kafka is known to `resend` and `late_topics` only.
"""

"""The align job over history, into topics of a further version, and the pointer that says which version counts.

`deployment` derives the deployment of a version, `outputs` keeps the versions and the pointer in a compacted topic,
`run` submits and waits. See docs/reprocess.md for what is promised.
"""

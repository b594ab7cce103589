"""Sizes a deployment from what is known before it runs: pure arithmetic on measured constants, each step to be read.

`inputs` is what a person knows, `constants` what was measured, `plan` puts the parts together (`times`, `state`,
`checkpoints`, `capacity`, `producers`), `check` holds a deployment and an engine configuration against the result, and
`disorder` measures how far out of order a topic is.
"""

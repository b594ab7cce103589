"""Hypothesis profiles: `default` for every run, `thorough` by `--hypothesis-profile=thorough` after a change."""

from __future__ import annotations

from hypothesis import settings

# No deadline: the first example pays for pint's registry and PROJ's database, and machines are shared.
settings.register_profile("default", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=3_000)
settings.load_profile("default")

"""What a check of schemas says."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing about one field."""

    breaks: bool  # False: it can be deployed, but somebody should know
    versions: str  # such as `v2 reads v1`, or `the job reads v2`
    field: str
    message: str

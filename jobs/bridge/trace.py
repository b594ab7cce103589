"""W3C trace context: one id that follows a reading from its device to the aligned topic."""

from __future__ import annotations

import random
import re

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = "01"


def child_traceparent(parent: str | None) -> str:
    """Give the `traceparent` of a span of the bridge.

    Parameters
    ----------
    parent
        What the payload came with: the trace goes on. None, or one that breaks the rules: a new trace begins.

    Returns
    -------
        Version 00, the trace's id, a new span's id, the parent's flags.

    Source: W3C Trace Context, §3.2 "Traceparent Header".
    """
    match = _TRACEPARENT.fullmatch(parent) if parent else None
    # Not secret, only unique, as the recommendation asks; zero is forbidden and would come once in 2**64.
    span_id = random.getrandbits(64) or 1
    if match is None:
        return f"00-{random.getrandbits(128) or 1:032x}-{span_id:016x}-{_SAMPLED}"
    return f"00-{match[1]}-{span_id:016x}-{match[2]}"

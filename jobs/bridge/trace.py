"""W3C trace context: one id that follows a reading from its device to the aligned topic."""

from __future__ import annotations

import random
import re

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = "01"
_NOT_ZERO = 1 << 64 | 1


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
    # Not secret, only unique, as the recommendation asks; zero is forbidden, so the last bit of each is set.
    ids = f"{random.getrandbits(192) | _NOT_ZERO:048x}"
    match = _TRACEPARENT.fullmatch(parent) if parent else None
    if match is None:
        return f"00-{ids[:32]}-{ids[32:]}-{_SAMPLED}"
    return f"00-{match[1]}-{ids[32:]}-{match[2]}"

"""W3C trace context: one id that follows a reading from its device to the aligned topic."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = b"01"
_POOL = 1_024  # spans: random bits cost less by the thousand
_NOT_ZERO = sum((1 << 64 | 1) << 192 * n for n in range(_POOL))


class Tracer:
    """Gives the spans of a bridge their `traceparent`. Belongs to one thread."""

    def __init__(self) -> None:
        self._next_ids = _random_ids().__next__

    def child(self, parent: str | None) -> bytes:
        """Give the `traceparent` of a new span.

        Parameters
        ----------
        parent
            What the payload came with: the trace goes on. None, or one that breaks the rules: a new trace begins.

        Returns
        -------
            Version 00, the trace's id, a new span's id, the parent's flags.

        Source: W3C Trace Context, §3.2 "Traceparent Header".
        """
        ids = self._next_ids()
        trace_id, flags = (_read(parent) if parent else None) or (ids[:32], _SAMPLED)
        return b"00-%b-%b-%b" % (trace_id, ids[32:], flags)


@lru_cache(maxsize=64)
def _read(parent: str) -> tuple[bytes, bytes] | None:
    match = _TRACEPARENT.fullmatch(parent)
    return match and (match[1].encode(), match[2].encode())


def _random_ids() -> Iterator[bytes]:
    """48 hexadecimal digits each: a trace's id, and a span's."""
    while True:
        # Not secret, only unique, as the recommendation asks; zero is forbidden, so the last bit of each is set.
        pool = f"{random.getrandbits(192 * _POOL) | _NOT_ZERO:0{48 * _POOL}x}".encode()
        for begin in range(0, len(pool), 48):
            yield pool[begin : begin + 48]

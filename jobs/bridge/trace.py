"""W3C trace context: one id that follows a reading from its device to the aligned topic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_POOL = 1_024  # traces that are drawn at once
_NEW = b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"  # sampled
_TRACE_ID, _SPAN_ID = slice(3, 35), slice(36, 52)


class Tracer:
    """Gives the spans of a bridge their `traceparent`. Belongs to one thread."""

    def __init__(self) -> None:
        self._new_trace = _new_traces().__next__

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
        new = self._new_trace()
        if parent is None or (known := _read(parent)) is None:
            return new
        trace_id, flags = known
        return b"00-" + trace_id + b"-" + new[_SPAN_ID] + b"-" + flags


@lru_cache(maxsize=64)
def _read(parent: str) -> tuple[bytes, bytes] | None:
    match = _TRACEPARENT.fullmatch(parent)
    return match and (match[1].encode(), match[2].encode())


def _new_traces() -> Iterator[bytes]:
    # Not secret, only unique, as the recommendation asks; zero is forbidden, so the last bit of each id is set.
    generator = np.random.default_rng()
    lines = np.tile(np.frombuffer(_NEW, np.uint8), (_POOL, 1))
    while True:
        ids = generator.integers(0, 256, (_POOL, 24), np.uint8)
        ids[:, (15, 23)] |= 1
        digits = np.frombuffer(ids.tobytes().hex().encode(), np.uint8).reshape(_POOL, 48)
        lines[:, _TRACE_ID], lines[:, _SPAN_ID] = digits[:, :32], digits[:, 32:]
        text = lines.tobytes()
        for begin in range(0, len(text), len(_NEW)):
            yield text[begin : begin + len(_NEW)]

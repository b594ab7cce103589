"""What was sent lately, so that the repeats that an overlap brings need not be sent again.

This saves work and decides nothing: a reading that is forgotten is sent again, and the job drops it as a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable

import xxhash


class Recent:
    """Digests of values, the oldest forgotten first; about 100 bytes each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._digests: dict[int, None] = {}

    def digest(self, value: bytes) -> int | None:
        """The digest of a value that was not seen lately; None where it was."""
        digest = xxhash.xxh3_128_intdigest(value)
        if digest not in self._digests:
            return digest
        self._digests[digest] = self._digests.pop(digest)  # asked for again, so worth remembering
        return None

    def remember(self, digests: Iterable[int]) -> None:
        """Take what is now in Kafka for good."""
        for digest in digests:
            self._digests[digest] = None
        while len(self._digests) > self._limit:
            del self._digests[next(iter(self._digests))]

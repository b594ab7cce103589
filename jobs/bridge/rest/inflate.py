"""Gzip with a bound on what comes out: a few kilobytes can hold gigabytes."""

from __future__ import annotations

import zlib

_STEP = 65_536


class TooLarge(ValueError):  # noqa: N818
    """More bytes than allowed."""


class BrokenGzip(ValueError):  # noqa: N818
    """Bytes that are no gzip, are cut off, or have something else behind them."""


class Body:
    """Collects a body piece by piece, inflating it on the way.

    Parameters
    ----------
    limit
        The most bytes that may come out; memory holds at most this and one step.
    gzipped
        Whether the pieces are gzip; several members in a row are one body (RFC 1952 §2.2).
    """

    def __init__(self, limit: int, gzipped: bool) -> None:
        self._limit = limit
        self._gzipped = gzipped
        self._out = bytearray()
        self._inflater = zlib.decompressobj(wbits=31) if gzipped else None

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises
        ------
        TooLarge
            The body is longer than the limit; what was collected is within it.
        BrokenGzip
            The piece cannot be inflated.
        """
        if self._inflater is None:
            self._keep(piece)
            return
        while piece:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(wbits=31)
            try:
                self._keep(self._inflater.decompress(piece, _STEP))
            except zlib.error as error:
                raise BrokenGzip(f"the body is not gzip: {error}") from None
            piece = self._inflater.unconsumed_tail or self._inflater.unused_data

    def end(self) -> bytes:
        """The whole body.

        Raises
        ------
        BrokenGzip
            The last member is cut off.
        """
        if self._inflater is not None:
            try:
                # Output can be left over behind the last input that was taken.
                while not self._inflater.eof and (rest := self._inflater.decompress(b"", _STEP)):
                    self._keep(rest)
            except zlib.error as error:
                raise BrokenGzip(f"the body is not gzip: {error}") from None
            if not self._inflater.eof:
                raise BrokenGzip("the gzip body is cut off")
        return bytes(self._out)

    def __len__(self) -> int:
        """Bytes that came out."""
        return len(self._out)

    @property
    def so_far(self) -> bytes:
        return bytes(self._out)

    def _keep(self, piece: bytes) -> None:
        room = self._limit - len(self._out)
        self._out += piece[:room]
        if len(piece) > room:
            raise TooLarge(f"the body is longer than {self._limit} bytes")

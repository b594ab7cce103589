"""A socket that reads ahead and writes in bulk, for a client that asks for single bytes."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

_READ_BYTES = 65_536


class ReadAheadSocket:
    """Stands between paho and a non-blocking socket, plain or TLS.

    paho reads a packet with three or four calls and writes each acknowledgement with one: at 20,000 messages a second
    the system calls cost more than the messages. Bytes are neither changed nor reordered.
    """

    def __init__(self, sock: socket.socket | ssl.SSLSocket) -> None:
        self._sock = sock
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._read = memoryview(b"")
        self._unsent = bytearray()

    def recv(self, size: int) -> bytes:
        if not self._read:
            self._read = memoryview(self._sock.recv(max(size, _READ_BYTES)))  # BlockingIOError and its TLS kin pass
        found, self._read = self._read[:size], self._read[size:]
        return bytes(found)

    def pending(self) -> int:
        """Bytes that `recv` gives without waiting for the socket to become readable."""
        return len(self._read) + (self._tls.pending() if self._tls is not None else 0)

    def send(self, data: bytes) -> int:
        """Take all of `data`; `flush` sends it. There is little but acknowledgements, as many as were received."""
        self._unsent += data
        return len(data)

    def flush(self) -> None:
        """Send what is waiting, as far as the socket takes it.

        Raises
        ------
        OSError: the connection is lost.
        """
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._unsent[:sent]

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def close(self) -> None:
        with suppress(OSError):
            self.flush()
        self._sock.close()

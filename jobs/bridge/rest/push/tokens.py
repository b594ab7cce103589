"""Bearer tokens from a file: one client a line, read again when the file changes."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

_MIN_LENGTH = 16
_LOOK_EVERY_S = 1.0


class BadTokens(ValueError):  # noqa: N818
    """A file of tokens that cannot be used; the message holds no token."""


def read_tokens(path: Path) -> dict[str, bytes]:
    """Read a file of lines `name token`; `#` begins a comment.

    Returns
    -------
        The SHA-256 of each client's token, by name. Two tokens of one client are two lines, as `name` and `name/2`.

    Raises
    ------
    BadTokens : the file cannot be read, or a line is no name and token of at least 16 characters.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadTokens(f"{path}: {error}") from None
    found: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or len(words[1]) < _MIN_LENGTH or words[0] in found:
            raise BadTokens(f"{path}, line {number}: a name, once, and a token of at least {_MIN_LENGTH} characters")
        found[words[0]] = hashlib.sha256(words[1].encode()).digest()
    if not found:
        raise BadTokens(f"{path}: no token")
    return found


class TokenFile:
    """Who a bearer token belongs to.

    Parameters
    ----------
    broken
        Told when the changed file cannot be used; the tokens known before then stay.

    Raises
    ------
    BadTokens : the file cannot be used.
    """

    def __init__(self, path: Path, broken: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._broken, self._clock = path, broken, clock
        self._stamp = self._stat()
        self._tokens = read_tokens(path)
        self._looked_s = clock()

    def client(self, authorization: str | None) -> str | None:
        """The client's name; None without a valid token. Takes as long for any wrong token.

        Source: RFC 6750 §2.1.
        """
        self._refresh()
        scheme, _, token = (authorization or "").partition(" ")
        digest = hashlib.sha256(token.strip().encode(errors="replace")).digest()
        found = None
        for name, known in self._tokens.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found if scheme.lower() == "bearer" else None

    def _refresh(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = read_tokens(self._path)
        except BadTokens as error:
            self._broken(str(error))

    def _stat(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return found.st_mtime_ns, found.st_size, found.st_ino

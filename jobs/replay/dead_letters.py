"""From dead letters back to raw records: what was refused is sent again, byte by byte, once its cause is mended."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from udfs.dead_letter import REPLAY_OF, Source


class NotReplayable(ValueError):  # noqa: N818
    """A letter whose record cannot or must not be sent again; one line for a person."""


class RawRecord(NamedTuple):
    """A record of the raw topic, as it was or as it is to be sent."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


Fetch = Callable[[str, int, int], RawRecord | None]  # topic, partition, offset; None: it is no longer there


class Letter(msgspec.Struct, gc=False):
    """The fields of a DLQ record that a replay needs; msgspec skips the rest."""

    reason: str
    topic: str
    partition: int
    offset: int
    append_time_ms: int
    key_base64: str | None = None
    headers: dict[str, str] | None = None
    payload_base64: str | None = None
    payload_sha256: str | None = None
    truncated: bool = False
    replayable: bool = False
    replay_of: str | None = None

    @property
    def source(self) -> Source:
        return Source(self.topic, self.partition, self.offset, self.append_time_ms)

    def kept(self) -> RawRecord:
        """Key, value and headers as far as the letter has kept them.

        Raises
        ------
        NotReplayable : they are not base64.
        """
        try:
            headers = [(name, _bytes(text)) for name, text in (self.headers or {}).items()]
            return RawRecord(_bytes(self.key_base64), _bytes(self.payload_base64), headers)
        except ValueError as error:
            raise NotReplayable(f"{self.source.name}: {error}") from None


decode_letter = msgspec.json.Decoder(Letter).decode


def sent_again(letters: Iterable[Letter]) -> set[str]:
    """The `Source.name` of every letter that a later one replays: that later one stands for it."""
    return {letter.replay_of for letter in letters if letter.replay_of is not None}


def raw_record(letter: Letter, fetch: Fetch) -> RawRecord:
    """Make the raw record that replays a letter.

    It has the key, the value and the headers of the refused one, as far as the job reads them: the same whether they
    come from the letter or from the raw topic. The times among the headers stay: ingest was when it came first.

    Parameters
    ----------
    fetch : gives a record of the raw topic by topic, partition and offset; asked only for what the letter has cut.

    Returns
    -------
        The record, with the header `replay_of` = `topic/partition/offset` of the letter's source.

    Raises
    ------
    NotReplayable : the letter says so, or its cut bytes are no longer in the raw topic.
    """
    name = letter.source.name
    if not letter.replayable or letter.headers is None:
        raise NotReplayable(f"{name}: a record refused as {letter.reason} is not sent again")
    found = _fetched(letter, fetch) if letter.truncated else letter.kept()
    if found.value is None or hashlib.sha256(found.value).hexdigest() != letter.payload_sha256:
        raise NotReplayable(f"{name}: the bytes are not those that were refused")
    headers = [(n, v) for n, v in found.headers if n in letter.headers and n != REPLAY_OF]
    return found._replace(headers=[*headers, (REPLAY_OF, name.encode())])


def _fetched(letter: Letter, fetch: Fetch) -> RawRecord:
    record = fetch(letter.topic, letter.partition, letter.offset)
    if record is None:
        raise NotReplayable(f"{letter.source.name}: the letter has cut it, and it is no longer in the raw topic")
    return record


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)

"""What a refused record says, as far as the job's own decoder can read it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from jobs.replay.dead_letters import RawRecord
from udfs.decode import Decoder
from udfs.event_time import normalise_event_time
from udfs.reasons import Rejected


class Content:
    """Key, value and headers of a record, read when they are asked for."""

    def __init__(self, record: RawRecord, decoder: Decoder) -> None:
        self._record, self._decoder = record, decoder
        self.headers = {name: value for name, value in record.headers if value is not None}

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The fields of the value.

        Raises
        ------
        Rejected : the decoder cannot read it.
        """
        return self._decoder.decode(self._record.value, self._text("content-type"))

    @cached_property
    def readable(self) -> dict[str, Any]:
        """The fields; none where the decoder cannot read the value."""
        try:
            return self.fields
        except Rejected:
            return {}

    @property
    def sensor_id(self) -> str | None:
        return _text(self.readable.get("sensor_id")) or self._text("sensor_id")

    @property
    def metric(self) -> str | None:
        return _text(self.readable.get("metric"))

    @cached_property
    def event_time_ms(self) -> int | None:
        """By the value, else by the header; None: neither says one that can be read without a zone."""
        for time in (self.readable.get("event_time"), _number(self._text("event_timestamp"))):
            try:
                return normalise_event_time(time, None) // 1_000_000
            except Rejected:
                continue
        return None

    def _text(self, header: str) -> str | None:
        raw = self.headers.get(header)
        return None if raw is None else raw.decode(errors="replace")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

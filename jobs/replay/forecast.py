"""What the job would make of a record: by the job's own stages, before anything is sent."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from jobs.replay.dead_letters import Letter, RawRecord
from udfs.align import ENVELOPE_HEADERS, Aligner
from udfs.align import RawRecord as AlignRecord
from udfs.frame import decode_frame
from udfs.rules import Rules
from udfs.schema_lookup import SchemaSource

ACCEPTED = "accepted"


class Fate(NamedTuple):
    """`reason` is `accepted`, or why it is refused."""

    reason: str
    message: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.reason == ACCEPTED


class _Refusal(msgspec.Struct):
    message: str


class Forecast:
    """Aligns records one by one, under the rules of a deployment file; whether one repeats another it cannot know."""

    def __init__(self, rules: Rules, topic: str, schema_source: SchemaSource | None = None) -> None:
        self._aligner = Aligner(rules, topic, schema_source=schema_source)
        self._names = ENVELOPE_HEADERS + rules.attribute_headers

    def of(self, record: RawRecord, letter: Letter, now_ms: int) -> Fate:
        """The fate of a record that comes to the letter's partition now: its age is measured against `now_ms`."""
        headers: dict[str, Any] = dict(record.headers)
        sent = AlignRecord(
            record.value, record.key, letter.partition, letter.offset, now_ms, tuple(map(headers.get, self._names))
        )
        for _, frame in self._aligner.align([sent]):
            _, letters = decode_frame(frame)
            for reason, _, data in letters:
                return Fate(reason, msgspec.json.decode(data, type=_Refusal).message)
        return Fate(ACCEPTED)

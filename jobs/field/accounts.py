"""What the field has sent beside what the topics hold, id by id."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from jobs.broker.topic_records import TopicRecord
from jobs.field.plan import Fate, Transport
from jobs.field.shapes import identity, identity_of
from udfs.align import CONTROL_CONTENT_TYPE

_CONTROL = CONTROL_CONTENT_TYPE.encode()
_SHOWN = 5

Ledger = Mapping[Transport, Mapping[str, Fate]]


class _Aligned(msgspec.Struct):
    sensor_id: str
    metric: str
    event_time_ms: int


class _Letter(msgspec.Struct):
    payload_base64: str


class _Accounting(msgspec.Struct):
    kind: str = msgspec.field(name="class")


@dataclass
class Accounts:
    """Identities by where they are; fed topic by topic."""

    raw: Counter[str] = field(default_factory=Counter)
    aligned: Counter[str] = field(default_factory=Counter)
    invalid: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0

    def add_raw(self, records: Iterable[TopicRecord]) -> None:
        self.raw.update(identity_of(r.value) for r in records if r.headers.get("content-type") != _CONTROL)

    def add_aligned(self, records: Iterable[TopicRecord]) -> None:
        decode = msgspec.json.Decoder(_Aligned).decode
        for record in records:
            row = decode(record.value)
            self.aligned[identity(row.sensor_id, row.metric, row.event_time_ms)] += 1

    def add_invalid(self, records: Iterable[TopicRecord]) -> None:
        decode = msgspec.json.Decoder(_Letter).decode
        self.invalid.update(identity_of(b64decode(decode(record.value).payload_base64)) for record in records)

    def add_accounting(self, records: Iterable[TopicRecord]) -> None:
        decode = msgspec.json.Decoder(_Accounting).decode
        self.duplicates += sum(decode(record.value).kind == "duplicate" for record in records)

    def has_all_of(self, ledger: Ledger) -> bool:
        """Whether the raw topic holds everything that was sent."""
        return all(fates.keys() <= self.raw.keys() for fates in ledger.values())

    def problems(self, ledger: Ledger) -> list[str]:
        """What does not close, a line each."""
        sent = {name: fate for fates in ledger.values() for name, fate in fates.items()}
        wanted = {name for name, fate in sent.items() if fate is Fate.ALIGNED}
        twice = {name for name, times in self.aligned.items() if times > 1}
        rows = (
            ("sent, but not in the raw topic", sent.keys() - self.raw.keys()),
            ("in the raw topic, but never sent", self.raw.keys() - sent.keys()),
            ("not aligned, but should be", wanted - self.aligned.keys()),
            ("aligned, but should not be", self.aligned.keys() - wanted),
            ("aligned twice", twice),
            ("not among the invalid, but should be", sent.keys() - wanted - self.invalid.keys()),
            ("among the invalid, but should not be", self.invalid.keys() - (sent.keys() - wanted)),
        )
        found = [f"{len(names):,} {what}, such as {', '.join(sorted(names)[:_SHOWN])}" for what, names in rows if names]
        classes = self.aligned.total() + self.duplicates + self.invalid.total()
        if self.raw.total() != classes:
            found.append(f"{self.raw.total():,} raw records, but {classes:,} aligned, duplicate or invalid")
        return found

    def line(self, ledger: Ledger) -> str:
        """The accounting in one line."""
        sent = " + ".join(f"{len(fates):,} by {transport}" for transport, fates in ledger.items())
        total = sum(map(len, ledger.values()))
        return (
            f"{sent} = {total:,} sent = {len(self.raw):,} distinct in raw = {len(self.aligned):,} aligned + "
            f"{len(self.invalid):,} invalid; {self.duplicates:,} duplicates dropped"
        )

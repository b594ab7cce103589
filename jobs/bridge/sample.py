"""What a sample of a feed becomes: its readings, what is unreadable, and what a deployment's job would say of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from jobs.bridge.envelope import Enveloper, Message
from jobs.bridge.feed import Adapter, Item, Payload, UnknownAdapter, Unreadable, adapter_names, make_adapter
from jobs.bridge.spatial_key import KeyRule
from udfs.align import ENVELOPE_HEADERS, Aligner, RawRecord
from udfs.frame import decode_frame
from udfs.rules import Rules

PASSING_ANYTHING = "meridian"
"""The adapter that takes every object for a reading, and so is guessed last."""


class Verdict(msgspec.Struct, frozen=True):
    """What the job would do with a record that arrived when the sample was received."""

    accepted: bool
    reason: str = ""
    message: str = ""
    stream: str = ""
    value: float | None = None
    unit: str = ""
    lon_deg: float | None = None
    lat_deg: float | None = None
    cell: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """One item of a sample."""

    item: Item
    key: str
    verdict: Verdict | None = None  # None: no deployment was asked

    @property
    def is_unreadable(self) -> bool:
        return isinstance(self.item, Unreadable)

    def as_json(self) -> dict[str, Any]:
        if isinstance(self.item, Unreadable):
            original = self.item.original.decode(errors="replace")
            shown = {"reason": self.item.reason, "message": self.item.message, "original": original}
            return {"unreadable": shown, "job": msgspec.to_builtins(self.verdict)}
        return {"reading": self.item, "key": self.key, "job": msgspec.to_builtins(self.verdict)}


class Judge:
    """Takes records through the job's own stages, from decode to assign cell."""

    def __init__(self, rules: Rules) -> None:
        self._aligner = Aligner(rules, "sample")
        self._names = ENVELOPE_HEADERS + rules.attribute_headers

    def judge(self, message: Message, append_time_ms: int) -> Verdict:
        """Say what becomes of a record; duplicates and lateness depend on others and are not judged."""
        headers = message.headers
        sent = tuple(headers.get(name) for name in self._names)
        record = RawRecord(message.value, message.key, 0, 0, append_time_ms, sent)
        for _, frame in self._aligner.align([record]):
            readings, letters = decode_frame(frame)
            if letters:
                letter = orjson.loads(letters[0][2])
                return Verdict(False, letter["reason"], letter["message"])
            row = readings.row(0)
            station = row.station
            unit = orjson.loads(row.aligned + row.station.aligned)["unit"]
            return Verdict(
                True, "", "", station.stream, row.value, unit, station.lon_deg, station.lat_deg, station.cell
            )
        return Verdict(False, "control", "a control record is no reading")


def check_sample(
    bodies: Iterable[bytes], adapter: Adapter, context: Mapping[str, str], received_ms: int, rules: Rules | None
) -> list[Outcome]:
    """Take a sample through an adapter, and through a deployment's stages where its rules are given.

    Parameters
    ----------
    bodies
        Payloads as a transport would receive them.
    context
        What the transport would know of each, such as `topic` or `url`.
    received_ms
        When the sample was received; it stands for Kafka's append time too.
    """
    envelope = Enveloper("sample", adapter.name, KeyRule().key())
    judge = None if rules is None else Judge(rules)
    outcomes = []
    for body in bodies:
        for item in adapter.readings(Payload(body, context, received_ms)):
            message = envelope.message(item, received_ms)
            verdict = None if judge is None else judge.judge(message, received_ms)
            outcomes.append(Outcome(item, message.key.decode(errors="replace"), verdict))
    return outcomes


def guess_adapter(
    bodies: list[bytes], options: Mapping[str, Any], context: Mapping[str, str], received_ms: int
) -> str | None:
    """Name the adapter that finds most readings in a sample; None: none finds any."""
    found: Counter[str] = Counter()
    for name in adapter_names():
        try:
            adapter = make_adapter(name, options)
        except UnknownAdapter:
            continue  # these options are not for it
        for body in bodies:
            for item in adapter.readings(Payload(body, context, received_ms)):
                found[name] += not isinstance(item, Unreadable)
    if len(found) > 1 and any(count for name, count in found.items() if name != PASSING_ANYTHING):
        del found[PASSING_ANYTHING]
    best = found.most_common(1)
    return best[0][0] if best and best[0][1] else None

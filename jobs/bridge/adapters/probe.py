"""Probes of `meridian probe --through`: what comes by this feed is a probe, or refused.

| feed | record |
|---|---|
| `control: probe` with `probe` (its id), `sent_at_ms`, `key` | a control record: no reading, in no result |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from jobs.bridge.feed import PROBE_ADAPTER, Adapter, Item, Payload, Refusal, Unfit, load_json
from udfs.probe import read_probe


class Probes(Adapter):
    """Lets probes through and nothing else, so that nobody can send other control records: some move the watermark."""

    name: ClassVar[str] = PROBE_ADAPTER

    def read(self, payload: Payload) -> Iterable[Item]:
        probe = read_probe(payload.body)
        if probe is None:
            load_json(payload.body)
            raise Unfit(Refusal.MISSING_FIELD, "a probe is an object with control, probe and sent_at_ms")
        return (probe,)

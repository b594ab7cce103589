"""Fuzzing of the align stage and of all its parts: hostile records made from good and from poisonous ones, and the law.

The law: nothing is raised; every record ends in exactly one class; what is refused has a reason of the closed
list and not `unexpected_error`; what is accepted is a JSON record with a place on Earth; and a warm aligner, whose
shortcut knows the series, comes to the same end as one that takes all stages.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import orjson

from jobs.generator import poison
from jobs.generator.draft import Draft
from jobs.generator.network import make_network
from tests.support.generated import KNOBS, NOW_MS, PARTITIONS, RULES, TOPIC
from tests.support.hostile_values import FIELDS, JSON, NUMBERS, OF_FIELD, OF_HEADER, TEXTS, TOKENS
from udfs.align import CONTROL_CONTENT_TYPE, ENVELOPE_HEADERS, MAX_KEY_BYTES, Aligner, RawRecord
from udfs.aligned import close_aligned
from udfs.avro_encoding import encode_confluent, encode_single_object
from udfs.frame import decode_frame
from udfs.protobuf_encoding import encode_confluent_message, encode_message
from udfs.protobuf_schema import protobuf_schema
from udfs.reasons import Reason
from udfs.rules import Rules, SchemaRule
from udfs.schemas import reading_files, reading_schema
from udfs.writer_schema import SchemaFormat, WriterSchema

AVRO_ID, PROTOBUF_ID = 1, 2
NAMES = (*ENVELOPE_HEADERS, "network")
_CONTENT_TYPE = ENVELOPE_HEADERS.index("content-type")


def _rules() -> Rules:
    """Those of the generated runs with whatever widens what a record can do: a zone, sampling, writers with ids."""
    weather, air, rivers = RULES.streams
    known = (
        (AVRO_ID, WriterSchema(SchemaFormat.AVRO, orjson.dumps(reading_schema()).decode())),
        (PROTOBUF_ID, protobuf_schema(reading_files())),
    )
    streams = (weather, replace(air, time_zone="Europe/London", sampled=True), rivers)
    return replace(RULES, streams=streams, schemas=SchemaRule(known), attribute_headers=("network",))


FUZZ_RULES = _rules()


class Seed(NamedTuple):
    """A record to start from; `fields` is None where its body is no encoded reading."""

    name: str
    fields: dict[str, Any] | None
    headers: dict[str, bytes]
    body: bytes | None


def seeds() -> list[Seed]:
    """Good readings of different stations, each kind of poison, and both in the binary encodings."""
    network = make_network(FUZZ_RULES, replace(KNOBS, mobile=0), PARTITIONS, NOW_MS)
    good = [_draft(network, template) for template in range(0, len(network.template_site), 5)][:12]
    found = [Seed("good", d.fields, d.headers, d.serialised()) for d in good]
    for number, kind in enumerate((*poison.KINDS, poison.CLOCK_1970, poison.CLOCK_2100)):
        draft = _draft(network, number % len(network.template_site))
        if kind.applies(draft.series, draft.site, FUZZ_RULES):
            kind.spoil(draft)
            fields = None if draft.has_body else draft.fields
            found.append(Seed(kind.name, fields, draft.headers, draft.serialised()))
    return found


def _draft(network: Any, template: int) -> Draft:
    site, series = network.template_site[template], network.series[network.template_series[template]]
    event_ms = NOW_MS - 90_000 - template
    fields = {
        "event_id": f"e-{template}", "sensor_id": f"st-{template}", "region": site.region, "metric": series.metric,
        "value": round(series.base, series.decimals), "unit": series.unit, "event_time": event_ms,
        "x": float(site.x), "y": float(site.y), "crs": site.crs,
    }  # fmt: skip
    headers = {
        "sensor_id": f"st-{template}".encode(), "ingest_timestamp": b"%d" % NOW_MS,
        "event_timestamp": b"%d" % event_ms, "crs_source": site.crs.encode(), "payload_version": b"1",
        "content-type": b"application/json",
    }  # fmt: skip
    box = dict(FUZZ_RULES.position.regions).get(site.region)
    return Draft(fields, headers, series, site, box, FUZZ_RULES, event_ms, NOW_MS)


SEEDS = seeds()
_READINGS = [seed for seed in SEEDS if seed.fields is not None]
_SCALARS = NUMBERS + TEXTS + JSON


def _value(rng: Random, name: str) -> Any:
    choices = OF_FIELD.get(name)
    if choices and rng.random() < 0.75:
        return rng.choice(choices)
    way = rng.randrange(4)
    if way == 0:
        return rng.getrandbits(70) - 2**69
    if way == 1:
        return struct.unpack("d", rng.randbytes(8))[0]
    if way == 2:
        return "".join(chr(rng.randrange(1, 0x11_0000)) for _ in range(rng.randrange(12)))
    return rng.choice(_SCALARS)


def _fields(rng: Random, fields: dict[str, Any]) -> dict[str, Any]:
    changed = dict(fields)
    for _ in range(rng.randrange(1, 4)):
        name = rng.choice(FIELDS)
        if rng.random() < 0.9:
            changed[name] = _value(rng, name)
        else:
            changed.pop(name, None)
    return changed


def _json_text(fields: dict[str, Any]) -> bytes:
    """As whoever does not care writes it: NaN, Infinity and lone surrogates are what `json` lets through."""
    return json.dumps(fields, ensure_ascii=len(fields) % 2 == 0).encode("utf-8", "surrogatepass")


_ENCODINGS: list[tuple[bytes, Callable[[dict[str, Any]], bytes]]] = [
    (b"application/json", _json_text),
    (b"application/json", _json_text),
    (b"application/avro", encode_single_object),
    (b"application/vnd.confluent.avro", lambda fields: encode_confluent(AVRO_ID, fields)),
    (b"application/x-protobuf", encode_message),
    (b"application/vnd.confluent.protobuf", lambda fields: encode_confluent_message(PROTOBUF_ID, fields)),
]


def _body(rng: Random, body: bytes) -> bytes:
    """Cut, repeat, flip, splice: what transports, disks and attackers do to bytes."""
    for _ in range(rng.randrange(1, 4)):
        at, length, way = rng.randrange(len(body) + 1), rng.randrange(24), rng.randrange(7)
        if way == 0:
            body = body[:at]
        elif way == 1:
            body = body[:at] + body[at + length :]
        elif way == 2:
            body = body[:at] + body[at : at + length] * 3 + body[at + length :]
        elif way == 3:
            body = body[:at] + rng.randbytes(1) + body[at + 1 :]
        elif way == 4:
            other = rng.choice(SEEDS).body or b""
            body = body[:at] + other[rng.randrange(len(other) + 1) :]
        elif way == 5:
            body = body[:at] + rng.randbytes(length) + body[at:]
        else:
            body = body[:at] + rng.choice(TOKENS) + body[at + (length if length % 2 else 0) :]
    return body


def _headers(rng: Random, headers: dict[str, bytes]) -> dict[str, bytes]:
    changed = dict(headers)
    for _ in range(rng.randrange(1, 3)):
        name, way = rng.choice(NAMES), rng.randrange(8)
        if way == 0:
            changed.pop(name, None)
        elif way < 3:
            changed[name] = rng.randbytes(rng.randrange(24))
        else:
            changed[name] = rng.choice(OF_HEADER.get(name) or [t.encode() for t in TEXTS])
    return changed


def hostile_record(rng: Random) -> RawRecord:
    """One record; its partition and offset are set when it is in a batch."""
    way = rng.randrange(10)
    if way < 7:
        seed = rng.choice(_READINGS)
        assert seed.fields is not None
        fields = _fields(rng, seed.fields)
        # Headers that contradict most changes would let the reading get no further.
        headers = dict(seed.headers) if rng.random() < 0.2 else {}
        headers["content-type"], encode = rng.choice(_ENCODINGS)
        try:
            body: bytes | None = encode(fields)
        except Exception:  # the writer's own library refuses such fields
            headers["content-type"], body = _ENCODINGS[0][0], _json_text(fields)
    else:
        seed = rng.choice(SEEDS)
        body, headers = seed.body, dict(seed.headers)
    if way in (6, 7, 8):
        body = _body(rng, body or b"")
    if way >= 8:
        headers = _headers(rng, headers)
    key = b"grampian" if rng.random() < 0.98 else b"k" * (MAX_KEY_BYTES + rng.randrange(2))
    append_time_ms = NOW_MS if rng.random() < 0.98 else rng.getrandbits(62) - 1
    return RawRecord(body, key, 0, 0, append_time_ms, tuple(headers.get(name) for name in NAMES))


def hostile_batch(rng: Random, size: int) -> list[RawRecord]:
    """Records numbered by offset."""
    return [hostile_record(rng)._replace(partition=n % PARTITIONS, offset=n) for n in range(size)]


# --- The law ----------------------------------------------------------------------------------------------------------


class Judge:
    """Aligns batches and checks the law; counts what became of the records."""

    def __init__(self) -> None:
        self.fates: Counter[str] = Counter()
        self._warm = Aligner(FUZZ_RULES, TOPIC)
        self._stages_only = Aligner(FUZZ_RULES, TOPIC, cache_bytes=0)

    def judge(self, batch: Sequence[RawRecord]) -> None:
        """Raises AssertionError, or what the stages raise; noted is the record, where one alone breaks the law."""
        try:
            fates = self._judge(batch)
        except Exception as error:
            for record in batch if len(batch) > 1 else ():
                try:
                    self._judge([record._replace(offset=0)])
                except Exception as same:
                    same.add_note(f"{record}")
                    raise same from error
            raise
        self.fates.update(fates)

    def _judge(self, batch: Sequence[RawRecord]) -> list[str]:
        known, unknown = self._fates(self._warm, batch), self._fates(self._stages_only, batch)
        ends = []
        for record in batch:
            fate = known.get(record.offset, "")
            assert fate == unknown.get(record.offset, ""), f"{fate} by the shortcut, {unknown.get(record.offset)}"
            assert not fate.startswith(Reason.UNEXPECTED_ERROR), fate
            # Probes and end markers are no readings.
            assert fate or record.headers[_CONTENT_TYPE] == CONTROL_CONTENT_TYPE.encode(), "without an end"
            ends.append(fate.partition(":")[0] or "control")
        assert len(known) == len(unknown) == sum(end != "control" for end in ends)
        return ends

    def _fates(self, aligner: Aligner, batch: Sequence[RawRecord]) -> dict[int, str]:
        """By offset: the reason with its message, or what was accepted."""
        fates: dict[int, str] = {}
        for _, data in aligner.align(batch):
            readings, letters = decode_frame(data)
            for index in range(len(readings)):
                row = readings.row(index)
                record = close_aligned(row.aligned, row.station.aligned, False)
                _check_accepted(orjson.loads(record), batch[row.offset])
                _end(fates, row.offset, f"accepted:{record.decode()}")
            for reason, _, letter in letters:
                sent = orjson.loads(letter)
                assert sent["reason"] == reason == Reason(reason)
                _end(fates, sent["offset"], f"{reason}: {sent['message']}")
        return fates


def _end(fates: dict[int, str], offset: int, fate: str) -> None:
    assert offset not in fates, f"two ends of offset {offset}: {fates[offset]}, {fate}"
    fates[offset] = fate


def _check_accepted(aligned: dict[str, Any], record: RawRecord) -> None:
    numbers = [aligned[name] for name in ("value", "value_original", "x", "y", "lon_deg", "lat_deg")]
    assert all(isinstance(n, float) and math.isfinite(n) for n in numbers), f"{aligned}: {record}"
    assert -180 <= aligned["lon_deg"] <= 180 and -90 <= aligned["lat_deg"] <= 90, f"{aligned}: {record}"
    assert aligned["offset"] == record.offset and aligned["partition"] == record.partition
    assert FUZZ_RULES.time.floor_ms <= aligned["event_time_ms"] <= record.append_time_ms + FUZZ_RULES.time.max_future_ms

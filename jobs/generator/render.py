"""From rows of the plan to Kafka records: templates for the good ones, drafts for the spoilt ones.

A good reading is one `%` of bytes and seven headers, since a generator that is slower than the job measures itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from jobs.generator.draft import Draft
from jobs.generator.network import Network, Station, TimeFormat
from jobs.generator.schedule import CONFLICT, FIRST_POISON, RESERIALISED, Block, Kinds
from udfs.avro_encoding import encode_confluent, encode_single_object
from udfs.rules import Rules

SEQ_HEADER = "meridian_seq"
_MULTIPLIERS = {TimeFormat.MS: 1, TimeFormat.US: 1_000, TimeFormat.NS: 1_000_000}
_JSON_TYPE = b"application/json"


# value, key, partition, headers: what `Producer.produce` takes. A plain tuple, since a named one costs a tenth more.
Headers = list[tuple[str, str | bytes | None]]
Message = tuple[bytes | None, bytes, int, Headers]


class _Plan(NamedTuple):
    """How one template is written; the slots are event id (where there is one), value and time."""

    form: bytes
    other_form: bytes  # the same fields in another order
    with_id: bool
    fixed_headers: list[tuple[str, bytes]]
    step: float  # one unit of the value's last digit
    key: bytes


class Renderer:
    """Renders blocks; one per process."""

    def __init__(self, network: Network, kinds: Kinds, rules: Rules, avro_schema_id: int | None = None) -> None:
        self._network, self._kinds, self._rules = network, kinds, rules
        self._schema_id = avro_schema_id
        self._boxes = dict(rules.position.regions)
        self._plans: list[_Plan | None] = [None] * len(network.template_site)
        stations = [network.stations[i] for i in network.station_of]
        formats = [s.time_format for s in stations]
        self._is_text = np.array([f in (TimeFormat.ISO_Z, TimeFormat.ISO_OFFSET) for f in formats])
        self._offset_ms = np.array([3_600_000 if f is TimeFormat.ISO_OFFSET else 0 for f in formats], np.int64)
        self._multiplier = np.array([_MULTIPLIERS.get(f, 1) for f in formats], np.int64)
        self._divisor = np.array([1000 if f is TimeFormat.S else 1 for f in formats], np.int64)
        self._is_float = np.array([f is TimeFormat.FLOAT_S for f in formats])
        self._avro = np.array([s.avro for s in stations])
        self._foreign = np.array([s.foreign for s in stations])
        self._id_prefix = f"g-{network.run}-".encode()

    def render(self, block: Block, keep: NDArray[Any], now_ms: int) -> Iterator[Message]:
        """Render the rows at the indices `keep`.

        Parameters
        ----------
        now_ms : goes into `ingest_timestamp`, and decides which times are in the future.
        """
        rows = block.rows.take(keep)
        ingest = ("ingest_timestamp", b"%d" % now_ms)
        special = (rows.kind >= FIRST_POISON) | self._avro[rows.series]
        prefix = self._id_prefix
        foreign = self._foreign[rows.series].tolist()
        for seq, partition, kind, template, event_ms, number, value, is_special, is_foreign, time in zip(
            (block.first_seq + keep).tolist(),
            block.partition[keep].tolist(),
            rows.kind.tolist(),
            rows.template.tolist(),
            rows.event_ms.tolist(),
            rows.number.tolist(),
            rows.value.tolist(),
            special.tolist(),
            foreign,
            self._times(rows.series, rows.event_ms),
            strict=True,
        ):
            if is_special:
                yield self._special(seq, partition, kind, template, event_ms, number, value, now_ms)
                continue
            plan = self._plans[template] or self._plan(template)
            if kind == CONFLICT:
                value += 7 * plan.step
            slots = (prefix, number, value, time) if plan.with_id else (value, time)
            body = (plan.form if kind != RESERIALISED else plan.other_form) % slots
            headers: Headers
            if is_foreign:
                headers = [(SEQ_HEADER, b"%d" % seq)]
            else:
                headers = [
                    *plan.fixed_headers,
                    ingest,
                    ("event_timestamp", b"%d" % event_ms),
                    (SEQ_HEADER, b"%d" % seq),
                ]
            yield body, plan.key, partition, headers

    def _times(self, series: NDArray[Any], event_ms: NDArray[Any]) -> list[object]:
        times: list[object] = (event_ms * self._multiplier[series] // self._divisor[series]).tolist()
        text = np.flatnonzero(self._is_text[series])
        local = (event_ms[text] + self._offset_ms[series[text]]).astype("M8[ms]")
        for index, written in zip(text.tolist(), np.datetime_as_string(local).tolist(), strict=True):
            times[index] = written.encode()
        for index in np.flatnonzero(self._is_float[series]).tolist():
            whole, part = divmod(int(event_ms[index]), 1000)
            times[index] = b"%d.%03d" % (whole, part)
        return times

    def _plan(self, template: int) -> _Plan:
        net = self._network
        number = int(net.template_series[template])
        series, site = net.series[number], net.template_site[template]
        station = net.stations[int(net.station_of[number])]
        parts = {
            "sensor_id": _json(station.sensor_id),
            "region": _json(site.region),
            "metric": _json(series.metric),
            "value": b"%%.%df" % series.decimals,
            "unit": _json(series.unit),
            "event_time": _time_slot(station.time_format),
            "x": site.x.encode(),
            "y": site.y.encode(),
            "crs": _json(site.crs),
            **{name: text.encode() for name, text in station.extras},
        }
        if station.with_id:
            parts = {"event_id": b'"%b%d"', **parts}
        # The slots keep their order; all else changes places, and there is some air.
        slots = [n for n in parts if n in ("event_id", "value", "event_time")]
        others = [n for n in parts if n not in slots]
        form = b"{" + b",".join(b'"%b":%b' % (n.encode(), t) for n, t in parts.items()) + b"}"
        names = [*reversed(others), *slots]
        other = b"{ " + b", ".join(b'"%b": %b' % (n.encode(), parts[n]) for n in names) + b" }"
        headers = [
            ("sensor_id", station.sensor_id.encode()),
            ("crs_source", site.crs.encode()),
            ("payload_version", b"1"),
            ("content-type", _JSON_TYPE),
        ]
        step = 10.0**-series.decimals
        plan = _Plan(form, other, station.with_id, headers, step, net.template_key[template])
        self._plans[template] = plan
        return plan

    def _special(
        self, seq: int, partition: int, kind: int, template: int, event_ms: int, number: int, value: float, now_ms: int
    ) -> Message:
        """Render what has no template: poison and Avro."""
        net = self._network
        index = int(net.template_series[template])
        series, site = net.series[index], net.template_site[template]
        station = net.stations[int(net.station_of[index])]
        value = float(f"{value + 7 * 10.0**-series.decimals if kind == CONFLICT else value:.{series.decimals}f}")
        fields = self._fields(station, template, event_ms, number, value)
        headers = {
            "sensor_id": station.sensor_id.encode(),
            "ingest_timestamp": b"%d" % now_ms,
            "event_timestamp": b"%d" % event_ms,
            "crs_source": site.crs.encode(),
            "payload_version": b"1",
            "content-type": _JSON_TYPE,
        }
        if kind >= FIRST_POISON:
            box = self._boxes.get(site.region)
            draft = Draft(fields, headers, series, site, box, self._rules, event_ms, now_ms)
            self._kinds.poisons[kind - FIRST_POISON].spoil(draft)
            body = draft.serialised()
        else:
            if self._schema_id is None:
                body = encode_single_object(fields)
                headers["content-type"] = b"application/avro"
            else:
                body = encode_confluent(self._schema_id, fields)
                headers["content-type"] = b"application/vnd.confluent.avro"
        return body, net.template_key[template], partition, [*headers.items(), (SEQ_HEADER, b"%d" % seq)]

    def _fields(self, station: Station, template: int, event_ms: int, number: int, value: float) -> dict[str, object]:
        net = self._network
        series, site = net.series[int(net.template_series[template])], net.template_site[template]
        fields: dict[str, object] = {
            "sensor_id": station.sensor_id,
            "region": site.region,
            "metric": series.metric,
            "value": value,
            "unit": series.unit,
            "event_time": event_ms,
            "x": float(site.x),
            "y": float(site.y),
            "crs": site.crs,
        }
        if station.with_id:
            fields["event_id"] = f"{self._id_prefix.decode()}{number}"
        if station.avro:
            return fields
        fields.update((name, orjson.loads(text)) for name, text in station.extras)
        return fields


def _json(text: str) -> bytes:
    """A JSON string whose `%` signs survive the formatting of bytes."""
    return orjson.dumps(text).replace(b"%", b"%%")


def _time_slot(time_format: TimeFormat) -> bytes:
    if time_format is TimeFormat.ISO_Z:
        return b'"%bZ"'
    if time_format is TimeFormat.ISO_OFFSET:
        return b'"%b+01:00"'
    return b"%b" if time_format is TimeFormat.FLOAT_S else b"%d"

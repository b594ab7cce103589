"""From what an adapter gives to Kafka records: the envelope's headers, CloudEvents, a trace, and a spatial key.

| header | of | what |
|---|---|---|
| `sensor_id`, `event_timestamp`, `crs_source` | readings | as in the value, where they can be read there |
| `ingest_timestamp`, `payload_version`, `content-type` | all | the raw envelope (DESIGN "Raw envelope") |
| `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time` | all | CloudEvents 1.0, Kafka binding, binary mode |
| `device_timestamp` (readings), `bridge_timestamp` | all | stage timestamps; the next is Kafka's append time |
| `traceparent` | all | W3C Trace Context |
| `bridge_adapter` | all | which adapter made it |
| `bridge_reason`, `bridge_message` | unreadable | why it is no reading |
| `bridge_original_bytes`, `bridge_original_sha256` | unreadable | of the whole, where the value had to be cut |

All are UTF-8 text, times in epoch milliseconds but for `ce_time` (RFC 3339).

Source: CloudEvents 1.0.2, and its Kafka protocol binding §3.2 "Binary content mode".
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
import xxhash

from jobs.bridge.feed import Item, Reading, Refusal, SentReading, Unreadable
from jobs.bridge.spatial_key import NOWHERE, SpatialKey
from jobs.bridge.trace import Tracer
from udfs.event_time import EARLIEST_NS, LATEST_NS, MILLISECONDS_BELOW, SECONDS_BELOW, normalise_event_time
from udfs.identity import derive_event_id, event_id_start
from udfs.reading import MAX_TEXT_LENGTH
from udfs.reasons import Rejected

UNREADABLE_CONTENT_TYPE: Final = "application/vnd.meridian.unreadable"
READING_TYPE: Final = "meridian.telemetry.reading.v1"
UNREADABLE_TYPE: Final = "meridian.telemetry.unreadable.v1"
MAX_VALUE_BYTES: Final = 1_000_000
"""Of a value; a topic's default `max.message.bytes` has room for headers beside it."""
SHORTENED_BYTES: Final = 1_024
"""What is kept of a value that is too large for its topic."""

_MAX_MESSAGE = 500
_HEADERS_OF_FIELDS = (("sensor_id", "sensor_id"), ("crs_source", "crs"))
_OF_ONE_READING = ("ce_id", "traceparent", "sensor_id", "crs_source", "event_timestamp", "device_timestamp")
_MILLISECONDS = [b".%03dZ" % ms for ms in range(1_000)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND, _END_SECOND = EARLIEST_NS // 1_000_000_000, LATEST_NS // 1_000_000_000


class Message(NamedTuple):
    """A record for the raw topic, which stamps it itself.

    All producers must agree which partition a key is in: it is the key's CRC-32 modulo the number of partitions, what
    librdkafka calls `partitioner=consistent`.
    """

    key: bytes
    value: bytes
    headers: dict[str, bytes]


class Enveloper:
    """Wraps what the adapter of one feed gives. One instance belongs to one thread.

    Parameters
    ----------
    source
        The CloudEvents source, a URI reference such as `mqtt://gateway-7/site` or `https://api.example.org/v3`.
    adapter
        The adapter's name.
    key
        Gives the spatial key, see `KeyRule`.
    max_value_bytes
        A larger reading is unreadable, and a larger original is cut; its headers say how long it was.
    """

    def __init__(self, source: str, adapter: str, key: SpatialKey, max_value_bytes: int = MAX_VALUE_BYTES) -> None:
        self._key = key
        self._max_value_bytes = max_value_bytes
        self._adapter = adapter
        self._traceparent = Tracer().child
        self._common = {
            "ce_specversion": b"1.0",
            "ce_source": source.encode(),
            "bridge_adapter": adapter.encode(),
            "payload_version": b"1",
        }
        self._received_ms = -1
        self._of_readings: dict[str, bytes] = {}  # of all that were received at `_received_ms`

    def message(self, item: Item, received_ms: int, traceparent: str | None = None) -> Message:
        """Make the Kafka record of one item; it never raises.

        What is unreadable goes out as it was sent, with a content type that the job refuses with the reason in its
        text: so the accounting and the dead letters cover it.

        Parameters
        ----------
        item
            A reading, or what is none.
        received_ms
            When the bridge received it, epoch milliseconds.
        traceparent
            The W3C trace that the payload came with; None or a broken one: a new trace begins.

        Returns
        -------
            The record. A repeat of the same item has the same key, value and `ce_id`.
        """
        if isinstance(item, Unreadable):
            return self._unreadable(item, received_ms, traceparent, NOWHERE)
        try:
            value = item.encoded if type(item) is SentReading else orjson.dumps(item)
        except TypeError as error:  # a set, a key that is no text, a lone surrogate, nesting beyond 254
            broken = Unreadable(Refusal.UNEXPECTED_ERROR, f"not JSON: {error}", repr(item).encode(errors="replace"))
            return self._unreadable(broken, received_ms, traceparent, NOWHERE)
        if len(value) > self._max_value_bytes:
            message = f"the reading has {len(value)} bytes, more than {self._max_value_bytes}"
            return self._unreadable(
                Unreadable(Refusal.TOO_LARGE, message, value), received_ms, traceparent, self._key(item)
            )
        return self._reading(item, value, received_ms, traceparent)

    def _reading(self, reading: Reading, value: bytes, received_ms: int, traceparent: str | None) -> Message:
        if received_ms != self._received_ms:
            self._receive(received_ms)
        get = reading.get
        event_ns = _event_time_ns(get("event_time"))
        headers = self._of_readings.copy()
        headers["ce_id"] = _event_id(reading, value, event_ns).encode()
        headers["traceparent"] = self._traceparent(traceparent)
        # A header that the job would refuse is left out: then the value decides, and its fault has the better name.
        for name, field in _HEADERS_OF_FIELDS:
            text = get(field)
            if type(text) is str and (sent := _header_text(text)):
                headers[name] = sent
            else:
                del headers[name]
        if event_ns is None:
            del headers["event_timestamp"], headers["device_timestamp"]
        else:
            event_ms = event_ns // 1_000_000
            headers["event_timestamp"] = headers["device_timestamp"] = b"%d" % event_ms
            headers["ce_time"] = _rfc3339(event_ms)
        return Message(self._key(reading), value, headers)

    def _receive(self, received_ms: int) -> None:
        received = b"%d" % received_ms
        self._received_ms = received_ms
        self._of_readings = {
            **self._common,
            "content-type": b"application/json",
            "ce_type": READING_TYPE.encode(),
            "ingest_timestamp": received,
            "bridge_timestamp": received,
            "ce_time": _rfc3339(received_ms),
            **dict.fromkeys(_OF_ONE_READING, b""),  # a copy that grew would cost a third more
        }

    def _unreadable(self, item: Unreadable, received_ms: int, traceparent: str | None, key: bytes) -> Message:
        received = b"%d" % received_ms
        content_type = f"{UNREADABLE_CONTENT_TYPE}; adapter={self._adapter}; reason={item.reason}"
        original = item.original
        return Message(
            key,
            original[: self._max_value_bytes],
            {
                "ingest_timestamp": received,
                # The source would otherwise look for an `event_time` in the bytes, and could move the watermark by it.
                "event_timestamp": b"0",
                "content-type": content_type.encode(),
                **self._common,
                "ce_id": f"u-{xxhash.xxh3_128_hexdigest(original)}".encode(),
                "ce_type": UNREADABLE_TYPE.encode(),
                "ce_time": _rfc3339(received_ms),
                "bridge_timestamp": received,
                "traceparent": self._traceparent(traceparent),
                "bridge_reason": item.reason.encode(),
                "bridge_message": item.message[:_MAX_MESSAGE].encode(errors="replace"),
                "bridge_original_bytes": b"%d" % len(original),
                "bridge_original_sha256": hashlib.sha256(original).hexdigest().encode(),
            },
        )


def shortened(message: Message, error: str) -> Message:
    """Make a record that Kafka takes, and the job refuses, of one that is too large for its topic.

    Its headers say how long the value was, and its SHA-256.
    """
    return Message(
        message.key,
        message.value[:SHORTENED_BYTES],
        {
            **message.headers,
            "content-type": f"{UNREADABLE_CONTENT_TYPE}; reason={Refusal.TOO_LARGE}".encode(),
            "bridge_reason": Refusal.TOO_LARGE.encode(),
            "bridge_message": error.encode(),
            "bridge_original_bytes": b"%d" % len(message.value),
            "bridge_original_sha256": hashlib.sha256(message.value).hexdigest().encode(),
        },
    )


def _event_time_ns(raw: Any) -> int | None:
    if type(raw) is int and SECONDS_BELOW <= raw < MILLISECONDS_BELOW:
        return raw * 1_000_000
    try:
        return normalise_event_time(raw, None)
    except Rejected:
        return None  # a naive or broken time: the job knows the zone, or refuses it


def _event_id(reading: Reading, value: bytes, event_ns: int | None) -> str:
    """Give the feed's own event id within its sensor, or the one that the job derives as well."""
    sensor_id, event_id = reading.get("sensor_id"), reading.get("event_id")
    if type(sensor_id) is str:
        if type(event_id) is str and event_id:
            return f"{sensor_id}/{event_id}"
        metric, sent = reading.get("metric"), reading.get("value")
        if type(metric) is str and event_ns is not None and (type(sent) is float or type(sent) is int):
            return derive_event_id(event_id_start(sensor_id, metric), event_ns, float(sent))
    return f"v-{xxhash.xxh3_128_hexdigest(value)}"


@lru_cache(maxsize=65_536)
def _header_text(text: str) -> bytes | None:
    if not text or len(text) > MAX_TEXT_LENGTH or text.isspace():
        return None
    return text.encode()


def _rfc3339(epoch_ms: int) -> bytes:
    seconds, ms = divmod(epoch_ms, 1_000)
    return _rfc3339_second(seconds) + _MILLISECONDS[ms]


@lru_cache(maxsize=1_024)
def _rfc3339_second(seconds: int) -> bytes:
    # RFC 3339 has years of four digits.
    moment = _EPOCH + timedelta(seconds=seconds) if _FIRST_SECOND <= seconds < _END_SECOND else _EPOCH
    return moment.isoformat()[:19].encode()

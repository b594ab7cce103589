"""What a station, or its gateway's last will, says of itself: one JSON record, the last one for each station kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from jobs.bridge.envelope import Message

_STATES: Final = {
    **dict.fromkeys(("online", "connected", "up", "alive", "true", "1"), "online"),
    **dict.fromkeys(("offline", "disconnected", "down", "lost", "false", "0"), "offline"),
}
_FIELDS: Final = ("status", "state", "online", "connected")
_LONGEST_TEXT: Final = 256


def station_status(topic: str, fields: Mapping[str, str], body: bytes, retained: bool, received_ms: int) -> Message:
    """Make the status record of one message; it never raises.

    Parameters
    ----------
    fields
        The named levels of the topic: `sensor_id`, and what else its template names.
    body
        A word such as `offline`, or a JSON object with one of the keys status, state, online or connected.
    retained
        It was sent before the bridge subscribed; when is not known.

    Returns
    -------
        JSON with `status` (`online`, `offline` or `unknown`), `text` as it was sent, `topic`, `retained`,
        `received_ms` and the named levels. Key: `sensor_id`, so that compaction keeps the last one.
    """
    text = _text(body)
    record = {
        **fields,
        "status": _STATES.get(text.strip().lower(), "unknown"),
        "text": text[:_LONGEST_TEXT],
        "topic": topic,
        "retained": retained,
        "received_ms": received_ms,
    }
    headers = {"content-type": b"application/json", "bridge_timestamp": b"%d" % received_ms}
    return Message(fields["sensor_id"].encode(), orjson.dumps(record), headers)


def _text(body: bytes) -> str:
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    if isinstance(found, dict):
        found = next((found[name] for name in _FIELDS if name in found), "")
    return found if isinstance(found, str) else str(found)

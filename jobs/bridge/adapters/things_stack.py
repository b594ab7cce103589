"""The Things Stack (The Things Network) v3: uplinks by MQTT `…/up` or webhook.

| feed | reading |
|---|---|
| each known field of `uplink_message.normalized_payload[]`, else of `.decoded_payload` | one reading: see `jobs/bridge/decoded_uplink.py` for names and units |
| `end_device_ids.application_ids.application_id`, `.device_id` | `sensor_id`, as `things_stack/<application>/<device>` |
| `uplink_message.session_key_id`, `.f_cnt` | `event_id`, with the field; a frame keeps it through every retry |
| `time` of a normalised measurement, else `uplink_message.received_at` | `event_time` |
| a position in the payload, else `uplink_message.locations`, else the station table (by device id) | `x`, `y`, `z` in EPSG:4326 |
| `end_device_ids.dev_eui`, `uplink_message.f_port` | attributes |
| joins, downlinks, `location_solved`, …, and what is `simulated` | measure nothing |

The server leaves out what is zero or empty: no `f_cnt` is the frame 0.

Source: https://www.thethingsindustries.com/docs/integrations/data-formats/
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from jobs.bridge.decoded_uplink import DecodedUplinks, position_of
from jobs.bridge.feed import Item, Payload, Reading, Refusal, Unfit, load_json
from jobs.bridge.fields import as_object, as_text
from jobs.bridge.station_feed import wgs84


class ThingsStack(DecodedUplinks):
    """Reads `ApplicationUp` messages."""

    name: ClassVar[str] = "things_stack"

    def read(self, payload: Payload) -> Iterator[Item]:
        message = as_object(load_json(payload.body), "the payload")
        ids = as_object(message.get("end_device_ids"), "end_device_ids")
        if "uplink_message" not in message or message.get("simulated") is True:
            return self.no_measurement()
        uplink = as_object(message["uplink_message"], "uplink_message")
        decoded = uplink.get("decoded_payload")
        normalised = uplink.get("normalized_payload")
        if decoded is None and normalised is None:
            if not uplink.get("frm_payload"):
                return self.no_measurement()  # a frame of MAC commands only
            raise Unfit(Refusal.MISSING_FIELD, "no decoded_payload: the application has no payload formatter for it")
        fields = {} if decoded is None else as_object(decoded, "decoded_payload")
        common = self._common(ids, uplink, fields, payload)
        received_at = uplink.get("received_at") or message.get("received_at")
        measurements = normalised if isinstance(normalised, list) else [normalised]
        for number, one in enumerate([fields] if normalised is None else measurements):
            one = as_object(one, "a normalised measurement")
            sent_at = one.get("time") if normalised is not None else None
            of_one = {**common, "event_time": self.event_time(sent_at or received_at)}
            if number and "event_id" in common:
                of_one["event_id"] = f"{common['event_id']}/{number}"
            yield from self.decoded(one, of_one, payload)
        return None

    def _common(self, ids: Reading, uplink: Reading, fields: Reading, payload: Payload) -> Reading:
        device = as_text(ids.get("device_id"), "device_id")
        application = as_object(ids.get("application_ids"), "application_ids").get("application_id")
        common = {
            "sensor_id": f"things_stack/{as_text(application, 'application_id')}/{device}",
            **self.place(device, payload, position_of(fields) or _registered(uplink.get("locations"))),
        }
        session, count = uplink.get("session_key_id"), uplink.get("f_cnt", 0)
        if isinstance(session, str) and session and type(count) is int:
            common["event_id"] = f"{session}/{count}"
        if isinstance(ids.get("dev_eui"), str):
            common["dev_eui"] = ids["dev_eui"]
        if type(uplink.get("f_port")) is int:
            common["f_port"] = uplink["f_port"]
        return common


def _registered(locations: Any) -> Reading | None:
    """The device's own location: one of the payload's frame first, then what its owner registered."""
    if not isinstance(locations, dict):
        return None
    names = [*sorted(name for name in locations if name != "user"), "user"]
    for found in (locations.get(name) for name in names):
        if isinstance(found, dict) and found.get("latitude") is not None and found.get("longitude") is not None:
            return wgs84(found["longitude"], found["latitude"], found.get("altitude"))
    return None

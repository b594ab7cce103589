"""ChirpStack v4: uplink events by MQTT `application/<id>/device/<eui>/event/up` or HTTP, as JSON.

| feed | reading |
|---|---|
| each known field of `object` | one reading: see `jobs/bridge/decoded_uplink.py` for names and units |
| `deviceInfo.devEui` | `sensor_id`, as `chirpstack/<devEui>` |
| `deduplicationId` | `event_id`, with the field |
| `time` | `event_time`: when the network server received it |
| a position in `object`, else the tags `latitude`, `longitude` of `deviceInfo.tags`, else the station table (by devEui) | `x`, `y`, `z` in EPSG:4326 |
| `deviceInfo.applicationName`, `.deviceName`, `.tags.region`, `fPort` | attributes `application`, `device`, field `region`, attribute `f_port` |
| joins, status, acks, logs | measure nothing |

Source: https://www.chirpstack.io/docs/chirpstack/integrations/events.html
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from jobs.bridge.decoded_uplink import DecodedUplinks, position_of
from jobs.bridge.feed import Item, Payload, Reading, Refusal, Unfit, load_json
from jobs.bridge.fields import as_object, as_text
from jobs.bridge.station_feed import wgs84


class ChirpStack(DecodedUplinks):
    """Reads events in JSON; an integration that is set to Protobuf has to be changed."""

    name: ClassVar[str] = "chirpstack"

    def read(self, payload: Payload) -> Iterator[Item]:
        message = as_object(load_json(payload.body), "the payload")
        device = as_object(message.get("deviceInfo"), "deviceInfo")
        fields = message.get("object")
        if fields is None:
            if "fPort" not in message or not message.get("data"):
                return self.no_measurement()  # a join, a status, an ack, a frame of MAC commands only
            raise Unfit(Refusal.MISSING_FIELD, "no object: the device profile has no codec for it")
        fields = as_object(fields, "object")
        event_time = self.event_time(message.get("time"))
        yield from self.decoded(
            fields, {**self._common(device, message, fields, payload), "event_time": event_time}, payload
        )
        return None

    def _common(self, device: Reading, message: Reading, fields: Reading, payload: Payload) -> Reading:
        eui = as_text(device.get("devEui"), "devEui")
        tags = device["tags"] if isinstance(device.get("tags"), dict) else {}
        found = position_of(fields)
        if found is None and tags.get("latitude") and tags.get("longitude"):
            found = wgs84(tags["longitude"], tags["latitude"], tags.get("altitude"))
        place = self.place(eui, payload, found)
        if isinstance(tags.get("region"), str) and tags["region"]:
            place.setdefault("region", tags["region"])
        common = {"sensor_id": f"chirpstack/{eui}", **place}
        if isinstance(message.get("deduplicationId"), str) and message["deduplicationId"]:
            common["event_id"] = message["deduplicationId"]
        for name, value in (("application", device.get("applicationName")), ("device", device.get("deviceName"))):
            if isinstance(value, str):
                common[name] = value
        if type(message.get("fPort")) is int:
            common["f_port"] = message["fPort"]
        return common

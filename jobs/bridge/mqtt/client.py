"""paho's client, driven by the bridge's own loop and told to leave every acknowledgement to it.

Messages do not go the way that paho has for them, so that a few of its internal methods are overridden, and paho is
pinned to 2.2:

- **QoS 2.** paho sends PUBREC as soon as a message has come and keeps it in memory until PUBREL. After PUBREC the
  message is the receiver's: a crash in between loses it. Here a message is handed on when it comes, PUBREC waits until
  it is safe, and PUBREL is answered at once (MQTT 5.0, 4.3.3, method B).
- **Speed.** Packets of messages are read without paho's objects, locks and topic matching, acknowledgements go out in
  bulk, and the socket reads ahead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from jobs.bridge.mqtt.publish import Publish, parse_publish
from jobs.bridge.mqtt.read_ahead import ReadAheadSocket

_ACKNOWLEDGEMENT: Final = struct.Struct("!BBH").pack
_PUBACK, _PUBREC = 0x40, 0x50


class ManualClient(Client):
    """A client whose messages are acknowledged by `acknowledge` only.

    Parameters
    ----------
    on_received
        Takes each message, from within `loop_read`.
    """

    def __init__(
        self, client_id: str, protocol: MQTTProtocolVersion, on_received: Callable[[Publish], None], **options: Any
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=protocol,
            manual_ack=True,
            reconnect_on_failure=False,
            **options,
        )
        self._on_received = on_received
        self._is_v5 = protocol == MQTTProtocolVersion.MQTTv5
        # paho writes each packet at once unless somebody says that they will.
        self.on_socket_register_write = lambda *_: None

    def acknowledge(self, mid: int, qos: int) -> None:
        """Tell the broker that a message is ours now: PUBACK of QoS 1, PUBREC of 2; the socket's `flush` sends it."""
        if self._sock is not None:
            self._sock.send(_ACKNOWLEDGEMENT(_PUBACK if qos == 1 else _PUBREC, 2, mid))

    @property
    def buffered(self) -> ReadAheadSocket | None:
        return self._sock  # type: ignore[return-value]

    def _create_socket(self) -> Any:
        return ReadAheadSocket(super()._create_socket())  # type: ignore[arg-type]

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        try:
            message = parse_publish(packet["command"], packet["packet"], self._is_v5)
        except ValueError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._on_received(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrel(self) -> MQTTErrorCode:
        (mid,) = struct.unpack_from("!H", self._in_packet["packet"])
        return super()._handle_pubrel() or self._send_pubcomp(mid)

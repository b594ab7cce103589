"""The connection to the broker: session, TLS, subscriptions, and coming back after it is lost."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from jobs.bridge.journal import Journal
from jobs.bridge.mqtt.client import ManualClient
from jobs.bridge.mqtt.config import Broker, MqttBridge, Subscription, Tls, read_password
from jobs.bridge.mqtt.publish import Publish
from jobs.bridge.mqtt.read_ahead import ReadAheadSocket

_SESSION_TAKEN_OVER: Final = "Session taken over"
_PASSING: Final = frozenset(
    {"Server unavailable", "Server busy", "Use another server", "Server moved", "Quota exceeded"}
)
"""Refusals of a CONNECT that may be over soon; all others are a matter of configuration."""
_RETAIN_HANDLING: Final = {"always": 0, "new": 1, "never": 2}
_FIRST_PAUSE_S: Final = 1.0
_SHORT_LIFE_S: Final = 10.0
_SHORT_LIVES: Final = 5


class RefusedByBroker(Exception):  # noqa: N818
    """What trying again unchanged cannot mend; one line for a person."""


def identify(client: Client, broker: Broker, folder: Path) -> None:
    """Give a client the user and the certificates that a bridge's file names.

    Raises
    ------
    RefusedByBroker: a certificate or password file cannot be read.
    """
    try:
        if broker.username is not None:
            client.username_pw_set(broker.username, read_password(broker, folder))
        if broker.tls is not None:
            client.tls_set_context(_tls_context(broker.tls, folder))
    except (OSError, ssl.SSLError) as error:
        raise RefusedByBroker(f"broker: {getattr(error, 'filename', None) or 'tls'}: {error}") from None


class Connection:
    """One MQTT session. Nothing happens but in `tend` and `flush` and what the client's `loop_read` calls.

    Parameters
    ----------
    config, folder
        The configuration and where it is: paths are relative to it.
    on_received
        Takes each message.
    on_lost
        Called when the connection has ended: what is not acknowledged will come again.

    Raises
    ------
    RefusedByBroker: a certificate or password file cannot be read.
    """

    def __init__(
        self,
        config: MqttBridge,
        folder: Path,
        journal: Journal,
        on_received: Callable[[Publish], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._config, self._journal, self._on_lost = config, journal, on_lost
        broker = config.broker
        self._is_v5 = broker.protocol == "5"
        protocol = MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311
        session = {} if self._is_v5 else {"clean_session": False}
        self.client = ManualClient(config.client_id, protocol, on_received, **session)
        self.client.connect_timeout = broker.connect_timeout / 1000
        identify(self.client, broker, folder)
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._subscribed
        self.client.on_disconnect = self._disconnected
        self.is_ready = False
        """Connected, and all subscriptions granted."""
        self.connections = 0
        self._was_ready = False
        self._refusal: str | None = None
        self._awaiting_since_s: float | None = None  # of a CONNACK or SUBACK
        self._pause_s = _FIRST_PAUSE_S
        self._next_attempt_s = 0.0
        self._ready_since_s = 0.0
        self._short_lives = 0

    @property
    def socket(self) -> ReadAheadSocket | None:
        return self.client.buffered

    def tend(self, now_s: float) -> None:
        """Connect if it is time to, keep alive, give up what does not answer.

        Raises
        ------
        RefusedByBroker
        """
        if self._refusal is not None:
            raise RefusedByBroker(self._refusal)
        if self.socket is None:
            if now_s >= self._next_attempt_s:
                self._connect(now_s)
            return
        if self._awaiting_since_s is not None:
            if now_s - self._awaiting_since_s > self._config.broker.connect_timeout / 1000:
                self._journal.event("no_answer", broker=self._config.source)
                self._drop()
            return
        self.client.loop_misc()

    def flush(self) -> None:
        """Send what is waiting to be sent."""
        if self.client.want_write():
            self.client.loop_write()
        if (sock := self.socket) is not None and sock.has_unsent:
            try:
                sock.flush()
            except OSError:
                self._drop()

    def leave(self) -> None:
        """End the connection in an orderly way; the broker keeps the session and queues for it."""
        self.is_ready = False
        if self.socket is not None:
            self.client.disconnect()
            self.client.loop_write()

    def _drop(self) -> None:
        """Leave without waiting for anything; `_disconnected` does the rest."""
        self.client.disconnect()
        self.client.loop_write()

    def _connect(self, now_s: float) -> None:
        broker = self._config.broker
        options: dict[str, Any] = {}
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = broker.session_expiry // 1000
            properties.ReceiveMaximum = broker.receive_maximum
            options = {"clean_start": False, "properties": properties}
        # Between half and the whole of a doubling pause, so that many bridges do not come back at once.
        self._next_attempt_s = now_s + self._pause_s * random.uniform(0.5, 1)
        self._pause_s = min(2 * self._pause_s, broker.reconnect_after / 1000)
        try:
            self.client.connect(broker.host, broker.port, broker.keepalive // 1000, **options)
        except ssl.SSLCertVerificationError as error:
            self._unreachable(f"the broker's certificate is not trusted: {error.verify_message}", is_permanent=True)
        except ssl.SSLError as error:
            self._unreachable(f"no TLS with the broker: {error.reason or error}", is_permanent=True)
        except OSError as error:
            self._unreachable(error.strerror or str(error), is_permanent=False)
        else:
            self._awaiting_since_s = time.monotonic()

    def _unreachable(self, why: str, is_permanent: bool) -> None:
        # Once it has worked, what is wrong is on the broker's side, and may be mended there.
        if is_permanent and not self._was_ready:
            raise RefusedByBroker(f"{self._config.source}: {why}")
        self._journal.event("unreachable", broker=self._config.source, why=why)

    def _connected(self, _client: Any, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            if str(reason) in _PASSING or self._was_ready:
                self._journal.event("refused", broker=self._config.source, why=str(reason))
            else:
                self._refusal = f"{self._config.source} refuses the connection: {reason}"
            return
        self.connections += 1
        self._journal.event("connected", broker=self._config.source, session_present=flags.session_present)
        wanted = [self._wanted(subscription) for subscription in self._config.subscriptions]
        self.client.subscribe(wanted)
        self._awaiting_since_s = time.monotonic()

    def _wanted(self, subscription: Subscription) -> tuple[str, Any]:
        if not self._is_v5:
            return subscription.topic_filter, subscription.qos
        # A shared subscription has no retained messages (MQTT 5.0, 3.8.4).
        handling = 2 if subscription.share else _RETAIN_HANDLING[subscription.retained]
        return subscription.topic_filter, SubscribeOptions(subscription.qos, retainHandling=handling)

    def _subscribed(self, _client: Any, _userdata: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        for subscription, reason in zip(self._config.subscriptions, reasons, strict=False):
            if reason.is_failure or reason.value < subscription.qos:
                self._refusal = f"subscription {subscription.topic_filter} at QoS {subscription.qos}: {reason}"
                return
        self._awaiting_since_s = None
        self._pause_s = _FIRST_PAUSE_S
        self._ready_since_s = time.monotonic()
        self.is_ready = self._was_ready = True
        self._journal.event("subscribed", filters=[s.topic_filter for s in self._config.subscriptions])

    def _disconnected(self, _client: Any, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if self.is_ready:
            self._count_life(
                is_taken_over=flags.is_disconnect_packet_from_server and str(reason) == _SESSION_TAKEN_OVER
            )
        self.is_ready = False
        self._awaiting_since_s = None
        self._journal.event("disconnected", why=str(reason))
        self._on_lost()

    def _count_life(self, is_taken_over: bool) -> None:
        """Give up when another client has our name: each would drive the other one out for ever.

        MQTT 5 brokers may say so; others only end the connection, again and again.
        """
        is_short = time.monotonic() - self._ready_since_s < _SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        if is_taken_over or self._short_lives >= _SHORT_LIVES:
            self._refusal = (
                f"{self._config.source} ends the connection again and again; is another client connected as "
                f"{self._config.client_id!r}?"
            )


def _tls_context(tls: Tls, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / tls.ca_file) if tls.ca_file else None)
    if tls.certificate is not None and tls.key is not None:
        context.load_cert_chain(folder / tls.certificate, folder / tls.key)
    return context

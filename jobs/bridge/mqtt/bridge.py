"""The MQTT bridge's loop: receive, hand to the outbox, acknowledge what is safe.

There is one thread. paho runs in it (its loop functions are called from here), librdkafka's delivery callbacks run in
it (they come from `Outbox.turn`), and so does the spool. An acknowledgement therefore never races with a
reconnection: a message id belongs to the connection it came by, and what that connection has not acknowledged comes
again by the next.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import psutil

from jobs.bridge.breakers.positions import open_guard
from jobs.bridge.journal import Journal
from jobs.bridge.lanes import Lanes, Outgoing
from jobs.bridge.mqtt.config import MqttBridge
from jobs.bridge.mqtt.connection import Connection
from jobs.bridge.mqtt.intake import Intake
from jobs.bridge.mqtt.publish import Publish
from jobs.bridge.outbox import Receipt
from jobs.bridge.shedding.account import Account
from jobs.bridge.shedding.gate import Gate
from jobs.bridge.shedding.reporter import Reporter
from jobs.pipeline.config import Deployment

_BATCH: Final = 500  # messages between two looks at Kafka's answers
_BUSY_WAIT_S: Final = 0.003
_IDLE_WAIT_S: Final = 0.25
_TEND_EVERY_S: Final = 0.5


class _Unacknowledged(Receipt):
    """A message of the current connection that the broker still holds for us."""

    __slots__ = ("mid", "qos")

    def __init__(self, mid: int, qos: int) -> None:
        super().__init__()
        self.mid = mid
        self.qos = qos


class Bridge:
    """Carries messages from one broker session to Kafka until `stop` is called.

    Parameters
    ----------
    config, folder
        The configuration and where it is.
    deployment
        Its topics and streams.
    lanes
        Which the bridge closes at its end.
    """

    def __init__(
        self,
        config: MqttBridge,
        folder: Path,
        deployment: Deployment,
        lanes: Lanes,
        journal: Journal,
    ) -> None:
        self._config, self._lanes, self._journal = config, lanes, journal
        self._gate: Gate | None = None
        self._reporter: Reporter | None = None
        if config.shedding is not None:
            account = Account(config.name, time.time_ns() // 1_000_000)
            if lanes.routine.diversion is not None:
                lanes.routine.diversion.on_stored = account.diverted
            accounting = deployment.topics.accounting.name
            self._gate = Gate(account, config.shedding, deployment.stream_rules, lambda: lanes.backlog)
            self._reporter = Reporter(
                account, lambda message, receipt: lanes.put(Outgoing(accounting, message), receipt)
            )
        self._guard = open_guard(config.breakers, deployment.position.rule, journal.event)
        self._intake = Intake(config, deployment.topics.raw.name, self._gate, self._guard)
        self._connection = Connection(config, folder, journal, self._received, self._lost)
        self._unacknowledged: deque[_Unacknowledged] = deque()  # in the order of arrival
        self._messages = self._acknowledged = self._come_again = 0
        self._is_stopping = False
        self._was_spooling = False
        self._is_paused = False
        self._tend_at_s = self._report_at_s = 0.0
        self._process = psutil.Process(os.getpid())

    def stop(self) -> None:
        """Ask `run` to end; may be called by a signal handler."""
        self._is_stopping = True

    def run(self, on_tend: Callable[[float], None] = lambda now_s: None) -> None:
        """Work until stopped, then leave everything safe: nothing is acknowledged that is not, nothing safe is not.

        Raises
        ------
        RefusedByBroker, ProducerFailed
        """
        self._journal.event("started", spooled=self._lanes.spool_records, source=self._config.source)
        try:
            while not self._is_stopping:
                self._wait()
                self._receive()
                self._settle()
                now_s = time.monotonic()
                if now_s >= self._tend_at_s:
                    self._tend_at_s = now_s + _TEND_EVERY_S
                    self._tend(now_s)
                    on_tend(now_s)
        finally:
            self._finish()

    # --- one round ---

    def _wait(self) -> None:
        busy = self._lanes.in_flight or (self._reporter is not None and not self._reporter.is_done)
        timeout_s = _BUSY_WAIT_S if busy else _IDLE_WAIT_S
        sock = self._connection.socket
        if sock is None:
            time.sleep(min(timeout_s, 0.05))
            return
        reading = self._lanes.has_room()
        if reading and sock.pending():
            return
        select.select([sock] if reading else [], [sock] if sock.has_unsent else [], [], timeout_s)

    def _receive(self) -> None:
        client, lanes = self._connection.client, self._lanes
        for _ in range(_BATCH):
            sock = client.buffered
            if sock is None or not lanes.has_room():
                return
            client.loop_read()  # one packet at most
            if not sock.pending():
                return

    def _received(self, message: Publish) -> None:
        self._messages += 1
        if message.is_repeat:
            self._come_again += 1
        receipt = _Unacknowledged(message.mid, message.qos)
        for outgoing in self._intake.records(message, time.time_ns() // 1_000_000):
            if outgoing is not None:
                self._lanes.put(outgoing, receipt)
            elif self._reporter is not None:
                self._reporter.hold(receipt)
        if message.qos:
            self._unacknowledged.append(receipt)

    def _settle(self) -> None:
        """Acknowledge what has become safe, in the order of arrival (MQTT 5.0, 4.6)."""
        self._lanes.turn()
        if self._reporter is not None:
            self._reporter.turn()
        waiting = self._unacknowledged
        while waiting and not waiting[0].unsafe:
            receipt = waiting.popleft()
            self._connection.client.acknowledge(receipt.mid, receipt.qos)
            self._acknowledged += 1
        self._connection.flush()

    def _lost(self) -> None:
        self._unacknowledged.clear()

    # --- now and then ---

    def _tend(self, now_s: float) -> None:
        self._pause_or_resume()
        if not self._is_paused:
            self._connection.tend(now_s)
        if self._lanes.is_spooling != self._was_spooling:
            self._was_spooling = self._lanes.is_spooling
            event = "spooling" if self._was_spooling else "caught_up"
            self._journal.event(event, why=self._lanes.last_error, spooled=self._lanes.spool_records)
        if now_s >= self._report_at_s:
            if self._report_at_s:
                self._report("counters")
            self._report_at_s = now_s + self._config.report_every / 1000

    def _pause_or_resume(self) -> None:
        """With a full spool, leave the broker: it queues, or gives a shared subscription's messages to others."""
        if self._lanes.is_full and not self._is_paused:
            self._is_paused = True
            self._journal.event("paused", why="the spool is full", spool_bytes=self._lanes.spool_bytes)
            self._connection.leave()
        elif self._is_paused and self._lanes.has_room():
            self._is_paused = False
            self._journal.event("resumed", spool_bytes=self._lanes.spool_bytes)

    def figures(self) -> dict[str, Any]:
        """All counters since the start, and how things stand."""
        outbox = asdict(self._lanes.counters)
        gate = self._gate
        return {
            "received": self._messages,
            "come_again": self._come_again,
            "acknowledged": self._acknowledged,
            "unacknowledged": len(self._unacknowledged),
            "unreadable": 0,
            **self._intake.counters,
            "refused": dict(self._intake.refused),
            "passed_over": self._intake.passed_over,
            **outbox,
            "dropped": outbox["damaged_on_disk"],
            **({} if gate is None else {"shed": dict(gate.account.total), "alarms": gate.alarms}),
            **self._lanes.diversion_figures(),
            "breakers": self._breakers(),
            "in_flight": self._lanes.in_flight,
            "spool_records": self._lanes.spool_records,
            "spool_bytes": self._lanes.spool_bytes,
            "connected": self._connection.is_ready,
            "connections": self._connection.connections,
            "kafka_error": self._lanes.last_error if self._lanes.is_spooling else None,
        }

    def _breakers(self) -> dict[str, Any]:
        found = [self._lanes.breaker, None if self._guard is None else self._guard.breaker]
        return {breaker.name: breaker.figures() for breaker in found if breaker is not None}

    def _report(self, event: str) -> None:
        self._journal.event(event, **self.figures(), rss_bytes=self._process.memory_info().rss)

    def _finish(self) -> None:
        """Wait for Kafka as long as the configuration allows, spool the rest, acknowledge, leave."""
        deadline_s = time.monotonic() + self._config.stop_within / 1000
        try:
            self._settle()
            if self._reporter is not None:
                self._reporter.flush()
            self._wait_for_kafka(deadline_s)
            self._lanes.settle()
            if self._reporter is not None and not self._lanes.waiting:
                self._reporter.report(is_last=True)
                self._wait_for_kafka(deadline_s)
            self._lanes.secure()
            self._settle()
        finally:
            self._lanes.settle()
            self._connection.leave()
            self._report("stopped")
            self._lanes.close()

    def _wait_for_kafka(self, deadline_s: float) -> None:
        while self._lanes.in_flight and not self._lanes.is_spooling and time.monotonic() < deadline_s:
            self._lanes.wait(0.05)
            self._settle()

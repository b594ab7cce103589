"""From MQTT messages to Kafka records: which subscription, which adapter, which envelope. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from jobs.bridge.breakers.positions import PositionGuard
from jobs.bridge.envelope import Enveloper, Message
from jobs.bridge.feed import Adapter, Payload, Refusal, Unreadable, make_adapter
from jobs.bridge.lanes import Outgoing
from jobs.bridge.mqtt.config import MqttBridge, Subscription
from jobs.bridge.mqtt.publish import Publish
from jobs.bridge.mqtt.status import station_status
from jobs.bridge.mqtt.template import Router, TopicTemplate
from jobs.bridge.shedding.gate import Gate, Passed

_EVERYTHING = Passed(False, [])


class _Feed:
    """A subscription with its own adapter."""

    def __init__(self, subscription: Subscription, config: MqttBridge) -> None:
        self.is_status = subscription.kind == "status"
        self.wants_retained = subscription.retained != "never"
        self.adapter: Adapter | None = None
        if subscription.adapter is not None:
            self.adapter = make_adapter(subscription.adapter, subscription.options)
            self.wrap = Enveloper(config.source, subscription.adapter, config.key.key()).message


class Intake:
    """Makes records of messages. Belongs to one thread.

    Parameters
    ----------
    config
        Whose subscriptions the messages come from.
    raw_topic
        Of the deployment.
    gate
        Of a bridge that sheds load.
    guard
        Of a bridge that tries positions.
    """

    def __init__(
        self, config: MqttBridge, raw_topic: str, gate: Gate | None = None, guard: PositionGuard | None = None
    ) -> None:
        self.counters: Counter[str] = Counter()
        """`items`, of them `unreadable`; `statuses`, `empty` messages, `retained` and `retained_unwanted` ones."""
        self.refused: Counter[str] = Counter()
        """Unreadable parts, by reason. They are in the raw topic as well."""
        self._raw_topic, self._status_topic, self._gate, self._guard = raw_topic, config.status_topic, gate, guard
        self._feeds = [_Feed(subscription, config) for subscription in config.subscriptions]
        self._router = Router([TopicTemplate(subscription.template) for subscription in config.subscriptions])
        self._wrap_unknown = Enveloper(config.source, "none", config.key.key()).message

    @property
    def passed_over(self) -> dict[str, int]:
        """What feeds sent that is neither a reading nor an error, by kind."""
        total: Counter[str] = Counter()
        for feed in self._feeds:
            if feed.adapter is not None:
                total.update({kind.value: count for kind, count in feed.adapter.passed_over.items()})
        return dict(total)

    def records(self, received: Publish, received_ms: int) -> Iterator[Outgoing | None]:
        """Make the records of a message; none if it holds no reading, never an exception.

        Returns
        -------
            Records; None for each reading that was shed. Those for the raw topic say in `ce_subject` which MQTT topic
            they came by, and in `mqtt_retained` that they are a last known value that the broker had kept.
        """
        found = self._router.route(received.topic)
        if found is None:
            yield Outgoing(self._raw_topic, self._of_unknown_topic(received, received_ms))
            return
        feed, fields = self._feeds[found[0]], found[1]
        if received.is_retained:
            if not feed.wants_retained:
                self.counters["retained_unwanted"] += 1
                return
            self.counters["retained"] += 1
        if feed.adapter is None:
            self.counters["statuses"] += 1
            status = station_status(received.topic, fields, received.body, received.is_retained, received_ms)
            yield Outgoing(self._status_topic, status)
            return
        count = 0
        marks = _marks(received)
        for item in feed.adapter.readings(Payload(received.body, _context(received, fields), received_ms)):
            count += 1
            if isinstance(item, Unreadable):
                self.counters["unreadable"] += 1
                self.refused[item.reason.value] += 1
            passed = _EVERYTHING if self._gate is None else self._gate.judge(item, received.topic)
            if passed is None:
                yield None
                continue
            message = feed.wrap(item, received_ms, received.traceparent)
            message.headers.update(marks)
            message.headers.update(passed.headers)
            is_misplaced = self._guard is not None and self._guard.diverts(item)
            yield Outgoing(self._raw_topic, message, passed.is_alarm, is_misplaced)
        self.counters["items"] += count
        if not count:
            self.counters["empty"] += 1

    def _of_unknown_topic(self, received: Publish, received_ms: int) -> Message:
        """A session may still have a subscription that the configuration has no longer: not ours to drop."""
        self.counters["unreadable"] += 1
        self.refused["unexpected_topic"] += 1
        text = f"no template fits the topic {received.topic!r}: unsubscribe, or begin a new session"
        item = Unreadable(Refusal.UNEXPECTED_ERROR, text, received.body)
        message = self._wrap_unknown(item, received_ms, received.traceparent)
        message.headers.update(_marks(received))
        if self._gate is not None:
            message.headers.update([self._gate.account.admit()])
        return message


def _marks(received: Publish) -> dict[str, bytes]:
    marks = {"ce_subject": received.topic.encode()}
    if received.is_retained:
        marks["mqtt_retained"] = b"true"
    return marks


def _context(received: Publish, fields: Mapping[str, str]) -> Mapping[str, str]:
    context = {**fields, "topic": received.topic}
    if received.is_retained:
        context["retained"] = "true"
    return context

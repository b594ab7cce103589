"""Configuration of the MQTT bridge, one YAML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from jobs.bridge.breakers.config import Breakers
from jobs.bridge.feed import UnknownAdapter, make_adapter
from jobs.bridge.loopback import is_loopback
from jobs.bridge.mqtt.template import TopicTemplate
from jobs.bridge.page import MetricsPort
from jobs.bridge.shedding.config import Shedding
from jobs.bridge.size import Size
from jobs.bridge.spatial_key import KeyRule
from jobs.pipeline.config import Name, TopicName
from jobs.pipeline.durations import DurationMs
from jobs.pipeline.section import Section

Positive = Annotated[DurationMs, Field(gt=0)]

_LONGEST_EXPIRY_MS = 0xFFFF_FFFE * 1_000  # one more means: never


class Tls(Section):
    """Certificates as PEM files. The broker's is always verified, its name included."""

    ca_file: Path | None = Field(None, description="authorities that are trusted; otherwise the system's")
    certificate: Path | None = Field(None, description="of this client")
    key: Path | None = None

    @model_validator(mode="after")
    def _belong_together(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class Broker(Section):
    """The MQTT broker, and the session that it keeps for this bridge."""

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65_535)
    protocol: Literal["5", "3.1.1"] = "5"
    client_id: str | None = Field(None, min_length=1, max_length=128, description="names the session; else the bridge")
    username: str | None = None
    password_file: Path | None = Field(None, description="holds the password and nothing else")
    password: str | None = Field(None, description="as ${NAME} of the environment", repr=False)
    tls: Tls | None = None
    keepalive: Annotated[DurationMs, Field(ge=5_000, le=3_600_000)] = 60_000
    session_expiry: Annotated[DurationMs, Field(ge=60_000, le=_LONGEST_EXPIRY_MS)] = Field(
        7 * 86_400_000, description="how long the broker queues for an absent bridge (MQTT 5; else its own setting)"
    )
    receive_maximum: int = Field(
        2_000,
        ge=1,
        le=65_535,
        description="messages not acknowledged (MQTT 5; else max_inflight_messages of the broker)",
    )
    connect_timeout: Annotated[DurationMs, Field(ge=1_000, le=120_000)] = 10_000
    reconnect_after: Positive = Field(30_000, description="longest pause between attempts; they begin with 1 s")

    @model_validator(mode="after")
    def _consistent(self) -> Broker:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password: either it or password_file")
        if (self.password or self.password_file) and self.username is None:
            raise ValueError("username: a password needs one")
        if self.username is not None and self.tls is None and not is_loopback(self.host):
            raise ValueError("tls: a password would be readable on the way")
        return self


class Subscription(Section):
    """Topics of one shape. Where several fit a topic, the first one in the file takes it."""

    template: str = Field(description="such as site/{region}/{sensor_id}/{metric}; {name...} for all further levels")
    kind: Literal["readings", "status"] = "readings"
    adapter: str | None = Field(None, description="of readings; `meridian bridge check` lists them")
    options: dict[str, Any] = Field({}, description="of the adapter")
    qos: Literal[1, 2] = 1
    share: str | None = Field(
        None, pattern=r"^[^/+#\s]{1,64}$", description="group of bridges that share the messages; needs broker support"
    )
    retained: Literal["new", "always", "never"] = Field(
        "new", description="when the broker's last known values are wanted: with a new subscription, at every start"
    )

    @field_validator("template")
    @classmethod
    def _is_template(cls, value: str) -> str:
        TopicTemplate(value)
        return value

    @model_validator(mode="after")
    def _adapter_is_usable(self) -> Subscription:
        if (self.adapter is None) != (self.kind == "status"):
            raise ValueError("adapter: readings need one, a status has none")
        if self.kind == "status" and "sensor_id" not in TopicTemplate(self.template).names:
            raise ValueError("template: of a status holds {sensor_id}")
        if self.adapter is not None:
            try:
                make_adapter(self.adapter, self.options)
            except UnknownAdapter as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def topic_filter(self) -> str:
        return TopicTemplate(self.template).topic_filter(self.share)


class SpoolRule(Section):
    """The queue on disk for times when Kafka is slow or away."""

    folder: Path = Field(description="of this bridge alone, relative to this file; on a disk that survives a restart")
    max_size: Annotated[Size, Field(ge=1_048_576)] = 1_073_741_824
    after: Annotated[DurationMs, Field(ge=100, le=600_000)] = Field(
        2_000, description="how long a message waits for Kafka before it is spooled"
    )


class InFlight(Section):
    """What may be with Kafka's client at a time: the bound of memory."""

    records: int = Field(10_000, ge=1, le=500_000)
    size: Annotated[Size, Field(ge=65_536, le=536_870_912)] = 67_108_864


class MqttBridge(Section):
    """All of one `meridian bridge mqtt`."""

    name: Name
    deployment: Path = Field(description="the job's deployment file, relative to this one: Kafka and the raw topic")
    key: KeyRule = KeyRule()
    status_topic: TopicName = Field("telemetry.status", description="compacted; the last known status of each station")
    broker: Broker = Field(default_factory=lambda: Broker.model_validate({}))
    subscriptions: Annotated[list[Subscription], Field(min_length=1)]
    spool: SpoolRule
    in_flight: InFlight = Field(default_factory=lambda: InFlight.model_validate({}))
    shedding: Shedding | None = None
    breakers: Breakers | None = None
    report_every: Positive = Field(10_000, description="one line of counters")
    metrics_port: MetricsPort = None
    stop_within: Annotated[DurationMs, Field(ge=1_000, le=600_000)] = Field(
        15_000, description="how long the end waits for Kafka before it spools the rest"
    )

    @model_validator(mode="after")
    def _filters_differ(self) -> MqttBridge:
        filters = [subscription.topic_filter for subscription in self.subscriptions]
        for topic_filter in filters:
            if filters.count(topic_filter) > 1:
                raise ValueError(f"subscriptions: {topic_filter} is asked for twice")
        return self

    @property
    def client_id(self) -> str:
        return self.broker.client_id or f"meridian-{self.name}"

    @property
    def source(self) -> str:
        """The CloudEvents source: it names the broker and no secret."""
        return f"mqtt://{self.broker.host}:{self.broker.port}"

    @property
    def has_status(self) -> bool:
        return any(subscription.kind == "status" for subscription in self.subscriptions)


def read_password(broker: Broker, folder: Path) -> str | None:
    """The password, without the line end that editors leave.

    Raises
    ------
    OSError: the file cannot be read.
    """
    if broker.password_file is None:
        return broker.password
    return (folder / os.path.expanduser(broker.password_file)).read_text(encoding="utf-8").rstrip("\r\n")

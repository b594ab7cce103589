"""What an adapter is: payloads of a feed in, readings and what could not be read out.

An adapter never raises and never drops. What a payload holds is a reading, or `Unreadable` with a reason, or what the
feed itself says is none (a missing value, a message that measures nothing), and that is counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Final, NamedTuple, final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from udfs.event_time import MICROSECONDS_BELOW
from udfs.probe import Probe

ENTRY_POINT_GROUP: Final = "meridian.adapters"
PROBE_ADAPTER: Final = "probe"

Reading = dict[str, Any]
"""A reading as JSON fields (see README, "What you send"); `event_time` in epoch ms (ns where it is finer)."""


class SentReading(Reading):
    """A reading that goes on as it came."""

    __slots__ = ("encoded",)
    encoded: bytes
    """The JSON that it was read from."""


class Refusal(StrEnum):
    """Why a part of a payload is no reading; a closed list."""

    MALFORMED = "malformed"  # it is not JSON, not text, or cut off
    NOT_AN_OBJECT = "not_an_object"
    TOO_LARGE = "too_large"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    VALUE_NOT_FINITE = "value_not_finite"
    UNREADABLE_TIME = "unreadable_time"
    NAIVE_TIME = "naive_time"
    UNKNOWN_STATION = "unknown_station"  # no position in the payload, and none in the station table
    UNEXPECTED_ERROR = "unexpected_error"  # a defect of the adapter met by this payload


class PassedOver(StrEnum):
    """What a feed sends that is neither a reading nor an error."""

    MISSING_VALUE = "missing_value"  # the feed's own mark for "not measured": null, MM, -999999
    NO_MEASUREMENT = "no_measurement"  # a message of another kind (a join, a status), or a field that no metric is for


class Payload(NamedTuple):
    """What a transport received, with what it knows besides."""

    body: bytes
    context: Mapping[str, str]
    """`topic`, fields matched from a topic template, `retained` (`true`), `url`, `page`, `traceparent`, …"""
    received_ms: int
    """Epoch milliseconds."""


class Unreadable(NamedTuple):
    """A part of a payload that is no reading; it goes to the raw topic as it was sent, and the job accounts for it."""

    reason: Refusal
    message: str
    original: bytes
    """The part itself, written as JSON again, or the whole body where no part could be told."""


Item = Reading | Unreadable | Probe
"""A probe is no reading: it is let through where a feed is for probes."""


class Unfit(Exception):  # noqa: N818 - not an error of the program but the fate of a part of a payload
    """Raised inside an adapter for what cannot become a reading; never leaves it."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Options(BaseModel):
    """Options of an adapter; each adapter extends it by its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Adapter(ABC):
    """Turns payloads of one kind of feed into readings. One instance belongs to one thread.

    A subclass names itself, says which options it takes, and implements `read`; it is listed under the entry point
    group `meridian.adapters`.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[Options]] = Options

    def __init__(self, options: Options) -> None:
        self.passed_over: Counter[PassedOver] = Counter()

    @final
    def readings(self, payload: Payload) -> Iterator[Item]:
        """Read one payload.

        Parameters
        ----------
        payload
            As received; whatever its bytes are.

        Returns
        -------
            Readings and unreadable parts; `passed_over` counts the rest. The oldest reading comes first, since many
            feeds send the newest first, and the watermark would make all that follows late.
        """
        items: list[Item] = []
        try:
            for item in self.read(payload):
                items.append(item)  # one by one: what came before a failure stays
        except Unfit as unfit:
            items.append(Unreadable(unfit.reason, unfit.message, payload.body))
        except Exception as error:  # one poisonous payload must not stop the feed
            message = f"{type(error).__name__}: {error}"[:500]
            items.append(Unreadable(Refusal.UNEXPECTED_ERROR, message, payload.body))
        if len(items) > 1:
            items.sort(key=_order)
        return iter(items)

    @abstractmethod
    def read(self, payload: Payload) -> Iterable[Item]:
        """Read one payload; raise `Unfit` where nothing more can be made of it."""


def _order(item: Item) -> int:
    """Sort by event time; what has none that is a number comes first, in the payload's order."""
    event_time = item.get("event_time") if isinstance(item, dict) else None
    if type(event_time) is not int:
        return -1 << 63
    return event_time if abs(event_time) < MICROSECONDS_BELOW else event_time // 1_000_000


class UnknownAdapter(ValueError):  # noqa: N818
    """No such adapter, or wrong options for it; one line for each mistake."""


def adapter_names() -> list[str]:
    """The adapters that are installed, by name."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def make_adapter(name: str, options: Mapping[str, Any] | None = None) -> Adapter:
    """Make an adapter.

    Parameters
    ----------
    name
        An installed adapter's name, or `module:Class` of one that is importable.
    options
        Its options, as read from YAML.

    Raises
    ------
    UnknownAdapter
        It is not installed, is no adapter, or its options are wrong: one line for each key, with what is allowed.
    """
    found = adapter_class(name)
    try:
        return found(found.options_type.model_validate(dict(options or {})))
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"]) or "options"
            known = ", ".join(sorted(found.options_type.model_fields)) or "none"
            extra = problem["type"] == "extra_forbidden"
            what = f"unknown option; there are: {known}" if extra else problem["msg"].removeprefix("Value error, ")
            lines.append(f"adapter {name}: {key}: {what}")
        raise UnknownAdapter("\n".join(lines)) from None


def adapter_class(name: str) -> type[Adapter]:
    """Find an adapter's class; raises as `make_adapter` does."""
    points = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not points and ":" in name:
        points = [EntryPoint(name, name, ENTRY_POINT_GROUP)]
    if not points:
        raise UnknownAdapter(f"no adapter {name!r}; there are: {', '.join(adapter_names()) or 'none'}")
    try:
        found = points[0].load()
    except Exception as error:  # whatever a user's module raises when it is imported
        raise UnknownAdapter(f"adapter {name!r} cannot be loaded: {type(error).__name__}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise UnknownAdapter(f"adapter {name!r} is {found!r}, not a subclass of jobs.bridge.feed.Adapter")
    return found


def load_json(body: bytes) -> Any:
    """Read a payload as JSON: of duplicate keys the last counts, integers over 64 bits become floats.

    Raises
    ------
    Unfit
        MALFORMED: also for NaN, Infinity and what is nested over 1,024 deep.

    Source: RFC 8259.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unfit(Refusal.MALFORMED, f"not JSON: {error}") from None


def unreadable(unfit: Unfit, part: Any, payload: Payload) -> Unreadable:
    """Make an `Unreadable` of a part of a payload that was read as JSON."""
    try:
        original = orjson.dumps(part)
    except TypeError:  # nested deeper than orjson writes
        original = payload.body
    return Unreadable(unfit.reason, unfit.message, original)

"""Which records an export takes, by event time and by what their fields say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

Record = dict[str, Any]


class UnreadableRecord(ValueError):  # noqa: N818
    """A record that is no JSON object; one line for a person."""


@dataclass(frozen=True)
class Selection:
    """Event times in [from_ms, to_ms), and for each named field one of the given texts."""

    from_ms: int | None = None
    to_ms: int | None = None
    fields: Mapping[str, Collection[str]] = field(default_factory=dict)

    def takes(self, record: Record, time_field: str) -> bool:
        time_ms = record.get(time_field)
        if self.from_ms is not None and (time_ms is None or time_ms < self.from_ms):
            return False
        if self.to_ms is not None and (time_ms is None or time_ms >= self.to_ms):
            return False
        return all(str(value_of(record, name)) in wanted for name, wanted in self.fields.items())


def value_of(record: Record, path: str) -> Any:
    """The value of a field or of a path into nested objects; None where there is none."""
    if path in record:
        return record[path]
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def getter(path: str) -> Callable[[Record], Any]:
    """`value_of` for one path, quick for plain names."""
    return (lambda record: value_of(record, path)) if "." in path else (lambda record: record.get(path))


def read_records(values: Iterable[bytes | None]) -> Iterator[Record]:
    """JSON objects; tombstones are left out.

    Raises
    ------
    UnreadableRecord : a value is no JSON object.
    """
    for value in values:
        if value is None:
            continue
        try:
            record = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise UnreadableRecord(f"a record is no JSON: {error}") from None
        if not isinstance(record, dict):
            raise UnreadableRecord("a record's JSON is no object")
        yield record

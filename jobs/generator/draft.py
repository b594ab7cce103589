"""A reading about to be spoilt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from jobs.generator.metrics import Series
from jobs.generator.places import Site
from udfs.rules import BoundingBox, Rules


@dataclass
class Draft:
    """A reading about to be spoilt: `fields` become JSON unless `body` is set; `body` None stays a tombstone."""

    fields: dict[str, Any]
    headers: dict[str, bytes]
    series: Series
    site: Site
    box: BoundingBox | None
    rules: Rules
    event_ms: int
    now_ms: int
    body: bytes | None = b""
    has_body: bool = False

    def set_body(self, body: bytes | None) -> None:
        self.body, self.has_body = body, True

    def set_time(self, value: Any, header_ms: int | None) -> None:
        self.fields["event_time"] = value
        if header_ms is None:
            self.headers.pop("event_timestamp", None)
        else:
            self.headers["event_timestamp"] = b"%d" % header_ms

    def set_position(self, crs: str, x: float, y: float) -> None:
        self.fields.update(crs=crs, x=x, y=y)
        self.headers["crs_source"] = crs.encode()

    def json(self) -> bytes:
        return orjson.dumps(self.fields)

    def serialised(self) -> bytes | None:
        return self.body if self.has_body else self.json()

"""Points in time and days as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import click


class UtcTime(click.ParamType):
    """ISO 8601, UTC where there is no offset: `2019-03-28`, `2019-03-28T12:00`, `2019-03-28T12:00+01:00`; epoch ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2019-03-28 or 2019-03-28T12:00+01:00", param, ctx)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


class UtcDay(UtcTime):
    """A calendar day in UTC; the epoch ms of its beginning."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            self.fail(f"{value!r} is no date such as 2019-03-28", param, ctx)
        return super().convert(value, param, ctx)

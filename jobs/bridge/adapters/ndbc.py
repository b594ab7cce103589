"""NDBC real-time text: one buoy's last 45 days (`realtime2/<station>.txt`), or all stations' last report.

| feed | reading |
|---|---|
| each column of the table below | one reading a row |
| first header line (`#YY MM DD …`, `#STN LAT LON YYYY …`) | which columns there are, in which order |
| second header line (`#yr mo dy …`) | `unit` of each column |
| `YY`/`YYYY`, `MM`, `DD`, `hh`, `mm` | `event_time`, UTC |
| `STN`, else `station` of the context or options, else the URL's file name | `sensor_id`, as `ndbc/<station>` |
| `LAT`, `LON`, else the station table | `x`, `y` in EPSG:4326 |
| `MM`, and nines that fill the column's width (99.0, 999, 9999.0) | a missing value |

Rows come newest first; they leave oldest first.

Source: https://www.ndbc.noaa.gov/faq/measdes.shtml (units, missing values), https://www.ndbc.noaa.gov/docs/ndbc_web_data_guide.pdf
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from jobs.bridge.feed import Item, Options, Payload, Reading, Refusal, Unfit, Unreadable
from jobs.bridge.station_feed import Measures, StationFeed, StationFeedOptions, measure, wgs84

_TIME_COLUMNS = (("YY", "YYYY"), ("MM",), ("DD",), ("hh",), ("mm",))
_PLACE_COLUMNS = frozenset(("STN", "LAT", "LON", "YY", "YYYY", "MM", "DD", "hh", "mm"))
_UNIT_NAMES = {"nmi": "nautical_mile", "sec": "s"}
_NINES = {  # as wide as the column
    **dict.fromkeys(("WSPD", "GST", "WVHT", "DPD", "APD", "VIS", "TIDE", "PTDY"), 99.0),
    **dict.fromkeys(("WDIR", "MWD", "ATMP", "WTMP", "DEWP"), 999.0),
    "PRES": 9999.0,
}


class NdbcOptions(StationFeedOptions):
    station: str | None = Field(
        default=None, description="of files that do not name it; none: from the URL's file name"
    )


class Ndbc(StationFeed):
    """Reads `/data/realtime2/<station>.txt` and `/data/latest_obs/latest_obs.txt`."""

    name: ClassVar[str] = "ndbc"
    options_type: ClassVar[type[Options]] = NdbcOptions
    own_measures: ClassVar[Measures] = {
        "WDIR": measure("wind_direction", "degT"),
        "WSPD": measure("wind_speed", "m/s"),
        "GST": measure("wind_gust", "m/s"),
        "WVHT": measure("wave_height", "m"),
        "DPD": measure("dominant_wave_period", "s"),
        "APD": measure("average_wave_period", "s"),
        "MWD": measure("wave_direction", "degT"),
        "PRES": measure("air_pressure", "hPa"),
        "PTDY": measure("air_pressure_tendency", "hPa"),
        "ATMP": measure("air_temperature", "degC"),
        "WTMP": measure("water_temperature", "degC"),
        "DEWP": measure("dew_point", "degC"),
        "VIS": measure("visibility", "nautical_mile"),
        "TIDE": measure("water_level", "ft"),
    }

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._station = options.station if isinstance(options, NdbcOptions) else None

    def read(self, payload: Payload) -> Iterator[Item]:
        try:
            lines = payload.body.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise Unfit(Refusal.MALFORMED, f"not UTF-8: {error}") from None
        heads = [line[1:].split() for line in lines[:2] if line.startswith("#")]
        if len(heads) < 2 or len(heads[0]) != len(heads[1]) or not {"MM", "DD", "hh", "mm"} <= set(heads[0]):
            raise Unfit(Refusal.MALFORMED, "no two header lines of NDBC's real-time text, columns and units")
        columns = heads[0]
        units = dict(zip(columns, (_UNIT_NAMES.get(unit, unit) for unit in heads[1]), strict=True))
        in_file = {} if "STN" in columns else self._whole_file(payload)
        for line in lines[2:]:
            if line.strip() and not line.startswith("#"):
                yield from self._row(line, columns, units, in_file, payload)

    def _whole_file(self, payload: Payload) -> Reading:
        station = payload.context.get("station") or self._station
        if station is None:
            station = PurePosixPath(urlsplit(payload.context.get("url", "")).path).stem
        if not station:
            raise Unfit(Refusal.MISSING_FIELD, "the file does not name its station: give `station`")
        return {"sensor_id": f"ndbc/{station}", **self.place(station, payload)}

    def _row(
        self, line: str, columns: list[str], units: dict[str, str], in_file: Reading, payload: Payload
    ) -> Iterator[Item]:
        try:
            cells = dict(zip(columns, line.split(), strict=True))
        except ValueError:
            message = f"a row of {len(line.split())} cells under {len(columns)} columns"
            yield Unreadable(Refusal.MALFORMED, message, line.encode())
            return
        try:
            common = {**(in_file or self._in_row(cells, payload)), "event_time": self._time(cells)}
        except Unfit as unfit:
            yield Unreadable(unfit.reason, unfit.message, line.encode())
            return
        for column in columns:
            if column in _PLACE_COLUMNS or self.passes_over(column):
                continue
            try:
                raw = None if cells[column] == "MM" else cells[column]
                value = self.value(raw, column, _NINES.get(column))
                if value is not None:
                    metric, unit = self.measure_of(column, units[column])
                    yield {"metric": metric, "value": value, "unit": unit, **common}
            except Unfit as unfit:
                yield Unreadable(unfit.reason, unfit.message, line.encode())

    def _in_row(self, cells: dict[str, str], payload: Payload) -> Reading:
        station = cells["STN"]
        found = wgs84(cells["LON"], cells["LAT"]) if {"LAT", "LON"} <= cells.keys() else None
        return {"sensor_id": f"ndbc/{station}", **self.place(station, payload, found)}

    def _time(self, cells: dict[str, str]) -> int:
        parts = [next((cells[name] for name in names if name in cells), "") for names in _TIME_COLUMNS]
        if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
            raise Unfit(Refusal.UNREADABLE_TIME, f"time {' '.join(parts)!r} is not year, month, day, hour, minute")
        try:
            moment = datetime(*(int(part) for part in parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
        except ValueError as error:
            raise Unfit(Refusal.UNREADABLE_TIME, f"time {' '.join(parts)!r}: {error}") from None
        return self.event_time(moment.isoformat())

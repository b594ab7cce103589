"""Where stations are whose feed does not say it: a table in an adapter's options, inline or as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.bridge.feed import Options, Reading, Refusal, Unfit

_COLUMNS = ("station", "x", "y", "z", "crs", "region")


class Station(BaseModel):
    """A place: (x, y) in the units of `crs`, x = longitude or easting."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    x: float
    y: float
    z: float | None = None
    crs: str = "EPSG:4326"
    region: str | None = None

    def fields(self) -> Reading:
        """The fields of a reading that was taken here."""
        return self.model_dump(exclude_none=True)


class StationOptions(Options):
    """Options of feeds whose readings can lack a position or a region."""

    region: str | None = Field(
        default=None, description="of readings that neither the payload nor a station places in one"
    )
    stations: dict[str, Station] = Field(default={}, description="places by the feed's own station or device id")
    stations_file: Path | None = Field(default=None, description=f"the same as CSV: {', '.join(_COLUMNS)}")

    def table(self) -> dict[str, Reading]:
        """All stations; an inline one wins.

        Raises
        ------
        ValueError
            The file cannot be read; with its line.
        """
        table = {} if self.stations_file is None else _read(self.stations_file)
        return {**table, **{name: station.fields() for name, station in self.stations.items()}}


def unknown_station(station: str) -> Unfit:
    """Say that neither payload nor table knows where a station is."""
    return Unfit(Refusal.UNKNOWN_STATION, f"no position for station {station[:100]!r}: list it under `stations`")


def _read(path: Path) -> dict[str, Reading]:
    table: dict[str, Reading] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            for row in rows:
                cells: dict[str, Any] = {k: v for k, v in row.items() if v not in ("", None)}
                name = cells.pop("station", None)
                if name is None:
                    raise ValueError(f"{path}, line {rows.line_num}: no station; the columns are {', '.join(_COLUMNS)}")
                try:
                    table[name] = Station.model_validate(cells).fields()
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    raise ValueError(f"{path}, line {rows.line_num}: {first['loc'][0]}: {first['msg']}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from None
    return table

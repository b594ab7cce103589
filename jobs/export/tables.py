"""What the records of a topic hold, as far as an export needs to know: the two built-in tables, or a user's own file.

A field is a name in the record's JSON, or a path such as `attributes.depth_m`. A table is anything with a time; where
it also names its series, positions and measures, it can become NetCDF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.pipeline.deployment_file import load_model
from jobs.pipeline.section import Section

Kind = Literal["text", "integer", "number", "truth", "time", "json"]
"""`time` is epoch ms UTC, `json` any value, kept as JSON text."""


class Position(Section):
    """Where a record is: two fields and the CRS they are in, x = easting or longitude."""

    x: str
    y: str
    crs: str = "OGC:CRS84"  # longitude first, as the fields are; EPSG:4326 by its letter has latitude first


class Revised(Section):
    """Records of which only the one with the highest revision counts."""

    key: Annotated[list[str], Field(min_length=1)]
    revision: str
    provisional: dict[str, str] = Field(default={}, description="field: value of records that are no last word")


class Measures(Section):
    """What NetCDF needs to make variables: a column of numbers for each metric and measured field."""

    series: str = Field(description="the field that names a time series: a sensor, a cell, a place")
    metric: str
    unit: str
    fields: Annotated[dict[str, str], Field(min_length=1)] = Field(
        description="field: cell method of CF, such as `point` or `mean`; `count` for a number of observations"
    )
    end: str | None = Field(default=None, description="the end of the interval that begins at the time")
    uniform: list[str] = Field(default=[], description="fields that must have one value per file, or series would mix")


class Table(Section):
    """A topic as a table."""

    topic: str = Field(description="name of the topic")
    columns: Annotated[dict[str, Kind], Field(min_length=1)]
    time: str = Field(description="the event time: what --from and --to choose by")
    position: Position | None = None
    revised: Revised | None = None
    measures: Measures | None = None

    @model_validator(mode="after")
    def _fields_declared(self) -> Table:
        named = {"time": [self.time]}
        if self.position:
            named["position"] = [self.position.x, self.position.y]
        if self.revised:
            named["revised"] = [*self.revised.key, self.revised.revision, *self.revised.provisional]
        if self.measures:
            m = self.measures
            named["measures"] = [m.series, m.metric, m.unit, *m.fields, *([m.end] if m.end else []), *m.uniform]
        for key, fields in named.items():
            for field in fields:
                if field not in self.columns:
                    raise ValueError(f"{key}: {field!r} is not among the columns")
        if self.columns[self.time] != "time":
            raise ValueError(f"time: {self.time!r} must be a column of kind time")
        names = [self.name_of(field) for field in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("columns: two of them would have the same name in the file")
        return self

    def name_of(self, field: str) -> str:
        """The column's name in a file: times lose their `_ms`, since there they are times and not numbers."""
        name = field.replace(".", "_")
        return name.removesuffix("_ms") if self.columns[field] == "time" else name


def load_table(path: Path) -> Table:
    """Read a user's declaration.

    Raises
    ------
    InvalidDeployment : each line names file, key, value and what is allowed.
    """
    return load_model(path, Table, {}, "docs/export.md")


def aligned_table(topic: str) -> Table:
    """Aligned readings."""
    return Table(
        topic=topic,
        columns={
            "event_id": "text",
            "event_id_derived": "truth",
            "sensor_id": "text",
            "region": "text",
            "stream": "text",
            "metric": "text",
            "value": "number",
            "unit": "text",
            "value_original": "number",
            "unit_original": "text",
            "quality": "text",
            "event_time_ms": "time",
            "ingest_time_ms": "time",
            "append_time_ms": "time",
            "stale": "truth",
            "lon_deg": "number",
            "lat_deg": "number",
            "x": "number",
            "y": "number",
            "z": "number",
            "crs_source": "text",
            "crs_target": "text",
            "transform": "text",
            "accuracy_m": "number",
            "ballpark": "truth",
            "best_available": "truth",
            "cell": "text",
            "payload_version": "text",
            "topic": "text",
            "partition": "integer",
            "offset": "integer",
            "attributes": "json",
            "beyond_dedup_horizon": "truth",
        },
        time="event_time_ms",
        position=Position(x="lon_deg", y="lat_deg"),
        measures=Measures(series="sensor_id", metric="metric", unit="unit", fields={"value": "point"}),
    )


def windows_table(topic: str) -> Table:
    """Window results, the last revision of each; what a window said before its watermark is no last word."""
    return Table(
        topic=topic,
        columns={
            "stream": "text",
            "definition": "text",
            "key_kind": "text",
            "key": "text",
            "metric": "text",
            "unit": "text",
            "window_start_ms": "time",
            "window_end_ms": "time",
            "count": "integer",
            "mean": "number",
            "min": "number",
            "max": "number",
            "std": "number",
            "first": "number",
            "first_event_time_ms": "time",
            "last": "number",
            "last_event_time_ms": "time",
            "expected_count": "number",
            "completeness": "number",
            "sensors": "integer",
            "lon_deg": "number",
            "lat_deg": "number",
            "x": "number",
            "y": "number",
            "timing": "text",
            "revision": "integer",
            "max_event_time_ms": "time",
            "emitted_at_ms": "time",
        },
        time="window_start_ms",
        position=Position(x="lon_deg", y="lat_deg"),
        revised=Revised(
            key=["stream", "definition", "window_start_ms", "window_end_ms", "key", "metric"],
            revision="revision",
            provisional={"timing": "early"},
        ),
        measures=Measures(
            series="key",
            metric="metric",
            unit="unit",
            fields={
                "mean": "mean",
                "min": "minimum",
                "max": "maximum",
                "std": "standard_deviation",
                "count": "count",
            },
            end="window_end_ms",
            uniform=["definition", "key_kind"],
        ),
    )

"""The mapping file: how the columns of a user's file become readings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from jobs.pipeline.durations import DurationMs
from jobs.pipeline.section import Section
from jobs.pipeline.zone import ZoneName


class InvalidMapping(ValueError):  # noqa: N818
    """Each line names the key and what is wrong with it."""


class Column(Section):
    """A field taken from a column; `prefix` goes in front of it, `values` translates its texts.

    A column of NDJSON, Parquet or Avro may be a path into nested objects and arrays: `position.lon`, `coordinates.0`.
    """

    column: str
    prefix: str = ""
    values: dict[str, str] = Field(default={})


Field_ = Annotated[str | float | Column, Field(union_mode="left_to_right")]


class File(Section):
    """How the file is written; `.gz` is read as well."""

    format: Literal["csv", "whitespace", "ndjson", "parquet", "avro"] = "csv"
    separator: str = Field(",", min_length=1, max_length=1, description="of csv")
    encoding: str = "utf-8"
    header: bool = Field(True, description="the first line names the columns, after the comment prefix if it has one")
    columns: list[str] = Field([], description="names of the columns of a file without a header")
    comments: str | None = Field(None, description="lines that start so are skipped, but for the header")
    skip_lines: int = Field(0, ge=0, description="lines before the header")

    @model_validator(mode="after")
    def _named(self) -> File:
        if self.format in ("csv", "whitespace") and self.header == bool(self.columns):
            raise ValueError("either header: true or a list of columns")
        return self


class Time(Section):
    """Event times: `iso`, `epoch` (s, ms, us or ns by magnitude), or a format of strptime for the joined columns."""

    columns: Annotated[list[str], Field(min_length=1)]
    format: str = "iso"
    zone: ZoneName | None = Field(None, description="of times without an offset, such as Europe/London; none: refused")
    interval_label: Literal["starting", "ending"] = "starting"
    period: DurationMs | None = Field(None, description="length of the interval that an ending stamp closes")

    @model_validator(mode="after")
    def _period_known(self) -> Time:
        if self.interval_label == "ending" and self.period is None:
            raise ValueError("interval_label: ending needs the period by which stamps are moved to the start")
        return self


class Metric(Section):
    """One reading per row; a wide row has several metrics, a long one names metric and unit in columns."""

    column: str
    metric: str | Column
    unit: str | Column
    scale: float = 1.0
    offset: float = 0.0


class Stations(Section):
    """A table that is joined to every row: its columns become columns of the row."""

    file: Path = Field(description="relative to the mapping file")
    separator: str = Field(",", min_length=1, max_length=1)
    key: str = Field(description="column of the table")
    column: str = Field(description="column of the rows with the same value")


class Mapping(Section):
    """A whole mapping; numbers and texts are constants, `{column: NAME}` takes a column."""

    file: File = Field(default_factory=lambda: File.model_validate({}))
    time: Time
    metrics: Annotated[list[Metric], Field(min_length=1)]
    sensor_id: str | Column
    x: Field_
    y: Field_
    z: Field_ | None = None
    crs: str | Column = "EPSG:4326"
    region: str | Column | None = None
    event_id: Column | None = None
    quality: str | Column | None = None
    attributes: dict[str, str | Column] = Field(default={})
    missing: list[str] = Field(["", "NA", "NaN", "nan", "null"], description="texts that stand for no value")
    stations: Stations | None = None
    sort: bool = Field(False, description="send in order of time; reads the whole file first (for newest-first files)")


def load_mapping(path: Path) -> Mapping:
    """Read and validate a mapping file.

    Raises
    ------
    InvalidMapping : unreadable file, no YAML, unknown key or value out of its range.
    """
    try:
        document: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidMapping(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InvalidMapping(f"{path}: not YAML: {error}") from None
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
            what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
            lines.append(f"{path}: {key}: {what.removeprefix('Value error, ')}")
        raise InvalidMapping("\n".join(lines)) from None

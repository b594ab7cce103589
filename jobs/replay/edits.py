"""The file of edits: rules that say what of a refused record is put right before it is sent again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from jobs.pipeline.deployment_file import load_model
from jobs.pipeline.section import Section
from jobs.pipeline.zone import ZoneName
from jobs.replay.mapping import Mapping
from jobs.replay.selection import Selection
from udfs.dead_letter import REPLAY_OF
from udfs.reasons import Reason, Stage

KNOWN_KEYS = "docs/dead-letters.md"

_NOT_OF_A_LETTER = {"file", "stations", "sort"}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMore = BeforeValidator(_as_list)


class When(Section):
    """To which letters a rule applies: all that is given must hold; as a letter was before any rule."""

    reason: Annotated[list[Reason], OneOrMore] = Field([])
    stage: Annotated[list[Stage], OneOrMore] = Field([])
    sensor: Annotated[list[str], OneOrMore] = Field([])
    metric: Annotated[list[str], OneOrMore] = Field([])
    fields: dict[str, str | float | bool | None] = Field({})

    @property
    def selection(self) -> Selection:
        return Selection(
            [r.value for r in self.reason], [s.value for s in self.stage], self.sensor, self.metric, fields=self.fields
        )


class Conversion(Section):
    """A field's texts are translated by `values`; then, where one is given, number · scale + offset."""

    values: dict[str, str | float] = Field({})
    scale: float | None = None
    offset: float | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Conversion:
        if not self.values and self.scale is None and self.offset is None:
            raise ValueError("values, scale or offset")
        return self


class Rule(Section):
    """What is done, in the order of these keys."""

    when: When = Field(default_factory=lambda: When.model_validate({}))
    replace: dict[str, str] = Field({}, description="texts of the value as it was sent, such as NaN: 'null'")
    mapping: Mapping | None = Field(None, description="a mapping as of `meridian replay`, for JSON of another shape")
    rename: dict[str, str] = Field({}, description="old name: new name")
    remove: Annotated[list[str], OneOrMore] = Field([])
    set: dict[str, str | int | float | bool] = Field({})
    convert: dict[str, Conversion] = Field({})
    swap_xy: bool = False
    zone: ZoneName | None = Field(None, description="of event times without an offset, such as Europe/London")
    headers: dict[str, str | None] = Field({}, description="name: text; null takes the header away")

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        if REPLAY_OF in value:
            raise ValueError(f"{REPLAY_OF} is set by the replay")
        return value

    @field_validator("mapping")
    @classmethod
    def _of_one_reading(cls, value: Mapping | None) -> Mapping | None:
        if value is not None:
            if len(value.metrics) != 1:
                raise ValueError("a letter is one reading: exactly one metric")
            if foreign := sorted(value.model_fields_set & _NOT_OF_A_LETTER):
                raise ValueError(f"{', '.join(foreign)}: only for files")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Rule:
        if not self.edits_value and not self.headers:
            raise ValueError("nothing is edited: " + ", ".join(n for n in Rule.model_fields if n != "when"))
        return self

    @property
    def edits_value(self) -> bool:
        return bool(self.model_fields_set - {"when", "headers"})


class Edits(Section):
    """A whole file; all rules that apply are taken, in their order."""

    rules: Annotated[list[Rule], Field(min_length=1)]


def load_edits(path: Path) -> Edits:
    """Read and validate a file of edits.

    Raises
    ------
    InvalidDeployment : unreadable file, no YAML, unknown key or value out of its range; each line names the key.
    """
    return load_model(path, Edits, os.environ, KNOWN_KEYS)

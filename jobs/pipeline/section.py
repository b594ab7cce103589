"""A part of a deployment file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Unknown keys are refused, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

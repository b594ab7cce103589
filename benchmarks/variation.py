"""A deployment of `deployments/` with some keys changed, so that points of a series need no files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.settings import Topics, Work

DEPLOYMENTS = Path(__file__).resolve().parent / "deployments"


def vary(work: Work, changes: Mapping[str, Any], folder: Path) -> Path:
    """Write a work's deployment with changed keys; the path of it.

    Parameters
    ----------
    changes
        New values by dotted key; `*` stands for every element of a list: `streams.*.windows`.

    Raises
    ------
    KeyError : the deployment has no section of that name.
    """
    deployment = yaml.safe_load((DEPLOYMENTS / f"{work}.yaml").read_text())
    for key, value in changes.items():
        _set(deployment, key.split("."), value)
    path = folder / f"{deployment['name']}.yaml"
    path.write_text(yaml.safe_dump(deployment, sort_keys=False))
    return path


def topic_names(raw: str, topics: Topics) -> dict[str, str]:
    """The changes that make a deployment read and write these topics."""
    roles = ("aligned", "windows", "late_events", "invalid_events", "accounting")
    names = dict(zip(roles, topics.all, strict=True))
    return {"topics.raw.name": raw} | {f"topics.{role}.name": name for role, name in names.items()}


def _set(section: Any, path: list[str], value: Any) -> None:
    name, *rest = path
    if name == "*":
        for element in section:
            _set(element, rest, value)
    elif rest:
        _set(section[name], rest, value)
    else:
        section[name] = value

"""Profiles: named overlays on flink-conf/config.yaml that trade latency for throughput, or leave metrics out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from jobs.cli.project import FLINK_CONF

PROFILES_DIR: Final = FLINK_CONF / "profiles"
PROFILES: Final = ("latency", "throughput", "uninstrumented")


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested YAML as dotted keys: both spellings are valid for Flink, and overriding needs one."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def load_profile(name: str) -> dict[str, Any]:
    """The keys that a profile sets, dotted."""
    return flatten(yaml.safe_load((PROFILES_DIR / f"{name}.yaml").read_text(encoding="utf-8")))


def base_config(profile: str | None = None) -> dict[str, Any]:
    """flink-conf/config.yaml with the keys of a profile in place of its own, dotted."""
    config = flatten(yaml.safe_load((FLINK_CONF / "config.yaml").read_text(encoding="utf-8")))
    return config | (load_profile(profile) if profile else {})

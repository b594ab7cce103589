"""The profiles of flink-conf: what they may set, and that the stack gets it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from jobs.cli.local.layout import StackLayout
from jobs.cli.local.profiles import PROFILES, PROFILES_DIR, SECURE, base_config, load_profile
from jobs.cli.local.render import StackInfo, flink_config

# Keys of Flink that config.yaml leaves at their defaults.
_DEFAULTED = {"execution.buffer-timeout.interval"}


def info(profile: str | None) -> StackInfo:
    return StackInfo(19092, 19093, 18081, 16123, 19249, 2, 2, "/java", "2026-01-01T00:00:00+00:00", profile)


def test_every_profile_is_known() -> None:
    assert sorted((*PROFILES, SECURE)) == sorted(path.stem for path in PROFILES_DIR.glob("*.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_sets_only_what_config_yaml_knows_and_sets_otherwise(name: str) -> None:
    base, profile = base_config(), load_profile(name)
    assert profile.keys() <= base.keys() | _DEFAULTED
    assert not {key for key, value in profile.items() if base.get(key) == value}


@pytest.mark.parametrize("name", (*PROFILES, SECURE))
def test_each_key_of_a_profile_says_what_it_trades(name: str) -> None:
    lines = (PROFILES_DIR / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if line and not line.startswith("#"):
            assert before.startswith("#"), line


@pytest.mark.parametrize("name", PROFILES)
def test_the_stack_gets_the_profile_and_the_rest_as_it_was(name: str, tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / "stack")
    plain, with_profile = (flink_config(base_config(p), info(p), layout) for p in (None, name))
    assert {key: value for key, value in with_profile.items() if plain.get(key) != value} == load_profile(name)


def test_the_profiles_do_not_touch_guarantees() -> None:
    untouched = {"execution.checkpointing.mode", "state.backend.type", "restart-strategy.type"}
    assert not untouched & {key for name in PROFILES for key in load_profile(name)}


def test_a_stack_remembers_its_profile(tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / "stack")
    layout.root.mkdir()
    info("latency").write(layout)
    read = StackInfo.read(layout)
    assert read is not None and read.profile == "latency"

"""The rules of flink-conf/observe with times that a test can wait for; everything else of them is as it is."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Final

import yaml

from jobs.cli.local.prometheus import OBSERVE
from tests.integration.support import Stack, members, wait_for
from tests.support.prometheus import Prometheus

FASTER: Final = 5
_TIME: Final = re.compile(r"(?P<before>\[|offset |for: )(?P<number>\d+)(?P<unit>[sm])\b")
_AGE: Final = re.compile(r"(seconds\)? > )300\b")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000}


def quickened(rules: str, faster: int = FASTER) -> str:
    """Ranges, offsets, `for` and the ages of five minutes, each by this factor."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found['before']}{int(found['number']) * _UNIT_MS[found['unit']] // faster}ms"

    return _AGE.sub(rf"\g<1>{300 // faster}", _TIME.sub(shorter, rules))


def load_quick_rules(stack: Stack, prometheus: Prometheus, folder: Path) -> None:
    """Give a stack's Prometheus the quickened rules, from this folder of their own, in place of the others."""
    folder.mkdir(exist_ok=True)
    for file in (OBSERVE / "rules").glob("*.yaml"):
        (folder / file.name).write_text(quickened(file.read_text()))
    config = stack.folder / "observe" / "prometheus.yaml"
    document = yaml.safe_load(config.read_text())
    document["rule_files"] = [str(folder / "*.yaml")]
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    [server] = members(stack, f"--config.file={config}")
    server.send_signal(signal.SIGHUP)

    def files() -> set[str]:
        return {group["file"] for group in prometheus.get("rules")["groups"]}

    wait_for(lambda: files() == {str(file) for file in folder.glob("*.yaml")}, 30, "Prometheus has the quick rules")

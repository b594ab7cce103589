"""docs/adapters.md: its tables are those of the files, and its example works."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs.bridge.feed import Payload, Refusal, Unreadable, adapter_class
from tests.unit.bridge.samples import SAMPLES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "adapters.md").read_text()
GIOS = ROOT.parent / "shared" / "data" / "payloads" / "gios_poland"
STATIONS = {"MzWarKondrat": {"x": 21.042, "y": 52.29, "region": "warsaw"}}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_has_each_adapters_table(name: str) -> None:
    head = inspect.cleandoc(inspect.getmodule(adapter_class(name)).__doc__ or "")  # type: ignore[union-attr]
    assert f"### `{name}`\n\n{head}\n" in PAGE


def example() -> str:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return str(code)


def make_gios() -> Any:
    namespace: dict[str, Any] = {"__name__": "gios"}
    exec(example(), namespace)
    adapter = namespace["Gios"]
    return adapter(adapter.options_type.model_validate({"stations": STATIONS}))


def test_the_example_reads_hours_by_their_start() -> None:
    row = {"Kod stanowiska": "MzWarKondrat-PM2.5-1g", "Data": "2025-07-04 15:00:00", "Wartość": 7.5}
    body = orjson.dumps({"Lista danych pomiarowych": [row, {**row, "Wartość": None}, {**row, "Data": "soon"}]})
    adapter = make_gios()
    unreadable, reading = adapter.readings(Payload(body, {}, 0))
    assert unreadable.reason is Refusal.UNREADABLE_TIME
    assert (reading["metric"], reading["event_time"], reading["region"]) == ("pm2_5", 1_751_630_400_000, "warsaw")
    assert sum(adapter.passed_over.values()) == 1


@pytest.mark.skipif(not GIOS.is_dir(), reason="the shared data is not there")
def test_the_example_reads_the_real_files() -> None:
    adapter = make_gios()
    rows = 0
    items = []
    for file in GIOS.glob("sensor_*.json"):
        body = file.read_bytes()
        rows += len(orjson.loads(body).get("Lista danych pomiarowych", ["an error message"]))
        items += adapter.readings(Payload(body, {}, 0))
    assert len(items) + sum(adapter.passed_over.values()) == rows > 0
    # The table of the example has no unit for what it does not list.
    assert {item.reason for item in items if isinstance(item, Unreadable)} <= {Refusal.MISSING_FIELD}


def test_the_example_is_found_once_its_package_is_installed(tmp_path: Path) -> None:
    """As pip leaves a package: its modules, and beside them its metadata with the entry point."""
    site, metadata = tmp_path / "my_feeds", tmp_path / "my_feeds-1.0.dist-info"
    site.mkdir()
    metadata.mkdir()
    (site / "gios.py").write_text(example())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-feeds\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[meridian.adapters]\ngios = my_feeds.gios:Gios\n")
    row = {"Kod stanowiska": "MzWarKondrat-PM2.5-1g", "Data": "2025-07-04 15:00:00", "Wartość": 7.5}
    (tmp_path / "sample.json").write_bytes(orjson.dumps({"Lista danych pomiarowych": [row]}))
    (tmp_path / "options.yaml").write_text(json.dumps({"stations": STATIONS}))
    words = ("bridge", "check", str(tmp_path / "sample.json"), "--options", str(tmp_path / "options.yaml"), "--json")
    checked = subprocess.run(
        [sys.executable, "-m", "jobs.cli.main", *words], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    report = json.loads(checked.stdout)
    assert (report["adapter"], report["counts"]["readings"]) == ("gios", 1)

"""The page in headless Chromium, on a screen as narrow as a phone's: it fits, and works from the keyboard.

The page runs in a frame of 390 pixels; its parent presses keys and notes what it finds, for `chromium --dump-dom`.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

DRIVER = """<!DOCTYPE html><body style="margin:0">
<iframe style="width:390px;height:844px;border:0" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
onload = () => {{
  const view = frames[0], doc = view.document, found = {{}};
  const press = (element, key) => element.dispatchEvent(new view.KeyboardEvent("keydown", {{key, cancelable: true}}));
  const said = (element) => element.querySelector("output").textContent;
  const [map, ...charts] = ["figure.map", ".charts figure"].flatMap((s) => [...doc.querySelectorAll(s)]);
  found.width = doc.documentElement.scrollWidth;
  found.resources = view.performance.getEntriesByType("resource").length;
  found.charts = charts.length;
  found.stops = [...doc.querySelectorAll("a, button, [tabindex='0']")].length;
  found.unfocusable = [map, ...charts].filter((f) => {{ f.focus(); return doc.activeElement !== f; }}).length;
  press(charts[0], "End"); found.end = said(charts[0]);
  press(charts[0], "ArrowLeft"); found.left = said(charts[0]);
  press(map, "ArrowRight"); found.station = said(map);
  const paper = () => view.getComputedStyle(doc.body).backgroundColor;
  found.light = paper(); doc.getElementById("theme").click(); found.dark = paper();
  found.smallest = Math.min(...[...doc.querySelectorAll("svg text")].map((t) => t.getBoundingClientRect().height));
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script></body>"""


@pytest.fixture(scope="module")
def found(page: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("chromium")
    driver = folder / "driver.html"
    driver.write_text(DRIVER.format(page=html.escape(page.read_text())))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000", "--dump-dom", driver.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    match = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.DOTALL)
    assert match and match[1], result.stderr[-2_000:]
    return dict(json.loads(html.unescape(match[1])))


def test_it_fits_a_phone_and_its_text_can_be_read(found: dict[str, Any]) -> None:
    assert found["width"] <= 390
    assert found["smallest"] >= 8


def test_it_loads_nothing(found: dict[str, Any], page: Path) -> None:
    assert found["resources"] == 0
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page.read_text())


def test_the_arrow_keys_read_charts_and_map(found: dict[str, Any]) -> None:
    assert found["charts"] == 6
    assert found["unfocusable"] == 0
    assert "UTC: " in found["end"] and "UTC: " in found["left"]
    assert found["left"] < found["end"]  # an earlier time
    assert re.search(r"readings, -?[\d.]+, -?[\d.]+, cell ", found["station"])


def test_it_is_light_or_dark_as_wanted(found: dict[str, Any]) -> None:
    assert found["light"] != found["dark"]

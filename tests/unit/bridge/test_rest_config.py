"""A bad bridge file fails first and says what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.bridge.rest.config import PushBridge, RestBridge
from jobs.pipeline.deployment_file import InvalidDeployment, load_model

ROOT = Path(__file__).resolve().parents[3]
PUSH = "name: p\ndeployment: d.yaml\nfeeds: [{name: f, adapter: meridian}]\n"


def load(tmp_path: Path, kind: type, text: str) -> object:
    file = tmp_path / "bridge.yaml"
    file.write_text(text)
    return load_model(file, kind, {"SECRET": "hunter2"}, "docs/bridges.md")


def test_the_shipped_files_are_right() -> None:
    for name, kind in (("rest", RestBridge), ("push", PushBridge)):
        load_model(ROOT / "flink-conf" / "bridges" / f"{name}.yaml", kind, {}, "")


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        ("url: 'ftp://h/x'", "http:// or https://"),
        ("url: 'https://user:${SECRET}@h/x'", "secret_headers"),
        ("url: 'https://h/{form}'", "{form} is not known here; there are {from}, {to}"),
        ("url: 'https://h/{0}'", "{0} is not known here"),
        ("url: 'https://h/{'", "a brace is written twice"),
        ("adapter: nonsense", "no adapter 'nonsense'"),
        ("options: {nonsense: 1}", "unknown option"),
        ("pagination: {kind: page, items: r, size: 5}", "must hold {page}"),
        ("pagination: {kind: nonsense}", "none"),
        ("every: 60", "'500 ms', '30 s'"),
        ("time_format: unix", "strftime"),
        ("nonsense: 1", "docs/bridges.md lists the known ones"),
        ("params: {a: '{from}'}, overlap: 8 d", "overlap: less than longest_range"),
        ("headers: {k: '${MISSING}'}", "${MISSING} is not set"),
    ],
)
def test_what_is_wrong_with_a_feed(tmp_path: Path, feed: str, said: str) -> None:
    defaults = {"adapter": "meridian", "url": "https://h/x", "every": "1 min"}
    given = [f"{key}: '{value}'" for key, value in defaults.items() if not feed.startswith(f"{key}:")]
    text = f"name: b\ndeployment: d.yaml\nfeeds: [{{name: f, {', '.join([*given, feed])}}}]"
    with pytest.raises(InvalidDeployment) as raised:
        load(tmp_path, RestBridge, text)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auth: {kind: tokens}", "tokens needs a file"),
        ("auth: {kind: none}\nlisten: {host: 0.0.0.0}", "bearer tokens would be readable"),
        ("auth: {kind: none}\nlisten: {host: 0.0.0.0, behind_tls_proxy: true}", "kind none is for loopback only"),
        ("auth: {kind: tokens, file: t}\nlisten: {certificate: c}", "belong together"),
        ("auth: {kind: none}\nlimits: {waiting_bytes: 2048}", "at least body_bytes"),
        ("auth: {kind: none}\nprocesses: 2\nlimits: {rate: {count: 9, per: 1 s}}", "each process would count alone"),
    ],
)
def test_what_is_wrong_with_an_endpoint(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidDeployment) as raised:
        load(tmp_path, PushBridge, PUSH + text)
    assert said in str(raised.value)

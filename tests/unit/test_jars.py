"""The lock file decides which jars are used: no other file gets in, and nothing is fetched twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from jobs.cli.console import CliError
from jobs.cli.jars import LOCK_FILE, LockedJar, central_mirror, ensure_jars, format_lock, parse_lock, read_lock


def locked(content: bytes, coordinate: str = "org.example:thing:1.0") -> LockedJar:
    return LockedJar("flink", coordinate, hashlib.sha256(content).hexdigest())


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    path = tmp_path / "jars.lock"
    path.write_text(format_lock([locked(b"good")]), encoding="utf-8")
    return path


def serve(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "source.jar"
    path.write_bytes(content)
    return path


def test_lock_survives_a_round_trip() -> None:
    jars = [locked(b"a"), locked(b"b", "org.example:other_2.13:4.1.0:tests")]
    assert parse_lock(format_lock(jars)) == jars


def test_classifier_is_part_of_the_file_name() -> None:
    assert locked(b"a", "org.example:other:4.1.0:tests").filename == "other-4.1.0-tests.jar"


@pytest.mark.parametrize(
    "line", ["flink org.example:thing:1.0", "flink thing 0" * 2, f"flink org.example:thing {'0' * 64}"]
)
def test_malformed_lock_line_is_named(line: str) -> None:
    with pytest.raises(CliError, match=r"jars\.lock:2"):
        parse_lock(f"# header\n{line}\n")


def test_missing_jar_is_fetched_once(tmp_path: Path, lock_file: Path) -> None:
    fetched: list[str] = []

    def fetch(jar: LockedJar) -> Path:
        fetched.append(jar.coordinate)
        return serve(tmp_path, b"good")

    jars_dir = tmp_path / "jars"
    assert ensure_jars(lock_file, jars_dir, fetch) == 1
    assert ensure_jars(lock_file, jars_dir, fetch) == 0
    assert fetched == ["org.example:thing:1.0"]
    assert (jars_dir / "flink" / "thing-1.0.jar").read_bytes() == b"good"


def test_other_bytes_than_locked_are_refused_by_name(tmp_path: Path, lock_file: Path) -> None:
    jars_dir = tmp_path / "jars"
    with pytest.raises(CliError, match=r"org\.example:thing:1\.0 is not the locked file"):
        ensure_jars(lock_file, jars_dir, lambda _: serve(tmp_path, b"evil"))
    assert not list(jars_dir.rglob("*.jar"))


def test_damaged_jar_is_replaced_when_the_lock_changes(tmp_path: Path, lock_file: Path) -> None:
    jars_dir = tmp_path / "jars"
    ensure_jars(lock_file, jars_dir, lambda _: serve(tmp_path, b"good"))
    (jars_dir / "flink" / "thing-1.0.jar").write_bytes(b"torn")
    lock_file.write_text(lock_file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert ensure_jars(lock_file, jars_dir, lambda _: serve(tmp_path, b"good")) == 1
    assert (jars_dir / "flink" / "thing-1.0.jar").read_bytes() == b"good"


def test_project_lock_names_connector_and_broker() -> None:
    sets = {jar.set_name: [] for jar in read_lock(LOCK_FILE)} | {}
    assert set(sets) == {"flink", "kafka", "schemas", "sql-client"}
    names = {jar.filename for jar in read_lock(LOCK_FILE)}
    assert {"flink-sql-connector-kafka-5.0.0-2.2.jar", "kafka_2.13-4.1.0.jar"} <= names


@pytest.mark.parametrize(
    ("mirror_of", "expected"),
    [("central", "http://mirror.test/m2"), ("*", "http://mirror.test/m2"), ("*,!central", None), ("other", None)],
)
def test_central_mirror_of_maven_settings(tmp_path: Path, mirror_of: str, expected: str | None) -> None:
    settings = tmp_path / "settings.xml"
    mirror = f"<mirror><id>m</id><url>http://mirror.test/m2/</url><mirrorOf>{mirror_of}</mirrorOf></mirror>"
    settings.write_text(
        f'<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirrors>{mirror}</mirrors></settings>',
        encoding="utf-8",
    )
    assert central_mirror(settings) == expected


def test_no_maven_settings_is_no_mirror(tmp_path: Path) -> None:
    assert central_mirror(tmp_path / "none.xml") is None

"""The cold store: what it has called safe is there after any crash, byte by byte, in files whole or not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.breakers.config import ColdRule
from jobs.bridge.envelope import Message
from jobs.cold.layout import OPEN, Done, cold_files, recover
from jobs.cold.record import ColdRecord, Damaged, decode_record, encode_record
from jobs.cold.store import ColdFull, ColdStore

AT_MS = 1_796_052_600_000  # 2026-11-30T15:30:00Z


def record(number: int, at_ms: int = AT_MS, size: int = 1) -> ColdRecord:
    headers = {"sensor_id": b"s1", "odd": b"\xff\x00"}
    return ColdRecord("raw", Message(b"north", b"%d " % number + b"x" * size, headers), "gone", at_ms)


def store(folder: Path, bridge: str = "field-1", **rule: str) -> ColdStore:
    return ColdStore(folder, bridge, ColdRule.model_validate({"folder": "cold", **rule}))


def all_records(folder: Path) -> list[ColdRecord]:
    return [found for file in cold_files(folder) for found in file.records()]


binary = st.binary(max_size=50) | st.text(max_size=20).map(lambda text: text.encode())


@given(st.text(max_size=20), binary, binary, st.dictionaries(st.text(max_size=10), binary, max_size=5))
def test_a_record_is_kept_byte_by_byte(topic: str, key: bytes, value: bytes, headers: dict[str, bytes]) -> None:
    kept = ColdRecord(topic, Message(key, value, headers), "slow", AT_MS)
    line = encode_record(kept)
    assert line.count(b"\n") == 1
    found = decode_record(line)
    assert found == kept
    assert list(found.message.headers) == list(headers)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_line_that_was_changed_is_no_record(place: int, change: int) -> None:
    line = bytearray(encode_record(record(7)))
    start = line.index(b'"key"')
    line[start + place % (len(line) - start - 1)] ^= change
    try:
        found = decode_record(bytes(line))
    except Damaged:
        return
    assert found.message == record(7).message


def test_files_lie_by_day_and_hour_and_say_what_they_hold(tmp_path: Path) -> None:
    cold = store(tmp_path)
    cold.append([record(1), record(2, AT_MS + 5)])
    assert cold_files(tmp_path) == []
    assert cold.waiting.records == 2
    cold.finish()
    [file] = cold_files(tmp_path)
    assert file.data.parent == tmp_path / "dt=2026-11-30" / "hour=15"
    assert file.data.name.startswith("field-1-") and file.data.name.endswith("-0001.ndjson.zst")
    assert (file.manifest.bridge, file.manifest.records, file.manifest.causes) == ("field-1", 2, {"gone": 2})
    assert (file.manifest.first_diverted_at_ms, file.manifest.last_diverted_at_ms) == (AT_MS, AT_MS + 5)
    assert list(file.records()) == [record(1), record(2, AT_MS + 5)]
    assert cold.waiting == (2, file.data.stat().st_size)
    assert list((tmp_path / OPEN).iterdir()) == []


def test_a_file_is_plain_zstandard_and_json(tmp_path: Path) -> None:
    cold = store(tmp_path)
    cold.append([record(1)])
    cold.finish()
    with pa.CompressedInputStream(pa.OSFile(str(cold_files(tmp_path)[0].data)), "zstd") as stream:
        assert json.loads(stream.read())["value"] == "1 x"


def test_what_was_called_safe_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, os.getcwd())\n"
        "from pathlib import Path; from tests.unit.cold.test_cold_store import store, record\n"
        f"cold = store(Path({str(tmp_path)!r})); cold.append([record(1), record(2)]); cold.append([record(3)])\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    again = store(tmp_path)
    assert all_records(tmp_path) == [record(1), record(2), record(3)]
    assert again.waiting.records == 3


def crashed(folder: Path, content: bytes) -> None:
    """What a killed bridge has left."""
    (folder / OPEN).mkdir(parents=True, exist_ok=True)
    (folder / OPEN / "field-1-1796052600000-0123abcd-0001.part").write_bytes(content)


@given(st.integers(0, 500))
def test_a_write_that_a_crash_has_cut_is_left_out_and_all_before_it_kept(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cold")
    lines = [encode_record(record(n)) for n in range(3)]
    content = b"".join(lines)[: cut or None]
    crashed(folder, content)
    recover(folder)
    whole = sum(len(b"".join(lines[: n + 1])) - 1 <= len(content) for n in range(3))  # without its line end, too
    assert all_records(folder) == [record(n) for n in range(whole)]
    assert [file.manifest.damaged for file in cold_files(folder)] == [0] * bool(whole)


def test_a_line_that_rots_is_counted_and_costs_no_other(tmp_path: Path) -> None:
    lines = [encode_record(record(n)) for n in range(3)]
    crashed(tmp_path, lines[0] + lines[1].replace(b"1 x", b"9 x") + lines[2])
    recover(tmp_path)
    assert all_records(tmp_path) == [record(0), record(2)]
    assert cold_files(tmp_path)[0].manifest.damaged == 1


def test_recovering_again_after_a_crash_in_it_makes_the_same_file(tmp_path: Path) -> None:
    crashed(tmp_path, encode_record(record(1)))
    content = (tmp_path / OPEN / "field-1-1796052600000-0123abcd-0001.part").read_bytes()
    recover(tmp_path)
    crashed(tmp_path, content)
    recover(tmp_path)
    assert all_records(tmp_path) == [record(1)]


def test_what_a_living_bridge_is_writing_is_left_to_it(tmp_path: Path) -> None:
    living = store(tmp_path, "a")
    living.append([record(1)])
    other = store(tmp_path, "b")
    recover(tmp_path)
    assert cold_files(tmp_path) == []
    living.append([record(2)])
    living.finish()
    assert all_records(tmp_path) == [record(1), record(2)]
    assert (living.waiting.records, other.waiting.records) == (2, 0)


def test_a_full_store_keeps_nothing_of_the_call_and_has_room_again_once_files_are_done(tmp_path: Path) -> None:
    now_s = 0.0
    rule = ColdRule.model_validate({"folder": "cold", "max_size": "1 MB", "file_size": "64 kB"})
    cold = ColdStore(tmp_path, "a", rule, lambda: now_s)
    noise = [record(n, size=1)._replace(message=Message(b"k", os.urandom(30_000), {})) for n in range(40)]
    kept = 0
    with pytest.raises(ColdFull, match="at most"):
        for one in noise:
            cold.append([one])
            kept += 1
    cold.finish()
    assert len(all_records(tmp_path)) == kept
    assert 20 < kept < 40
    for file in cold_files(tmp_path):
        file.mark_done(Done(AT_MS, file.manifest.records, 0))
    now_s = 11.0
    cold.turn()
    assert cold.waiting == (0, 0)
    cold.append([record(1)])


def test_large_and_old_files_are_finished(tmp_path: Path) -> None:
    now_s = 0.0
    rule = ColdRule.model_validate({"folder": "cold", "file_size": "64 kB", "file_after": "5 min"})
    cold = ColdStore(tmp_path, "a", rule, lambda: now_s)
    cold.append([record(1, size=70_000)])
    assert len(cold_files(tmp_path)) == 1
    cold.append([record(2)])
    cold.turn()
    assert len(cold_files(tmp_path)) == 1
    now_s = 300.0
    cold.turn()
    assert len(cold_files(tmp_path)) == 2


def test_a_disk_that_fails_keeps_nothing_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = store(tmp_path)
    cold.append([record(1)])

    def fails(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(ColdFull, match="No space left"):
            cold.append([record(2)])
    cold.append([record(3)])
    cold.finish()
    assert all_records(tmp_path) == [record(1), record(3)]


def test_a_file_that_was_changed_gives_nothing(tmp_path: Path) -> None:
    cold = store(tmp_path)
    cold.append([record(1)])
    cold.finish()
    [file] = cold_files(tmp_path)
    file.data.write_bytes(file.data.read_bytes()[:-1] + b"?")
    with pytest.raises(Damaged, match="SHA-256"):
        list(file.records())


def test_the_event_time_and_identity_come_from_the_headers() -> None:
    headers: dict[str, Any] = {"event_timestamp": b"17", "ce_source": b"mqtt://b", "ce_id": b"s1/7"}
    found = ColdRecord("raw", Message(b"", b"", headers), "gone", AT_MS)
    assert found.event_time_ms == 17
    assert found.identity == found._replace(cause="slow", diverted_at_ms=0).identity
    assert found.identity != found._replace(message=found.message._replace(value=b"2")).identity
    unreadable = ColdRecord("raw", Message(b"", b"", {"event_timestamp": b"0"}), "gone", AT_MS)
    assert unreadable.event_time_ms is None

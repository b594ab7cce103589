"""The spool: what it has taken is there again after a crash, in order, or known to be damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.envelope import Message
from jobs.bridge.size import parse_size
from jobs.bridge.spool import Damaged, Spool, Spooled, SpoolFull, SpoolUnusable

LARGE = 1 << 40


def message(number: int, size: int = 100) -> Message:
    return Message(b"north", b"%d " % number + b"x" * size, {"sensor_id": b"s%d" % number, "empty": b""})


def numbered(first: int, count: int, size: int = 100) -> list[tuple[str, Message]]:
    return [("raw", message(number, size)) for number in range(first, first + count)]


def values(spool: Spool, after: int = 0) -> list[int]:
    found = spool.read_after(after, 1_000_000, LARGE)
    return [int(record.message.value.split()[0]) for record in found if isinstance(record, Spooled)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", LARGE)
    yield made
    made.close()


def crashed(folder: Path, copy: Path) -> Path:
    """What a kill -9 leaves: the files of a spool that is still open."""
    shutil.copytree(folder, copy)
    return copy


def test_records_come_back_as_they_were_and_in_order(spool: Spool) -> None:
    assert spool.append(numbered(0, 3)) == 1
    assert spool.append([("status", message(3))]) == 4
    found = spool.read_after(0, 10, LARGE)
    assert found == [Spooled(i + 1, "status" if i == 3 else "raw", message(i)) for i in range(4)]
    assert spool.read_after(2, 1, LARGE) == [Spooled(3, "raw", message(2))]


def test_a_read_ends_at_its_limit_of_bytes_but_gives_one_record_at_least(spool: Spool) -> None:
    spool.append(numbered(0, 10, size=1_000))
    assert len(spool.read_after(0, 10, 2_500)) == 3
    assert len(spool.read_after(0, 10, 1)) == 1


def test_released_records_are_gone_and_positions_go_on(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered(0, 5))
    spool.release(3)
    assert (values(spool), len(spool)) == ([3, 4], 2)
    spool.release(5)
    assert (len(spool), spool.bytes_used) == (0, 0)
    spool.close()
    again = Spool(tmp_path / "spool", LARGE)
    assert again.append(numbered(5, 1)) == 6
    again.close()


def test_what_append_returned_for_survives_a_crash(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered(0, 1_000))
    spool.append(numbered(1_000, 10))
    after = Spool(crashed(tmp_path / "spool", tmp_path / "copy"), LARGE)
    assert values(after) == list(range(1_010))
    assert (len(after), after.bytes_used) == (len(spool), spool.bytes_used)
    after.close()


@pytest.mark.parametrize("cut", [1, 100, 3_000, 4_200])
def test_a_torn_last_commit_is_undone_as_a_whole(spool: Spool, tmp_path: Path, cut: int) -> None:
    spool.append(numbered(0, 20))
    spool.append(numbered(20, 20))
    copy = crashed(tmp_path / "spool", tmp_path / "copy")
    log = copy / "spool.db-wal"
    os.truncate(log, log.stat().st_size - cut)
    after = Spool(copy, LARGE)
    assert values(after) == list(range(20))
    assert after.append(numbered(20, 1)) == 21
    assert values(after) == list(range(21))
    after.close()


def test_garbage_in_the_last_commit_is_recognised_by_its_checksum(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered(0, 20))
    spool.append(numbered(20, 20))
    copy = crashed(tmp_path / "spool", tmp_path / "copy")
    with (copy / "spool.db-wal").open("r+b") as log:
        log.seek(-50, os.SEEK_END)
        log.write(b"\xff" * 20)
    after = Spool(copy, LARGE)
    assert values(after) == list(range(20))
    after.close()


def test_a_record_that_rots_on_the_disk_is_told_and_the_others_are_given(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered(0, 5))
    spool.close()
    file = tmp_path / "spool" / "spool.db"
    content = file.read_bytes()
    at = content.index(b"3 xxxx")
    file.write_bytes(content[: at + 9] + b"?" + content[at + 10 :])
    after = Spool(tmp_path / "spool", LARGE)
    assert [r.position for r in after.read_after(0, 10, LARGE) if isinstance(r, Damaged)] == [4]
    assert values(after) == [0, 1, 2, 4]
    after.close()


def test_a_full_spool_keeps_nothing_of_a_call_and_takes_again_after_a_release(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 2_000)
    spool.append(numbered(0, 9))
    with pytest.raises(SpoolFull):
        spool.append(numbered(9, 5))
    assert values(spool) == list(range(9))
    spool.release(5)
    spool.append(numbered(9, 5))
    assert values(spool) == list(range(5, 14))
    assert spool.bytes_used <= 2_000
    spool.close()


def test_a_disk_without_room_is_a_full_spool(spool: Spool) -> None:
    spool.append(numbered(0, 5))
    pages = spool._database.execute("PRAGMA page_count").fetchone()[0]
    spool._database.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(SpoolFull):
        spool.append(numbered(5, 1_000))
    assert values(spool) == list(range(5))
    spool._database.execute("PRAGMA max_page_count=1000000")
    spool.append(numbered(5, 1))
    assert values(spool) == list(range(6))


def test_an_empty_spool_gives_its_room_back(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered(0, 5_000, size=1_000))
    spool.release(5_000)
    spool.close()
    assert (tmp_path / "spool" / "spool.db").stat().st_size < 100_000


def test_one_process_at_a_time(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(SpoolUnusable, match="another process"):
        Spool(tmp_path / "spool", LARGE)


def test_a_spool_of_another_version_is_not_touched(spool: Spool, tmp_path: Path) -> None:
    spool.close()
    with sqlite3.connect(tmp_path / "spool" / "spool.db") as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(SpoolUnusable, match="version 99"):
        Spool(tmp_path / "spool", LARGE)


def test_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "spool.db").write_bytes(b"something else" * 1_000)
    with pytest.raises(SpoolUnusable):
        Spool(tmp_path / "spool", LARGE)


@given(st.lists(st.one_of(st.integers(1, 8), st.integers(-8, -1)), max_size=12))
def test_it_is_a_queue(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    spool = Spool(tmp_path_factory.mktemp("queue"), LARGE)
    appended = released = 0
    for step in steps:
        if step > 0:
            spool.append(numbered(appended, step))
            appended += step
        else:
            released = min(appended, released - step)
            spool.release(released)
        assert values(spool) == list(range(released, appended))
        assert len(spool) == appended - released
    spool.close()


@pytest.mark.parametrize(("text", "size"), [("512 kB", 524_288), ("64MB", 67_108_864), ("1 GB", 1_073_741_824)])
def test_sizes_have_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [1_000_000, "1000", "1 TB", "-1 MB", ""])
def test_a_size_without_unit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_size(text)

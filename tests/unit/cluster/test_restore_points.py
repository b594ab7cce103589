"""Whose a savepoint or checkpoint is, and which came later, is read from its path and its metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cluster.restore_points import (
    NoRestorePoint,
    RestorePoint,
    job_of,
    latest,
    local_folder,
    plain_path,
    points_of,
    read_point,
    root_of,
)
from tests.support.restore_points import JOB, OTHER_JOB, make_checkpoint, make_savepoint


def point(job: str, number: int, completed_ms: int) -> RestorePoint:
    return RestorePoint(f"/{job}/{number}", job, number, completed_ms)


@pytest.mark.parametrize(
    ("path", "job"),
    [
        (f"/data/checkpoints/{JOB}/chk-12", JOB),
        (f"s3://bucket/checkpoints/{JOB}/chk-12", JOB),
        ("file:/data/savepoints/savepoint-1a2b3c-d4e5f6a7b8c9", "1a2b3c"),
        ("/data/savepoints/before-the-storm", ""),
        (f"/data/checkpoints/{JOB}/shared", ""),
    ],
)
def test_the_job_is_in_the_path(path: str, job: str) -> None:
    assert job_of(path) == job


def test_the_path_of_the_metadata_is_that_of_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert plain_path("s3://b/savepoint-1/_metadata") == "s3://b/savepoint-1"
    assert plain_path("file:///s/savepoint-1/") == "file:///s/savepoint-1"
    assert plain_path("stack/chk-1/_metadata") == str(tmp_path / "stack" / "chk-1")


def test_only_a_local_path_is_a_folder() -> None:
    assert local_folder("file:///a%20b/c") == Path("/a b/c")
    assert local_folder("/a") == Path("/a")
    assert local_folder("hdfs://a/b") is None


def test_number_and_time_are_read_from_the_metadata(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, JOB, 7, 1_000)
    assert read_point(folder) == RestorePoint(str(folder), JOB, 7, 1_000_000)


@pytest.mark.parametrize("content", [None, b"", b"short", b"\0" * 32])
def test_what_has_no_metadata_is_no_restore_point(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "_metadata").write_bytes(content)
    with pytest.raises(NoRestorePoint, match=str(tmp_path)):
        read_point(tmp_path)


def test_within_a_job_the_number_decides_even_for_a_copy_that_looks_younger() -> None:
    assert point(JOB, 8, 1).is_later_than(point(JOB[:6], 7, 99))
    assert not point(JOB[:6], 7, 99).is_later_than(point(JOB, 8, 1))


def test_between_jobs_the_time_decides() -> None:
    assert point(OTHER_JOB, 1, 2).is_later_than(point(JOB, 900, 1))
    assert point("", 1, 2).is_later_than(point("", 900, 1))


def test_nothing_is_later_than_itself() -> None:
    assert not point(JOB, 1, 1).is_later_than(point(JOB, 1, 1))


def test_the_points_of_a_job_are_found_below_all_roots_by_its_id_or_the_start_of_it(tmp_path: Path) -> None:
    checkpoints, savepoints = tmp_path / "checkpoints", tmp_path / "savepoints"
    wanted = {make_checkpoint(checkpoints, JOB, 3, 1), make_savepoint(savepoints, JOB, 4, 2)}
    make_checkpoint(checkpoints, OTHER_JOB, 9, 9)
    (savepoints / f"savepoint-{JOB[:6]}-torn").mkdir()
    (savepoints / f"savepoint-{JOB[:6]}-torn" / "_metadata").touch()
    for job in (JOB, JOB[:6]):
        assert {Path(p.path) for p in points_of(job, [checkpoints, savepoints])} == wanted


def test_the_latest_of_a_line_of_jobs(tmp_path: Path) -> None:
    line = [point(JOB, 5, 50), point(JOB, 6, 60), point(OTHER_JOB, 7, 70)]
    assert latest(line) == latest(reversed(line)) == line[2]
    assert latest([]) is None


def test_beside_a_point_lie_the_others_of_its_kind(tmp_path: Path) -> None:
    assert root_of(make_checkpoint(tmp_path, JOB, 1, 1)) == tmp_path
    assert root_of(make_savepoint(tmp_path, JOB, 1, 1)) == tmp_path

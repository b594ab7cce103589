"""A package is the same for the same content, and holds what a submission and a way back need."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from jobs.cluster.package import build_package
from jobs.pipeline.deployment_file import load_deployment

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "flink-conf" / "deployments" / "demo.yaml"


def test_the_roots_of_the_zip_are_the_two_packages_without_the_command_line(tmp_path: Path) -> None:
    package = build_package(ROOT, DEMO, load_deployment(DEMO, {}), tmp_path)
    names = zipfile.ZipFile(package.code).namelist()
    assert {name.split("/")[0] for name in names} == {"jobs", "udfs"}
    assert "udfs/schemas/reading.avsc" in names and not [n for n in names if n.startswith("jobs/cli/")]


def test_the_same_content_gives_the_same_folder_and_zip_and_other_content_another(tmp_path: Path) -> None:
    deployment = load_deployment(DEMO, {})
    one = build_package(ROOT, DEMO, deployment, tmp_path / "one")
    two = build_package(ROOT, DEMO, deployment, tmp_path / "two")
    assert one.folder.name == two.folder.name and one.code.read_bytes() == two.code.read_bytes()
    changed = tmp_path / "deployments" / "changed.yaml"
    changed.parent.mkdir()
    changed.write_text(DEMO.read_text().replace("ttl: 24 h", "ttl: 12 h").replace("../../udfs", str(ROOT / "udfs")))
    assert build_package(ROOT, changed, load_deployment(changed, {}), tmp_path / "one").folder != one.folder


def test_a_package_needs_nothing_outside_of_itself(tmp_path: Path) -> None:
    package = build_package(ROOT, DEMO, load_deployment(DEMO, {}), tmp_path / "built")
    moved = tmp_path / "moved"
    shutil.copytree(package.folder, moved)
    deployment = load_deployment(moved / "deployment.yaml", {})
    assert deployment.rules(moved).schemas.known[0][0] == 1


def test_the_command_restores_from_a_savepoint_only_when_there_is_one(tmp_path: Path) -> None:
    package = build_package(ROOT, DEMO, load_deployment(DEMO, {}), tmp_path)
    assert "-s" not in package.arguments(2, None)
    arguments = package.arguments(2, "file:/savepoint")
    assert arguments[arguments.index("-s") + 1] == "file:/savepoint"

"""What `meridian up --secure` makes and renders before any process starts."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from jobs.broker.acls import Role
from jobs.cli.local.kafka import write_kafka
from jobs.cli.local.layout import StackLayout
from jobs.cli.local.profiles import SECURE, base_config, load_profile
from jobs.cli.local.render import StackInfo, flink_config
from jobs.cli.local.secure import SecureFiles, variables
from jobs.cluster.rest import RestTls
from jobs.pipeline.kafka_security import read_login


@pytest.fixture
def files(tmp_path: Path) -> SecureFiles:
    made = SecureFiles(tmp_path / "stack" / "secure")
    made.folder.parent.mkdir()
    made.make()
    return made


def info(files: SecureFiles | None) -> StackInfo:
    own = {"internal_port": 19094, "secure_folder": str(files.folder)} if files else {}
    return StackInfo(19092, 19093, 18081, 16123, 19249, 2, 2, "/java", "2026-01-01T00:00:00+00:00", **own)  # type: ignore[arg-type]


def test_secrets_are_made_once_and_only_their_owner_reads_them(files: SecureFiles) -> None:
    made = {path: path.read_bytes() for path in files.folder.iterdir()}
    files.make()
    assert {path: path.read_bytes() for path in files.folder.iterdir()} == made
    public = {files.authority, Path(files.rest.certificate)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.keys() - public} == {0o600}
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert not [path for path in made if "ca" in path.stem and b"PRIVATE" in made[path]], "the authority's key is kept"


def test_each_role_has_a_login_of_its_own(files: SecureFiles) -> None:
    logins = [read_login(files.login(role)) for role in Role]
    assert [user for user, _ in logins] == [f"meridian-{role}" for role in Role]
    assert len({password for _, password in logins}) == len(Role)


def test_what_the_authority_signed_is_for_the_loopback_address(files: SecureFiles) -> None:
    for certificate in (files.broker, Path(files.rest.certificate)):
        command = ["openssl", "verify", "-CAfile", files.authority, "-verify_ip", "127.0.0.1", certificate]
        subprocess.run(command, check=True, capture_output=True)


def test_inside_flink_trusts_its_own_certificate_and_not_the_authority(files: SecureFiles) -> None:
    password = files.store_password.encode()
    inner = load_pkcs12(files.store("internal-key").read_bytes(), password)
    trusted = load_pkcs12(files.store("internal-trust").read_bytes(), password)
    assert inner.cert is not None and inner.key is not None
    assert [entry.certificate for entry in trusted.additional_certs] == [inner.cert.certificate]


def test_flink_gets_the_overlay_with_stores_in_place_of_its_placeholders(files: SecureFiles, tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / "stack")
    plain, secure = (flink_config(base_config(), info(f), layout) for f in (None, files))
    assert {key for key in secure if plain.get(key) != secure[key]} == set(load_profile(SECURE))
    placeholders = {"changeit"} | {v for v in load_profile(SECURE).values() if str(v).startswith("/etc")}
    assert not placeholders & set(map(str, secure.values()))
    assert all(Path(v).exists() for k, v in secure.items() if k.startswith("security") and k.endswith("store"))
    assert info(files).rest_url.startswith("https:") and info(None).rest_url.startswith("http:")


def test_the_broker_takes_strangers_on_no_listener(files: SecureFiles, tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / "stack")
    layout.kafka.mkdir()
    write_kafka(info(files), layout)
    lines = (layout.kafka / "server.properties").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))  # last one counts
    assert "PLAINTEXT" not in settings["listeners"] + settings["listener.security.protocol.map"]
    assert (
        settings["allow.everyone.if.no.acl.found"] == "false"
        and "StandardAuthorizer" in settings["authorizer.class.name"]
    )
    for inner in ("internal", "controller"):
        assert settings[f"listener.name.{inner}.ssl.client.auth"] == "required"
    passwords = [read_login(files.login(role))[1] for role in Role]
    assert not [password for password in passwords if password in "\n".join(lines)]


def test_a_shell_gets_paths_and_no_secrets(files: SecureFiles) -> None:
    shown = variables(files)
    assert all(Path(value).exists() for value in shown.values())
    assert RestTls.of(shown) == files.rest
    assert RestTls.of({}).options() == {}

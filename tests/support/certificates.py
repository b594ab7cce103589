"""Certificates for tests: an authority and a server certificate for 127.0.0.1, made by the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificates(NamedTuple):
    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, name: str = "IP:127.0.0.1") -> Certificates:
    """Make both, valid for two days, for the given subject alternative name."""
    folder.mkdir(parents=True)
    made = Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl("req", "-x509", *key, "-subj", "/CN=test authority", *authority, "-keyout", folder / "ca.key",
             "-out", made.authority)  # fmt: skip
    _openssl("req", "-x509", *key, "-subj", "/CN=test broker", "-addext", f"subjectAltName={name}",
             "-addext", "basicConstraints=critical,CA:FALSE", "-CA", made.authority, "-CAkey", folder / "ca.key",
             "-keyout", made.key, "-out", made.certificate)  # fmt: skip
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

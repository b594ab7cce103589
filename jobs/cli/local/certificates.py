"""Certificates of a secure local stack: an authority whose key is forgotten, and what it signed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
    serialize_key_and_certificates,
)
from cryptography.x509.oid import NameOID

from jobs.cli.local.ports import HOST

_VALID = dt.timedelta(days=397)
_CLOCK_SLACK = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Identity:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def key_store(self, password: str) -> bytes:
        """PKCS #12 with key and certificate, as Java reads it."""
        protection = BestAvailableEncryption(password.encode())
        return serialize_key_and_certificates(b"meridian", self.key, self.certificate, None, protection)

    def trust_store(self, password: str) -> bytes:
        """PKCS #12 with the certificate as the only one that Java trusts."""
        trusted = [PKCS12Certificate(self.certificate, b"meridian")]
        return serialize_java_truststore(trusted, BestAvailableEncryption(password.encode()))


def make_authority(name: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    return _signed(name, key, None, is_authority=True)


def issue(authority: Identity, name: str) -> Identity:
    """A certificate for servers on the loopback address and for clients, by the common name `name`."""
    return _signed(name, ec.generate_private_key(ec.SECP256R1()), authority, is_authority=False)


def _signed(name: str, key: ec.EllipticCurvePrivateKey, authority: Identity | None, *, is_authority: bool) -> Identity:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        names = [x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Identity(builder.sign(authority.key if authority else key, hashes.SHA256()), key)


def write_secret(path: Path, content: bytes | str) -> None:
    """Write a file that only its owner reads, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)

"""`meridian up --secure`: TLS, logins and rights on the local stack, as docs/security.md describes them for production.

    Kafka   SASL_SSL for everyone, by SCRAM; an internal listener and the controller take only the broker's certificate
    Flink   REST takes only clients with a certificate; JobManager and TaskManagers trust one certificate of their own

All secrets are made here, at the first `up`, and lie in one folder that only its owner reads. None is an argument of a
process, and the authority's key is not kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from jobs.broker.acls import FIRST_RIGHTS, Role, apply_acls, bindings, principals
from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.local.ports import HOST
from jobs.cli.project import FLINK_CONF
from jobs.cluster.rest import RestTls
from jobs.pipeline.kafka_security import read_login

if TYPE_CHECKING:
    from jobs.cli.local.render import StackInfo

_TIMEOUT_S: Final = 30.0
_ITERATIONS: Final = 8_192
BROKER_NAME: Final = "meridian-broker"


@dataclass(frozen=True)
class SecureFiles:
    """The secrets of one stack."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def broker(self) -> Path:
        return self.folder / "broker.pem"

    @property
    def rest(self) -> RestTls:
        """What a client of Flink's REST API shows and trusts."""
        return RestTls(str(self.authority), str(self.folder / "operator.crt"), str(self.folder / "operator.key"))

    def login(self, role: Role) -> Path:
        return self.folder / f"kafka-{role}.properties"

    def store(self, name: str) -> Path:
        return self.folder / f"{name}.p12"

    @property
    def _password_file(self) -> Path:
        return self.folder / "stores.password"

    @property
    def store_password(self) -> str:
        return self._password_file.read_text(encoding="utf-8")

    def make(self) -> None:
        """Make all of it, once."""
        if self._password_file.exists():  # written last
            return
        from jobs.cli.local.certificates import issue, make_authority, write_secret

        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.folder.chmod(0o700)
        authority, password = make_authority("meridian local authority"), secrets.token_urlsafe(24)
        broker, operator, rest = (
            issue(authority, name) for name in (BROKER_NAME, "meridian-operator", "meridian-rest")
        )
        inner = make_authority("meridian-flink")  # signs for itself: inside, Flink trusts this one and no authority
        self.authority.write_bytes(authority.certificate_pem)
        write_secret(self.broker, broker.key_pem + broker.certificate_pem)
        Path(self.rest.certificate).write_bytes(operator.certificate_pem)
        write_secret(Path(self.rest.key), operator.key_pem)
        for name, identity, trusted in (("rest", rest, authority), ("internal", inner, inner)):
            write_secret(self.store(f"{name}-key"), identity.key_store(password))
            write_secret(self.store(f"{name}-trust"), trusted.trust_store(password))
        for role in Role:
            login = f"username={_user(role)}\npassword={secrets.token_urlsafe(24)}\n"
            write_secret(self.login(role), login)
        write_secret(self._password_file, password)


def _user(role: Role) -> str:
    return f"meridian-{role}"


def broker_lines(info: StackInfo, files: SecureFiles) -> dict[str, str]:
    """Settings of the broker in place of the open ones; `kafka-broker-secure.properties` has the rest."""
    ports = {"CONTROLLER": info.controller_port, "INTERNAL": info.internal_port, "SASL_SSL": info.kafka_port}
    addresses = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    pem = {"type": "PEM", "location": str(files.broker)}
    return {
        **dict(_lines(FLINK_CONF / "kafka-broker-secure.properties")),
        "listeners": addresses,
        "advertised.listeners": addresses,
        "super.users": f"User:{BROKER_NAME}",
        **{f"ssl.keystore.{name}": value for name, value in pem.items()},
        **{f"ssl.truststore.{name}": value for name, value in (pem | {"location": str(files.authority)}).items()},
    }


def _lines(path: Path) -> list[tuple[str, str]]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(name, value) for name, _, value in (x.partition("=") for x in lines if x and not x.startswith("#"))]


def flink_keys(files: SecureFiles) -> dict[str, Any]:
    """Stores and their passwords in place of the placeholders of flink-conf/profiles/secure.yaml."""
    found: dict[str, Any] = {}
    for side in ("rest", "internal"):
        for kind, name in (("keystore", "key"), ("truststore", "trust")):
            found[f"security.ssl.{side}.{kind}"] = str(files.store(f"{side}-{name}"))
            found[f"security.ssl.{side}.{kind}-password"] = files.store_password
        found[f"security.ssl.{side}.key-password"] = files.store_password
    return found


def superuser_settings(info: StackInfo, files: SecureFiles) -> dict[str, Any]:
    """librdkafka's settings for the internal listener: the broker's own certificate may do everything."""
    return {
        "bootstrap.servers": f"{HOST}:{info.internal_port}",
        "security.protocol": "SSL",
        "ssl.ca.location": str(files.authority),
        "ssl.certificate.location": str(files.broker),
        "ssl.key.location": str(files.broker),
    }


def provision(info: StackInfo, files: SecureFiles) -> None:
    """Tell the broker the logins, and that the admin may give rights; harmless to repeat.

    Raises
    ------
    CliError: the broker refuses.
    """
    admin = AdminClient(superuser_settings(info, files) | {"log_level": 2})
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
    logins = [read_login(files.login(role)) for role in Role]
    wanted = [UserScramCredentialUpsertion(user, credential, password.encode()) for user, password in logins]
    try:
        for future in admin.alter_user_scram_credentials(wanted, request_timeout=_TIMEOUT_S).values():
            future.result(_TIMEOUT_S)
    except KafkaException as error:
        raise CliError(f"logins cannot be set: {error.args[0].str()}", EXIT_ENVIRONMENT) from None
    apply_acls(admin, bindings(FIRST_RIGHTS, principals({})))


def variables(files: SecureFiles) -> Mapping[str, str]:
    """What a shell sets for commands and deployments of a secure stack."""
    return {
        "MERIDIAN_KAFKA_CA": str(files.authority),
        "MERIDIAN_KAFKA_JOB_LOGIN": str(files.login(Role.JOB)),
        "MERIDIAN_KAFKA_LOGIN": str(files.login(Role.READER)),
        **files.rest.variables(),
    }

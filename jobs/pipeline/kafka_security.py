"""How Kafka's clients prove who they are: TLS always, a login by SASL, a client certificate, or both.

The deployment names files and never what they hold. What travels with a job - in its graph, its tables' options, the
client's log - is a reference, which the Kafka client in the JVM resolves where it runs (`config.providers`). The tools,
which are librdkafka's, read the same files, or another login that MERIDIAN_KAFKA_LOGIN names.

Source: https://kafka.apache.org/41/security/, KIP-297 (configuration providers), KIP-651 (PEM).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from jobs.pipeline.section import Section

LOGIN_VARIABLE: Final = "MERIDIAN_KAFKA_LOGIN"
# The connector's jar holds Kafka's client under a name of its own, which classes in settings must have, too.
_SHADED: Final = "org.apache.flink.kafka.shaded.org.apache.kafka"
_LOGIN_MODULES: Final = {
    "SCRAM-SHA-512": "scram.ScramLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "PLAIN": "plain.PlainLoginModule",
}
_SECRET: Final = re.compile(r"jaas|password|secret|[.]key$", re.IGNORECASE)
_ONLY_REFERENCES: Final = re.compile(r"(\$\{\w+:[^}]*\})+")

FileName = Annotated[str, Field(pattern=r"^/[^{}:\"\\\s]+$")]
"""Absolute, on the cluster's machines as on those of the tools."""


class LoginProblem(ValueError):  # noqa: N818
    """A login file cannot be used; one line for a person, without what the file holds."""


class KafkaSecurity(Section):
    """Files for every Kafka client; see docs/security.md."""

    ca_file: FileName = Field(description="PEM: the authorities that are trusted")
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    login_file: FileName | None = Field(None, description="lines `username=…` and `password=…`")
    certificate_file: FileName | None = Field(None, description="PEM: private key (PKCS #8) and certificates")

    @model_validator(mode="after")
    def _identified(self) -> KafkaSecurity:
        if self.login_file is None and self.certificate_file is None:
            raise ValueError("login_file or certificate_file: a client without either is nobody")
        return self

    def java_properties(self) -> dict[str, str]:
        """For clients in the JVM; a login stays a reference."""
        found = {
            "security.protocol": self._protocol(),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca_file,
        }
        if self.certificate_file is not None:
            found |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": self.certificate_file}
        if self.login_file is not None:
            module = f"{_SHADED}.common.security.{_LOGIN_MODULES[self.mechanism]}"
            entries = " ".join(f'{name}="${{file:{self.login_file}:{name}}}"' for name in ("username", "password"))
            found |= {
                "sasl.mechanism": self.mechanism,
                "sasl.jaas.config": f"{module} required {entries};",
                "config.providers": "file",
                "config.providers.file.class": f"{_SHADED}.common.config.provider.FileConfigProvider",
                "config.providers.file.param.allowed.paths": self.login_file,
            }
        return found

    def librdkafka_settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """For the tools' clients, with the login itself.

        Raises
        ------
        LoginProblem : the login file cannot be read, or holds something else.
        """
        found = {"security.protocol": self._protocol(), "ssl.ca.location": self.ca_file}
        if self.certificate_file is not None:
            found |= {"ssl.certificate.location": self.certificate_file, "ssl.key.location": self.certificate_file}
        if self.login_file is not None:
            username, password = read_login(Path(environment.get(LOGIN_VARIABLE) or self.login_file))
            found |= {"sasl.mechanism": self.mechanism, "sasl.username": username, "sasl.password": password}
        return found

    def _protocol(self) -> str:
        return "SSL" if self.login_file is None else "SASL_SSL"


def read_login(path: Path) -> tuple[str, str]:
    """User name and password of a login file.

    Raises
    ------
    LoginProblem : see there. Quotation marks, backslashes and `${` mean something in Java's settings.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LoginProblem(f"login file {path}: {reason}") from None
    found = dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))
    if set(found) != {"username", "password"} or not all(found.values()):
        raise LoginProblem(f"login file {path}: two lines are expected, username=… and password=…")
    if any(set(text) & set('"\\') or "${" in text or text != text.strip() for text in found.values()):
        raise LoginProblem(f"login file {path}: a quotation mark, a backslash, '${{' or a blank at an end")
    return found["username"], found["password"]


def secret_properties(properties: Mapping[str, str]) -> list[str]:
    """Names of properties that would take a secret along with the job; what only refers to one would not."""
    return [
        name for name, value in properties.items() if _SECRET.search(name) and not _ONLY_REFERENCES.fullmatch(value)
    ]

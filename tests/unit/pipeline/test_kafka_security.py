"""What a job takes along of its login is a reference, and what is no login is refused before it is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.broker.clients import kafka_settings
from jobs.pipeline.config import Kafka
from jobs.pipeline.kafka_options import common_options
from jobs.pipeline.kafka_security import KafkaSecurity, LoginProblem, read_login, secret_properties


class Demo:
    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka


@pytest.fixture
def login(tmp_path: Path) -> Path:
    path = tmp_path / "login.properties"
    path.write_text("# of the job\nusername=meridian-job\npassword=s3cret=1\n")
    return path


def secured(login: Path | None, **more: Any) -> Kafka:
    named = {"login_file": str(login)} if login else {}
    return Kafka.model_validate({"security": {"ca_file": "/etc/ca.crt", **named, **more}})


def test_what_travels_with_the_job_names_the_login_and_does_not_hold_it(login: Path) -> None:
    options = common_options(Demo(secured(login)))  # type: ignore[arg-type]
    assert options["properties.security.protocol"] == "SASL_SSL"
    assert options["properties.ssl.truststore.location"] == "/etc/ca.crt"
    jaas = options["properties.sasl.jaas.config"]
    assert f'password="${{file:{login}:password}}"' in jaas and "shaded" in jaas and jaas.endswith(";")
    assert options["properties.config.providers.file.param.allowed.paths"] == str(login)
    assert "s3cret" not in str(options) and "meridian-job" not in str(options)


def test_the_tools_read_the_file_or_the_one_of_their_own(
    login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MERIDIAN_KAFKA_LOGIN", raising=False)
    settings = kafka_settings(secured(login))
    assert (settings["sasl.username"], settings["sasl.password"]) == ("meridian-job", "s3cret=1")
    assert (settings["security.protocol"], settings["ssl.ca.location"]) == ("SASL_SSL", "/etc/ca.crt")
    mine = tmp_path / "mine"
    mine.write_text("username=reader\npassword=other")
    monkeypatch.setenv("MERIDIAN_KAFKA_LOGIN", str(mine))
    assert kafka_settings(secured(login))["sasl.username"] == "reader"


def test_a_certificate_alone_is_an_identity_too() -> None:
    kafka = secured(None, certificate_file="/etc/job.pem")
    assert common_options(Demo(kafka))["properties.security.protocol"] == "SSL"  # type: ignore[arg-type]
    assert kafka_settings(kafka)["ssl.key.location"] == "/etc/job.pem"


@pytest.mark.parametrize(
    "text",
    ["", "username=a\n", "username=a\npassword=\n", "username=a\npassword=b\nmore=c\n"]
    + [f"username=a\npassword={password}\n" for password in ('a"b', "a\\b", "${env:A}")],
)
def test_a_login_file_of_another_shape_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "login"
    path.write_text(text)
    with pytest.raises(LoginProblem, match=r"login file .*/login: ") as refused:
        read_login(path)
    assert len(str(refused.value).splitlines()) == 1 and 'a"b' not in str(refused.value)


def test_a_login_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoginProblem, match="No such file"):
        kafka_settings(secured(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("kafka", "message"),
    [
        ({"properties": {"sasl.jaas.config": 'x required password="p";'}}, "a secret would travel with the job"),
        ({"properties": {"ssl.keystore.password": "p"}}, "ssl.keystore.password: a secret would travel"),
        ({"security": {"ca_file": "/ca"}}, "login_file or certificate_file"),
        ({"security": {"ca_file": "ca.crt", "login_file": "/l"}}, "security.ca_file"),
        ({"security": {"ca_file": "/ca", "login_file": "/l:x"}}, "security.login_file"),
        (
            {"security": {"ca_file": "/ca", "login_file": "/l"}, "properties": {"sasl.mechanism": "PLAIN"}},
            "sasl.mechanism: kafka.security says it",
        ),
    ],
)
def test_what_would_leak_or_contradict_is_refused(kafka: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Kafka.model_validate(kafka)


def test_a_reference_of_ones_own_may_travel() -> None:
    properties = {"sasl.jaas.config": "${file:/run/secrets/kafka:jaas}", "ssl.truststore.location": "/ca.p12"}
    assert secret_properties(properties) == []
    assert Kafka(properties=properties).properties == properties


def test_names_of_paths_reach_neither_another_reference_nor_a_quote() -> None:
    for path in ("/a}b", '/a"b', "/a b", "a", "/a\\b", "/a:b"):
        with pytest.raises(ValidationError):
            KafkaSecurity(ca_file="/ca", login_file=path)

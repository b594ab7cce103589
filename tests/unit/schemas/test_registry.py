"""Confluent's client, unmodified, against the stand-in over HTTP; and that the stand-in answers as the API says."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

from jobs.schemas.cache import CachedOnDisk, cache_folder, open_source
from jobs.schemas.registry import Refused, Registry
from jobs.schemas.settings import RegistrySettings
from tests.support.registry_stand_in import CONTENT_TYPE, RegistryStandIn
from udfs.decode import Decoder
from udfs.protobuf_encoding import encode_confluent_message
from udfs.protobuf_schema import ProtobufSchema
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, LookupRule, SchemaRule
from udfs.schema_lookup import Unreachable
from udfs.schemas import reading_schema
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

SCHEMAS = Path(__file__).resolve().parents[3] / "udfs" / "schemas"
V1 = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}'
V2 = '{"type":"record","name":"R","fields":[{"name":"a","type":"long"}]}'
BROKEN = '{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}'
PROTO = 'syntax = "proto3"; import "part.proto"; message R { Part part = 1; }'
PART = 'syntax = "proto3"; message Part { int64 n = 1; }'


@pytest.fixture
def stand_in() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as registry:
        yield registry


@pytest.fixture
def registry(stand_in: RegistryStandIn) -> Registry:
    return Registry(RegistrySettings((stand_in.url,)))


def avro(text: str) -> WriterSchema:
    return WriterSchema(SchemaFormat.AVRO, text)


class TestTheStandInAnswersAsTheApiSays:
    """Source: Confluent Schema Registry documentation, "API Reference"."""

    def call(self, stand_in: RegistryStandIn, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        response = httpx.request(method, stand_in.url + path, json=body, headers={"Content-Type": CONTENT_TYPE})
        assert response.headers["Content-Type"] == CONTENT_TYPE
        return response.status_code, response.json()

    def test_registering_and_finding(self, stand_in: RegistryStandIn) -> None:
        assert self.call(stand_in, "POST", "/subjects/t-value/versions", {"schema": V1}) == (200, {"id": 1})
        assert self.call(stand_in, "POST", "/subjects/t-value/versions", {"schema": V1}) == (200, {"id": 1})
        assert self.call(stand_in, "POST", "/subjects/other/versions", {"schema": V1}) == (200, {"id": 1})
        assert self.call(stand_in, "POST", "/subjects/t-value/versions", {"schema": V2}) == (200, {"id": 2})
        assert self.call(stand_in, "GET", "/subjects") == (200, ["other", "t-value"])
        assert self.call(stand_in, "GET", "/subjects/t-value/versions") == (200, [1, 2])
        found = {"subject": "t-value", "version": 2, "id": 2, "schema": V2}
        assert self.call(stand_in, "GET", "/subjects/t-value/versions/latest") == (200, found)
        assert self.call(stand_in, "POST", "/subjects/t-value", {"schema": V2}) == (200, found)
        assert self.call(stand_in, "GET", "/schemas/ids/1") == (200, {"schema": V1})
        uses = [{"subject": "t-value", "version": 1}, {"subject": "other", "version": 1}]
        assert self.call(stand_in, "GET", "/schemas/ids/1/versions") == (200, uses)
        assert self.call(stand_in, "GET", "/subjects/t-value/versions/1/schema") == (200, json.loads(V1))
        assert self.call(stand_in, "DELETE", "/subjects/other") == (200, [1])

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "code"),
        [
            ("GET", "/subjects/none/versions", None, 404, 40401),
            ("GET", "/subjects/none/versions/1", None, 404, 40401),
            ("GET", "/subjects/t-value/versions/9", None, 404, 40402),
            ("GET", "/subjects/t-value/versions/nine", None, 422, 42202),
            ("GET", "/schemas/ids/99", None, 404, 40403),
            ("POST", "/subjects/t-value", {"schema": V2}, 404, 40403),
            ("POST", "/subjects/t-value/versions", {"schema": BROKEN}, 409, 409),
            ("POST", "/subjects/t-value/versions", {"schema": "{"}, 422, 42201),
            ("POST", "/subjects/t-value/versions", {}, 422, 42201),
            ("POST", "/subjects/t-value/versions", {"schema": "message {", "schemaType": "PROTOBUF"}, 422, 42201),
            ("PUT", "/config", {"compatibility": "SOMEHOW"}, 422, 42203),
            ("GET", "/config/t-value", None, 404, 40408),
            ("GET", "/nothing", None, 404, 404),
        ],
    )
    def test_refusals_have_the_documented_codes(
        self, stand_in: RegistryStandIn, method: str, path: str, body: Any, status: int, code: int
    ) -> None:
        self.call(stand_in, "POST", "/subjects/t-value/versions", {"schema": V1})
        answered, error = self.call(stand_in, method, path, body)
        assert (answered, error["error_code"]) == (status, code) and error["message"]

    def test_compatibility_is_that_of_the_level(self, stand_in: RegistryStandIn) -> None:
        check = "/compatibility/subjects/t-value/versions"
        assert self.call(stand_in, "GET", "/config") == (200, {"compatibilityLevel": "BACKWARD"})
        assert self.call(stand_in, "POST", f"{check}/latest", {"schema": V1}) == (200, {"is_compatible": True})
        self.call(stand_in, "POST", "/subjects/t-value/versions", {"schema": V1})
        assert self.call(stand_in, "POST", check, {"schema": V2}) == (200, {"is_compatible": True})
        assert self.call(stand_in, "PUT", "/config/t-value", {"compatibility": "FULL"})[0] == 200
        status, answer = self.call(stand_in, "POST", f"{check}?verbose=true", {"schema": V2})
        assert (status, answer["is_compatible"]) == (200, False) and answer["messages"]
        self.call(stand_in, "PUT", "/config/t-value", {"compatibility": "NONE"})
        assert self.call(stand_in, "POST", f"{check}/1", {"schema": BROKEN}) == (200, {"is_compatible": True})


class TestTheClient:
    def test_a_registered_schema_is_found_by_its_id_in_one_request(
        self, stand_in: RegistryStandIn, registry: Registry
    ) -> None:
        schema_id = registry.register("t-value", avro(V1), V1)
        stand_in.requests.clear()
        assert registry.find(schema_id) == avro(V1)
        assert stand_in.requests == [f"GET /schemas/ids/{schema_id}"]

    def test_an_id_that_there_is_not_is_none(self, registry: Registry) -> None:
        assert registry.find(99) is None

    def test_protobuf_comes_compiled_with_what_it_imports(self, stand_in: RegistryStandIn, registry: Registry) -> None:
        client = SchemaRegistryClient({"url": stand_in.url})
        client.register_schema("part", Schema(PART, "PROTOBUF"))
        reference = SchemaReference("part.proto", "part", 1)
        found = registry.find(client.register_schema("t-value", Schema(PROTO, "PROTOBUF", [reference])))
        assert found is not None and ProtobufSchema(found.text).names == ["R"]

    def test_an_incompatible_schema_is_refused_with_the_registrys_word(self, registry: Registry) -> None:
        registry.register("t-value", avro(V1), V1)
        assert registry.is_compatible("t-value", SchemaFormat.AVRO, V2)
        assert not registry.is_compatible("t-value", SchemaFormat.AVRO, BROKEN)
        with pytest.raises(Refused, match=r"incompatible .* \(409\)"):
            registry.register("t-value", avro(BROKEN), BROKEN)
        with pytest.raises(Refused, match=r"\(42201\)"):
            registry.register("t-value", avro("{"), "{")

    def test_versions_and_their_rule(self, stand_in: RegistryStandIn, registry: Registry) -> None:
        assert registry.versions("t-value") == []
        registry.register("t-value", avro(V1), V1)
        registry.register("t-value", avro(V2), V2)
        assert [(v.number, v.schema.text) for v in registry.versions("t-value")] == [(1, V1), (2, V2)]
        assert registry.compatibility("t-value") == "BACKWARD"
        stand_in.store.levels["t-value"] = "FULL_TRANSITIVE"
        assert registry.compatibility("t-value") == "FULL_TRANSITIVE"

    def test_a_schema_that_the_job_does_not_read_is_unusable(
        self, stand_in: RegistryStandIn, registry: Registry
    ) -> None:
        stand_in.store.register("t-value", {"schema": V1})
        stand_in.store.schemas[0] = stand_in.store.schemas[0]._replace(kind="JSON")
        with pytest.raises(UnusableSchema, match="type JSON"):
            registry.find(1)


class TestWithoutAnAnswer:
    def test_a_registry_that_is_down_is_unreachable_and_back_when_it_is_back(
        self, stand_in: RegistryStandIn, registry: Registry
    ) -> None:
        registry.register("t-value", avro(V1), V1)
        stand_in.stop()
        with pytest.raises(Unreachable, match="Connect"):
            registry.find(1)
        stand_in.start()
        assert registry.find(1) == avro(V1)

    def test_one_that_says_nothing_is_left_after_the_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            settings = RegistrySettings((f"http://127.0.0.1:{port}",), timeout_ms=100)
            with pytest.raises(Unreachable, match="Timeout"):
                Registry(settings).find(1)

    def test_a_page_that_is_no_registrys_is_unreachable(self, stand_in: RegistryStandIn) -> None:
        with pytest.raises(Unreachable, match="HTTP 404"):
            Registry(RegistrySettings((stand_in.url + "/elsewhere",))).find(1)

    def test_a_second_address_answers_for_the_first(self, stand_in: RegistryStandIn) -> None:
        stand_in.store.register("t-value", {"schema": V1})
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert Registry(RegistrySettings((nobody, stand_in.url))).find(1) == avro(V1)

    def test_a_password_comes_from_its_file_and_a_new_one_is_read_again(self, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        secret.write_text("old\n")
        with RegistryStandIn("telemetry:new") as stand_in:
            stand_in.store.register("t-value", {"schema": V1})
            settings = RegistrySettings((stand_in.url,), username="telemetry", password_file=str(secret))
            registry = Registry(settings)
            with pytest.raises(Unreachable, match="HTTP 401"):
                registry.find(1)
            secret.write_text("new\n")
            assert registry.find(1) == avro(V1)

    def test_settings_do_not_show_the_password(self) -> None:
        assert "s3cret" not in repr(RegistrySettings(("http://r",), username="u", password="s3cret"))


class TestOnDisk:
    def test_what_was_found_once_is_known_to_the_next_worker_without_the_registry(
        self, stand_in: RegistryStandIn, tmp_path: Path
    ) -> None:
        stand_in.store.register("t-value", {"schema": V1})
        settings = RegistrySettings((stand_in.url,), cache_folder=str(tmp_path))
        assert open_source(settings).find(1) == avro(V1)
        assert stat.S_IMODE(cache_folder(settings).stat().st_mode) == 0o700
        stand_in.stop()
        assert open_source(settings).find(1) == avro(V1)
        with pytest.raises(Unreachable):
            open_source(settings).find(2)

    def test_an_id_that_there_is_not_is_not_kept(self, stand_in: RegistryStandIn, tmp_path: Path) -> None:
        source = open_source(RegistrySettings((stand_in.url,), cache_folder=str(tmp_path)))
        assert source.find(1) is None
        stand_in.store.register("t-value", {"schema": V1})
        assert source.find(1) == avro(V1)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"format":"xml","text":""}'])
    def test_a_broken_file_is_asked_for_again_and_mended(
        self, registry: Registry, tmp_path: Path, content: str
    ) -> None:
        registry.register("t-value", avro(V1), V1)
        (tmp_path / "1.json").write_text(content)
        assert CachedOnDisk(registry, tmp_path).find(1) == avro(V1)
        assert json.loads((tmp_path / "1.json").read_text())["text"] == V1

    def test_a_folder_that_cannot_be_written_is_no_failure(self, registry: Registry, tmp_path: Path) -> None:
        registry.register("t-value", avro(V1), V1)
        (tmp_path / "file").write_text("")
        assert CachedOnDisk(registry, tmp_path / "file" / "folder").find(1) == avro(V1)


class TestTheDecoderAsks:
    RECORD = {"metric": "m", "value": 1.5, "unit": "1", "x": 1.0, "y": 2.0}  # noqa: RUF012

    def decoder(self, stand_in: RegistryStandIn, folder: Path) -> Decoder:
        source = open_source(RegistrySettings((stand_in.url,), cache_folder=str(folder)))
        return Decoder(LimitRule(), SchemaRule(lookup=LookupRule("refuse")), source)

    def test_once_for_an_id_and_not_per_record(self, stand_in: RegistryStandIn, tmp_path: Path) -> None:
        text = (SCHEMAS / "reading.proto").read_text()
        stand_in.store.register("t-value", {"schema": text, "schemaType": "PROTOBUF"})
        stand_in.requests.clear()
        decoder = self.decoder(stand_in, tmp_path)
        for _ in range(100):
            assert decoder.decode(encode_confluent_message(1, self.RECORD), None) == self.RECORD
            with pytest.raises(Rejected) as caught:
                decoder.decode(encode_confluent_message(2, self.RECORD), None)
            assert caught.value.reason is Reason.UNKNOWN_SCHEMA
        assert stand_in.requests == ["GET /schemas/ids/1", "GET /schemas/ids/2"]

    def test_a_changed_type_is_refused_by_its_field(self, stand_in: RegistryStandIn, tmp_path: Path) -> None:
        changed = reading_schema()
        changed["fields"][4]["type"] = "string"
        stand_in.store.register("t-value", {"schema": json.dumps(changed)})
        decoder = self.decoder(stand_in, tmp_path)
        stand_in.requests.clear()
        for _ in range(100):
            with pytest.raises(Rejected, match="field value: string cannot be read as double") as caught:
                decoder.decode(b"\0\0\0\0\1abc", "application/avro")
            assert caught.value.reason is Reason.UNUSABLE_SCHEMA
        assert stand_in.requests == ["GET /schemas/ids/1"]

    def test_known_ids_go_on_while_the_registry_is_down(self, stand_in: RegistryStandIn, tmp_path: Path) -> None:
        text = (SCHEMAS / "reading.proto").read_text()
        stand_in.store.register("t-value", {"schema": text, "schemaType": "PROTOBUF"})
        self.decoder(stand_in, tmp_path).decode(encode_confluent_message(1, self.RECORD), None)
        stand_in.stop()
        restarted = self.decoder(stand_in, tmp_path)
        assert restarted.decode(encode_confluent_message(1, self.RECORD), None) == self.RECORD
        with pytest.raises(Rejected) as caught:
            restarted.decode(encode_confluent_message(2, self.RECORD), None)
        assert caught.value.reason is Reason.SCHEMA_UNREACHABLE

"""A stand-in for a Confluent-compatible schema registry: the documented REST API over real HTTP, kept in memory.

It is no registry: nothing outlives it, there is one context, deletion is soft, and Protobuf's rules are the project's
own (Avro's are the `avro` library's). There is none on the package registries that could be run here.

Source: Confluent Schema Registry documentation, "API Reference"; error codes of its `rest.exceptions.Errors`.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException

from jobs.schemas.protoc import compile_texts
from udfs.protobuf_compatibility import compare_protobuf
from udfs.protobuf_schema import ProtobufSchema, protobuf_schema
from udfs.writer_schema import UnusableSchema

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
LEVELS = ("NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE")


class ApiError(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Registered(NamedTuple):
    id: int
    kind: str
    text: str
    references: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": self.id, "schema": self.text}
        if self.kind != "AVRO":  # the API leaves out what is the default
            shown["schemaType"] = self.kind
        if self.references:
            shown["references"] = self.references
        return shown


class Store:
    """What the API's calls do, without HTTP; one lock around each."""

    def __init__(self) -> None:
        self.schemas: list[Registered] = []
        self.subjects: dict[str, list[Registered]] = {}
        self.level = "BACKWARD"
        self.levels: dict[str, str] = {}

    def schema(self, schema_id: int) -> Registered:
        if not 1 <= schema_id <= len(self.schemas):
            raise ApiError(404, 40403, f"Schema {schema_id} not found")
        return self.schemas[schema_id - 1]

    def versions(self, subject: str) -> list[Registered]:
        if not self.subjects.get(subject):
            raise ApiError(404, 40401, f"Subject '{subject}' not found.")
        return self.subjects[subject]

    def version(self, subject: str, version: str) -> tuple[int, Registered]:
        versions = self.versions(subject)
        if version != "latest" and not (version.isdigit() and int(version) > 0):
            raise ApiError(422, 42202, f"The specified version '{version}' is not a valid version id.")
        number = len(versions) if version == "latest" else int(version)
        if number > len(versions):
            raise ApiError(404, 40402, f"Version {number} not found.")
        return number, versions[number - 1]

    def register(self, subject: str, body: Any) -> Registered:
        new = self.parse(body)
        versions = self.subjects.get(subject, [])
        if new in versions:
            return new
        messages = self.incompatibilities(subject, new, versions)
        if messages:
            raise ApiError(409, 409, f"Schema being registered is incompatible with an earlier schema: {messages}")
        if new.id > len(self.schemas):
            self.schemas.append(new)
        self.subjects[subject] = [*versions, new]
        return new

    def parse(self, body: Any) -> Registered:
        if not isinstance(body, dict) or not isinstance(body.get("schema"), str) or not body["schema"]:
            raise ApiError(422, 42201, "Empty schema")
        kind, text, references = body.get("schemaType") or "AVRO", body["schema"], body.get("references") or []
        try:
            if kind == "AVRO":
                avro.schema.parse(text)
                text = json.dumps(json.loads(text), separators=(",", ":"))
            elif kind == "PROTOBUF":
                self.protobuf(text, references)
            else:
                raise ApiError(422, 42201, f"Invalid schema type {kind}")
        except (AvroException, UnusableSchema, ValueError) as error:
            raise ApiError(422, 42201, f"Invalid schema {error}") from None
        known = [s for s in self.schemas if (s.kind, s.text, s.references) == (kind, text, references)]
        return known[0] if known else Registered(len(self.schemas) + 1, kind, text, references)

    def protobuf(self, text: str, references: list[dict[str, Any]]) -> bytes:
        files = {"root.proto": text}
        for reference in references:
            files[reference["name"]] = self.version(reference["subject"], str(reference["version"]))[1].text
        return compile_texts(files, "root.proto")

    def incompatibilities(self, subject: str, new: Registered, versions: list[Registered]) -> list[str]:
        level = self.levels.get(subject, self.level)
        against = versions if level.endswith("_TRANSITIVE") else versions[-1:]
        found: list[str] = []
        for old in against:
            if level.startswith(("BACKWARD", "FULL")):
                found += self._unreadable(new, old)
            if level.startswith(("FORWARD", "FULL")):
                found += self._unreadable(old, new)
        return found

    def _unreadable(self, reader: Registered, writer: Registered) -> list[str]:
        if reader.kind != writer.kind:
            return [f"{reader.kind} and {writer.kind}"]
        if reader.kind == "PROTOBUF":
            files = [
                ProtobufSchema(protobuf_schema(self.protobuf(s.text, s.references)).text) for s in (reader, writer)
            ]
            return [f"{f.field}: {f.message}" for f in compare_protobuf("", *files) if f.breaks]
        checker = ReaderWriterCompatibilityChecker()
        result = checker.get_compatibility(avro.schema.parse(reader.text), avro.schema.parse(writer.text))
        return sorted(result.messages) if result.compatibility is not SchemaCompatibilityType.compatible else []


class RegistryStandIn:
    """Serves on 127.0.0.1; `stop` and `start` keep what is registered and the port.

    Parameters
    ----------
    credentials
        `user:password` that every request has to bring; None: everybody is let in.
    """

    def __init__(self, credentials: str | None = None) -> None:
        self.store = Store()
        self.requests: list[str] = []  # "GET /schemas/ids/1" and so on
        self.credentials = credentials
        self._lock = threading.Lock()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> RegistryStandIn:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, method: str, target: str, body: Any, authorization: str | None) -> tuple[int, Any]:
        with self._lock:
            self.requests.append(f"{method} {urlsplit(target).path}")
            if self.credentials is not None:
                wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
                if authorization != wanted:
                    return 401, {"error_code": 401, "message": "Unauthorized"}
            try:
                return 200, _route(self.store, method, target, body)
            except ApiError as error:
                return error.status, {"error_code": error.code, "message": error.message}


def _route(store: Store, method: str, target: str, body: Any) -> Any:
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    parts = [unquote(part) for part in url.path.strip("/").split("/")]
    match method, parts:
        case "GET", ["schemas", "ids", number]:
            found = store.schema(_number(number)).as_json()
            found.pop("id")
            if query.get("format") == "serialized" and found.get("schemaType") == "PROTOBUF":
                raise ApiError(501, 501, "the stand-in gives texts only")
            return found
        case "GET", ["schemas", "ids", number, "versions"]:
            schema = store.schema(_number(number))
            return [
                {"subject": subject, "version": place + 1}
                for subject, versions in store.subjects.items()
                for place, version in enumerate(versions)
                if version == schema
            ]
        case "GET", ["schemas", "types"]:
            return ["AVRO", "PROTOBUF"]
        case "GET", ["subjects"]:
            return sorted(store.subjects)
        case "GET", ["subjects", subject, "versions"]:
            return list(range(1, len(store.versions(subject)) + 1))
        case "GET", ["subjects", subject, "versions", version, *rest] if rest in ([], ["schema"]):
            number, found = store.version(subject, version)
            if not rest:
                return {"subject": subject, "version": number, **found.as_json()}
            return json.loads(found.text) if found.kind == "AVRO" else found.text
        case "POST", ["subjects", subject, "versions"]:
            return {"id": store.register(subject, body).id}
        case "POST", ["subjects", subject]:
            versions, schema = store.versions(subject), store.parse(body)
            if schema not in versions:
                raise ApiError(404, 40403, "Schema not found")
            return {"subject": subject, "version": versions.index(schema) + 1, **schema.as_json()}
        case "DELETE", ["subjects", subject]:
            deleted = len(store.versions(subject))
            del store.subjects[subject]
            return list(range(1, deleted + 1))
        case "POST", ["compatibility", "subjects", subject, "versions", *version]:
            return _compatibility(store, subject, version, body, query)
        case (("GET" | "PUT"), ["config", *subject]):
            return _config(store, method, subject, body, query)
        case "GET", ["mode", *_]:
            return {"mode": "READWRITE"}
    raise ApiError(404, 404, "HTTP 404 Not Found")


def _compatibility(store: Store, subject: str, version: list[str], body: Any, query: dict[str, str]) -> Any:
    schema = store.parse(body)
    if version and (version != ["latest"] or store.subjects.get(subject)):
        against = [store.version(subject, version[0])[1]]
    else:
        against = store.subjects.get(subject, [])
    messages = store.incompatibilities(subject, schema, against)
    answer: dict[str, Any] = {"is_compatible": not messages}
    return answer | ({"messages": messages} if query.get("verbose", "").lower() == "true" else {})


def _config(store: Store, method: str, subject: list[str], body: Any, query: dict[str, str]) -> Any:
    if method == "PUT":
        level = str(body.get("compatibility")).upper()
        if level not in LEVELS:
            raise ApiError(422, 42203, f"Invalid compatibility level. Valid values are {', '.join(LEVELS).lower()}")
        if subject:
            store.levels[subject[0]] = level
        else:
            store.level = level
        return {"compatibility": level}
    if subject and subject[0] not in store.levels and query.get("defaultToGlobal") != "true":
        raise ApiError(404, 40408, f"Subject '{subject[0]}' does not have subject-level compatibility configured")
    return {"compatibilityLevel": store.levels.get(subject[0], store.level) if subject else store.level}


def _number(text: str) -> int:
    if not text.isdigit():
        raise ApiError(404, 404, "HTTP 404 Not Found")
    return int(text)


def _handler(registry: RegistryStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # HTTP/1.0 on purpose: a connection that were kept alive would outlive `stop`.

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            try:
                body = json.loads(self.rfile.read(length)) if length else None
            except ValueError:
                status, answer = 400, {"error_code": 400, "message": "not JSON"}
            else:
                status, answer = registry.answer(self.command, self.path, body, self.headers.get("Authorization"))
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET: Callable[[], None] = answer  # noqa: N815 - http.server's names
        do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler

"""A Confluent-compatible schema registry, by Confluent's own client.

The job only reads: `find` is its whole part in the hot stages, behind `udfs.schema_lookup` and the cache on disk.
Producers register, and `meridian schema` asks what may be registered.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from jobs.schemas.protoc import compile_texts
from jobs.schemas.settings import RegistrySettings
from udfs.protobuf_schema import protobuf_schema
from udfs.schema_lookup import Unreachable
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

SUBJECT_NOT_FOUND, VERSION_NOT_FOUND, SCHEMA_NOT_FOUND = 40401, 40402, 40403
_ROOT = "schema.proto"  # a schema's own name is not kept by a registry
_TYPES = {SchemaFormat.AVRO: "AVRO", SchemaFormat.PROTOBUF: "PROTOBUF"}


class Refused(Exception):  # noqa: N818
    """The registry's answer is no; one line, with its error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Version(NamedTuple):
    """A version of a subject."""

    number: int
    schema: WriterSchema


class Registry:
    """One registry; a client is made at first use, and anew after it was not let in.

    Every method raises `Unreachable` where there is no answer in time, no answer of a registry, or no entrance.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._client: Any = None

    def find(self, schema_id: int) -> WriterSchema | None:
        """Implement `udfs.schema_lookup.SchemaSource`: one request, and one more for each schema that it refers to."""
        try:
            # Without `format`: some registries answer 501 to what they do not know.
            return self._standalone(self._ask(lambda client: client.get_schema(schema_id)))
        except Refused as error:
            if error.code == SCHEMA_NOT_FOUND:
                return None
            raise Unreachable(str(error)) from None

    def register(self, subject: str, schema: WriterSchema, text: str) -> int:
        """Register a schema under a subject; the same one again gives the same id.

        Parameters
        ----------
        text
            As a person wrote it: Avro JSON, or a `.proto` without imports of its own.

        Raises
        ------
        Refused
            Not compatible with what the subject has (409), or not valid for the registry (422).
        """
        schema_id: int = self._ask(lambda c: c.register_schema(subject, Schema(text, _TYPES[schema.format])))
        return schema_id

    def versions(self, subject: str) -> list[Version]:
        """Give all versions of a subject, oldest first; none for a subject that does not exist.

        Raises
        ------
        UnusableSchema
            One is of no kind that the job reads.
        """
        try:
            numbers = self._ask(lambda client: client.get_versions(subject))
        except Refused as error:
            if error.code == SUBJECT_NOT_FOUND:
                return []
            raise
        return [Version(number, self._standalone(self._version(subject, number))) for number in numbers]

    def is_compatible(self, subject: str, format: SchemaFormat, text: str) -> bool:
        """Ask whether a schema may be registered, by the subject's own rule."""
        schema = Schema(text, _TYPES[format])
        return bool(self._ask(lambda client: client.test_compatibility_all_versions(subject, schema)))

    def compatibility(self, subject: str) -> str:
        """Give the rule that holds for a subject: BACKWARD, FULL_TRANSITIVE, …"""
        try:
            config = self._ask(lambda client: client.get_config(subject))
        except Refused as error:
            if error.code // 100 != 404:
                raise
            config = self._ask(lambda client: client.get_config())
        return str(config.compatibility_level or config.compatibility)

    def _version(self, subject: str, number: int) -> Any:
        return self._ask(lambda client: client.get_version(subject, number)).schema

    def _standalone(self, schema: Any) -> WriterSchema:
        kind = schema.schema_type or "AVRO"
        if kind == "PROTOBUF":
            files = {_ROOT: schema.schema_str}
            self._gather(schema, files)
            return protobuf_schema(compile_texts(files, _ROOT))
        if kind != "AVRO":
            raise UnusableSchema(f"a schema of type {kind} is not read, but AVRO and PROTOBUF")
        if schema.references:
            raise UnusableSchema(f"it refers to {schema.references[0].name}: Avro schemas must stand on their own")
        return WriterSchema(SchemaFormat.AVRO, schema.schema_str)

    def _gather(self, schema: Any, files: dict[str, str]) -> None:
        for reference in schema.references or ():
            if reference.name not in files:
                imported = self._version(reference.subject, reference.version)
                files[reference.name] = imported.schema_str
                self._gather(imported, files)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            if self._client is None:
                self._client = SchemaRegistryClient(client_options(self._settings))
            self._client.clear_caches()  # what is remembered, and for how long, is decided by who asks
            return question(self._client)
        except SchemaRegistryError as error:
            status = error.http_status_code
            # A registry's own code has five digits and begins with the status; a proxy's 404 has none.
            if status in (404, 409, 422) and str(error.error_code).startswith(str(status)):
                raise Refused(f"{error.error_message} ({error.error_code})", error.error_code) from None
            self._client = None  # a new one reads its password again
            raise Unreachable(f"registry {self._shown}: HTTP {status}: {str(error.error_message)[:200]}") from None
        except (Refused, UnusableSchema):
            raise
        except Exception as error:  # of the transport, of TLS, of an answer that is no JSON, of a file of secrets
            self._client = None
            raise Unreachable(f"registry {self._shown}: {type(error).__name__}: {str(error)[:200]}") from None

    @property
    def _shown(self) -> str:
        return ", ".join(self._settings.urls)


def client_options(settings: RegistrySettings) -> dict[str, Any]:
    """Options of the client, which neither retries nor waits longer than the timeout: that is decided elsewhere."""
    options: dict[str, Any] = {
        "url": ",".join(settings.urls),
        "timeout": settings.timeout_ms / 1_000,
        "max.retries": 0,
    }
    if settings.username:
        password = settings.password
        if settings.password_file:
            password = Path(settings.password_file).read_text().rstrip("\r\n")
        options["basic.auth.user.info"] = f"{settings.username}:{password}"
    if settings.ca_file:
        options["ssl.ca.location"] = settings.ca_file
    return options

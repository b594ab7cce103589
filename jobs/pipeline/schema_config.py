"""The deployment file's section `schemas`: writers that are known, and who is asked about others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from jobs.pipeline.durations import DurationMs
from jobs.pipeline.section import Section
from jobs.schemas.files import PACKAGED_SUFFIXES, packaged_bytes, read_schema_file
from jobs.schemas.settings import RegistrySettings
from udfs.rules import LookupRule, SchemaRule
from udfs.writer_schema import WriterSchema

_PACKAGED_READER = "schema-reader.avsc"


class SchemaFile(Section):
    """A writer's schema: `.avsc`, `.proto`, or a compiled `.binpb`; with the registry's id, where it has one."""

    file: Path
    id: int | None = Field(default=None, ge=0, lt=2**31)


class Registry(Section):
    """A Confluent-compatible schema registry; who has several addresses gives them separated by commas."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s@,]+(,https?://[^\s@,]+)*$")]
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = Field(default=None, description="read by each worker, instead of `password`")
    ca_file: Path | None = None
    timeout: Annotated[DurationMs, Field(ge=100, le=30_000)] = 2_000
    cache: Path | None = Field(default=None, description="folder of each worker's machine; else one in its temporary")

    @model_validator(mode="after")
    def _one_password(self) -> Registry:
        given = bool(self.password.get_secret_value()) + (self.password_file is not None)
        if given != bool(self.username):
            raise ValueError("username: with one of password and password_file, or all three left out")
        return self


class Schemas(Section):
    """What is known of Avro and Protobuf writers, and who is asked about others; see docs/schemas.md."""

    files: list[SchemaFile] = []
    reader: Path | None = Field(default=None, description="Avro schema that writers are resolved to: renames, defaults")
    registry: Registry | None = None
    when_unreachable: Literal["wait", "refuse"] = "wait"
    wait_at_most: Annotated[DurationMs, Field(ge=1_000, le=300_000)] = 120_000
    ask_again_after: Annotated[DurationMs, Field(ge=1_000, le=3_600_000)] = 10_000

    @model_validator(mode="after")
    def _ids_once(self) -> Schemas:
        ids = [s.id for s in self.files if s.id is not None]
        if len(set(ids)) < len(ids):
            raise ValueError("files: each id once")
        return self

    def rule(self, base: Path) -> SchemaRule:
        """The part that travels to the workers; files are read relative to `base`."""
        return SchemaRule(
            tuple((entry.id, schema) for entry, schema in self._schemas(base)),
            self._reader_text(base),
            LookupRule(self.when_unreachable, self.wait_at_most, self.ask_again_after),
        )

    def packaged(self, base: Path) -> dict[str, bytes]:
        """What a submitted package holds of them, by the name of a file beside its deployment file."""
        found = {
            _packaged_name(entry, number) + PACKAGED_SUFFIXES[schema.format]: packaged_bytes(schema)
            for number, (entry, schema) in enumerate(self._schemas(base))
        }
        return found | ({_PACKAGED_READER: self._reader_text(base).encode()} if self.reader else {})

    def _schemas(self, base: Path) -> list[tuple[SchemaFile, WriterSchema]]:
        """Read the schema files; a package's own copies come first: a way back must not read what has changed since."""
        found = []
        for number, entry in enumerate(self.files):
            packaged = [base / (_packaged_name(entry, number) + suffix) for suffix in PACKAGED_SUFFIXES.values()]
            path = next((p for p in packaged if p.exists()), base / entry.file)
            found.append((entry, read_schema_file(path)))
        return found

    def _reader_text(self, base: Path) -> str:
        """The schema that writers are resolved to, as JSON; empty for the project's own."""
        if self.reader is None:
            return ""
        packaged = base / _PACKAGED_READER
        return (packaged if packaged.exists() else base / self.reader).read_text()

    def settings(self) -> RegistrySettings | None:
        """How the workers reach the registry; None: there is none."""
        registry = self.registry
        if registry is None:
            return None
        return RegistrySettings(
            urls=tuple(url.rstrip("/") for url in registry.url.split(",")),
            username=registry.username,
            password=registry.password.get_secret_value(),
            password_file=str(registry.password_file or ""),
            ca_file=str(registry.ca_file or ""),
            timeout_ms=registry.timeout,
            cache_folder=str(registry.cache or ""),
        )


def _packaged_name(entry: SchemaFile, number: int) -> str:
    """The name of a schema file in a submitted package, beside the deployment file, without its ending."""
    return f"schema-file-{number}" if entry.id is None else f"schema-{entry.id}"

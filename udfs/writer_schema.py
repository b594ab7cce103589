"""A writer's schema as it travels: from a file or a registry to the stage `decode`."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class SchemaFormat(StrEnum):
    """What a schema is written in."""

    AVRO = "avro"
    PROTOBUF = "protobuf"


class WriterSchema(NamedTuple):
    """A schema that stands on its own: no reference is left to be looked up."""

    format: SchemaFormat
    text: str  # Avro: its JSON. Protobuf: base64 of a FileDescriptorSet, imported files before those that import them


class UnusableSchema(ValueError):  # noqa: N818
    """It is no schema, or the job cannot have it as a writer's; one line, naming the field where there is one."""


class ChangedType(UnusableSchema):
    """A field's type is not one that the reader's can be made of."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"field {field}: {message}")
        self.field = field
        self.message = message

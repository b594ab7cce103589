"""Schema files: `.avsc` (Avro JSON), `.proto`, and `.binpb` or `.desc` (a compiled FileDescriptorSet)."""

from __future__ import annotations

import base64
from pathlib import Path

import orjson

from jobs.schemas.protoc import compile_file
from udfs.protobuf_schema import protobuf_schema
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

PACKAGED_SUFFIXES = {SchemaFormat.AVRO: ".avsc", SchemaFormat.PROTOBUF: ".binpb"}
_COMPILED = (".binpb", ".desc")


def read_schema_file(path: Path) -> WriterSchema:
    """Read a schema file; a `.proto` is compiled, with what it imports from its folder.

    Raises
    ------
    OSError
        It cannot be read.
    UnusableSchema
        Its name ends in something else, it is not JSON, or the compiler refuses it.
    """
    try:
        if path.suffix == ".avsc":
            text = path.read_text()
            orjson.loads(text)
            return WriterSchema(SchemaFormat.AVRO, text)
        if path.suffix in _COMPILED:
            return protobuf_schema(path.read_bytes())
        if path.suffix == ".proto":
            path.open().close()  # the compiler's own word for a file that is not there is long
            return protobuf_schema(compile_file(path))
    except UnicodeDecodeError:
        raise UnusableSchema(f"{path}: not UTF-8 text") from None
    except orjson.JSONDecodeError as error:
        raise UnusableSchema(f"{path}: not JSON: {error}") from None
    except UnusableSchema as error:
        raise UnusableSchema(f"{path}: {error}") from None
    raise UnusableSchema(f"{path}: a schema file ends in .avsc, .proto, .binpb or .desc")


def packaged_bytes(schema: WriterSchema) -> bytes:
    """What a submitted package holds of a schema, in a file of its `PACKAGED_SUFFIXES`: no compiler is needed then."""
    return schema.text.encode() if schema.format is SchemaFormat.AVRO else base64.b64decode(schema.text)

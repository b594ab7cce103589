"""The schemas that the project publishes; they travel inside the package, also when it is a zip."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import orjson


def reading_schema() -> dict[str, Any]:
    """Read the current Avro schema of a reading.

    Returns
    -------
        The schema as plain JSON, a fresh copy at every call.

    Source: `udfs/schemas/reading.avsc`; Avro 1.12 specification, "Schema Declaration".
    """
    schema: dict[str, Any] = orjson.loads(files(__name__).joinpath("reading.avsc").read_bytes())
    return schema


def reading_files() -> bytes:
    """Read the Protobuf schema of a reading.

    Returns
    -------
        A serialised FileDescriptorSet, made of `udfs/schemas/reading.proto` by protoc.
    """
    return files(__name__).joinpath("reading.binpb").read_bytes()

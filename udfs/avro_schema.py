"""What a writer's Avro schema must be before its records are believed; used by `udfs.decode` at start-up."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

_NAMED = ("record", "error", "enum", "fixed")
_LEAST_BYTES = {"null": 0, "float": 4, "double": 8}


class WriterType(NamedTuple):
    """A type of a writer's schema and what its parts make of it."""

    plain: Any  # without logical types, so that times stay epoch numbers and UUIDs text
    least_bytes: int  # no value is shorter
    holds_bytes: bool  # its values can be binary, which JSON cannot write


def read_schema(schema: Any) -> WriterType:
    """Read a writer's schema, and check that no body of bounded size can exhaust a worker that reads it.

    Parameters
    ----------
    schema
        An Avro schema as plain JSON.

    Returns
    -------
        What is known of its records. Bytes written with the schema are read by the plain one.

    Raises
    ------
    ValueError
        The schema is recursive (fastavro reads in C, where a deep body overflows the stack), has an array whose items
        may take no bytes (a count of 2**60 would be believed), or holds a `local-timestamp-…` or a decimal: the one is
        a naive time that would pass as UTC, the other not a number once its type is gone.

    Source: Avro 1.12 specification, "Binary Encoding" and "Logical Types" (a reader may ignore them).
    """
    return _read(schema, "", {}, ())


def _read(schema: Any, namespace: str, known: dict[str, WriterType], open_names: tuple[str, ...]) -> WriterType:
    if isinstance(schema, str):
        for name in (_full_name(schema, namespace), schema):
            if name in open_names:
                raise ValueError(f"type {name} is recursive")
            if name in known:
                return known[name]._replace(plain=schema)
        return WriterType(schema, _LEAST_BYTES.get(schema, 1), schema == "bytes")
    if isinstance(schema, list):
        branches = [_read(branch, namespace, known, open_names) for branch in schema]
        return WriterType([b.plain for b in branches], 1, any(b.holds_bytes for b in branches))
    logical = str(schema.get("logicalType", ""))
    if logical.startswith("local-timestamp") or logical == "decimal":
        raise ValueError(f"logical type {logical} is not supported")
    plain = {name: value for name, value in schema.items() if name != "logicalType"}
    kind = schema["type"]
    if kind not in _NAMED:
        part = "items" if kind == "array" else "values" if kind == "map" else "type"
        inner = _read(schema[part], namespace, known, open_names)
        if kind == "array" and inner.least_bytes == 0:
            raise ValueError("an array has items that may take no bytes")
        least_bytes = inner.least_bytes if part == "type" else 1
        return WriterType({**plain, part: inner.plain}, least_bytes, inner.holds_bytes)
    name = _full_name(schema["name"], schema.get("namespace", namespace))
    if kind == "fixed":
        known[name] = WriterType(plain, int(schema["size"]), True)
    elif kind == "enum":
        known[name] = WriterType(plain, 1, False)
    else:
        inner_namespace = name.rpartition(".")[0]
        types = [_read(f["type"], inner_namespace, known, (*open_names, name)) for f in schema["fields"]]
        plain["fields"] = [{**f, "type": t.plain} for f, t in zip(schema["fields"], types, strict=True)]
        known[name] = WriterType(plain, sum(t.least_bytes for t in types), any(t.holds_bytes for t in types))
    return known[name]


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def to_json_value(value: Any) -> Any:
    """Copy a decoded Avro value with its binary parts as base64 text.

    Parameters
    ----------
    value
        What fastavro gave: dicts, lists, numbers, text, bytes.

    Returns
    -------
        The copy, without bytes.

    Source: RFC 4648 §4 (base64).
    """
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return {key: to_json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json_value(item) for item in value]
    return value

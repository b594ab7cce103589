"""What a writer's Avro schema must be before its records are believed; used by `udfs.decode` at start-up."""

from __future__ import annotations

import base64
from typing import Any

_NAMED = ("record", "error", "enum", "fixed")


def refuse_unsafe(schema: Any) -> None:
    """Check that no body of bounded size can exhaust a worker that reads it with this schema.

    Parameters
    ----------
    schema
        An Avro schema as plain JSON.

    Raises
    ------
    ValueError
        The schema is recursive (fastavro reads in C, where a deep body overflows the stack), has an array whose items
        may take no bytes (a count of 2**60 would be believed), or holds a `local-timestamp-…` or a decimal: the one is
        a naive time that would pass as UTC, the other not a number once its type is gone.

    Source: Avro 1.12 specification, "Binary Encoding" and "Logical Types".
    """
    _least_bytes(schema, "", {}, ())


def _least_bytes(schema: Any, namespace: str, known: dict[str, int], open_names: tuple[str, ...]) -> int:
    if isinstance(schema, str):
        if schema == "null":
            return 0
        for name in (_full_name(schema, namespace), schema):
            if name in open_names:
                raise ValueError(f"type {name} is recursive")
            if name in known:
                return known[name]
        return {"float": 4, "double": 8}.get(schema, 1)
    if isinstance(schema, list):
        for branch in schema:
            _least_bytes(branch, namespace, known, open_names)
        return 1
    logical = str(schema.get("logicalType", ""))
    if logical.startswith("local-timestamp") or logical == "decimal":
        raise ValueError(f"logical type {logical} is not supported")
    kind = schema["type"]
    if kind == "array":
        if _least_bytes(schema["items"], namespace, known, open_names) == 0:
            raise ValueError("an array has items that may take no bytes")
        return 1
    if kind == "map":
        _least_bytes(schema["values"], namespace, known, open_names)
        return 1
    if kind not in _NAMED:
        return _least_bytes(kind, namespace, known, open_names)
    name = _full_name(schema["name"], schema.get("namespace", namespace))
    inner = name.rpartition(".")[0]
    if kind == "fixed":
        known[name] = int(schema["size"])
    elif kind == "enum":
        known[name] = 1
    else:
        known[name] = sum(_least_bytes(f["type"], inner, known, (*open_names, name)) for f in schema["fields"])
    return known[name]


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def plain_types(schema: Any) -> Any:
    """Copy a schema without its logical types, so that times stay epoch numbers and UUIDs text.

    Parameters
    ----------
    schema
        An Avro schema as plain JSON.

    Returns
    -------
        The copy; bytes written with the one are read by the other.

    Source: Avro 1.12 specification, "Logical Types" (a reader may ignore them).
    """
    if isinstance(schema, list):
        return [plain_types(branch) for branch in schema]
    if isinstance(schema, dict):
        return {
            key: value if key == "default" else plain_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    return schema


def holds_bytes(schema: Any) -> bool:
    """Tell whether records of this schema can hold binary values, which JSON cannot write.

    Parameters
    ----------
    schema
        An Avro schema as plain JSON.

    Returns
    -------
        True when a type `bytes` or `fixed` occurs in it.
    """
    if isinstance(schema, list):
        return any(map(holds_bytes, schema))
    if isinstance(schema, dict):
        return any(holds_bytes(schema[key]) for key in ("type", "items", "values", "fields") if key in schema)
    return schema in ("bytes", "fixed")


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

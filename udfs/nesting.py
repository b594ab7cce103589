"""How deep a decoded value is nested; part of the stage `decode`."""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 32  # orjson reads 1,024 levels but writes only 254: what it could not write back must not come in


def depth_of(value: Any) -> int:
    """Count the levels of dicts and lists in a dict or list, its own among them."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return deepest

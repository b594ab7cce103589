"""Sizes as people write them in a bridge file: `512 kB`, `64 MB`, `1 GB`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_SIZE: Final = re.compile(r"(\d+)\s*(kB|MB|GB)")
_SIZE_UNITS: Final = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def parse_size(value: Any) -> int:
    """Bytes of a text such as `64 MB`; a bare number is refused because its unit would be a guess."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a size is a whole number and a unit: '512 kB', '64 MB' or '1 GB'")
    return int(match[1]) * _SIZE_UNITS[match[2]]


Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes, written as `64 MB` or `1 GB` (powers of 1,024)."""

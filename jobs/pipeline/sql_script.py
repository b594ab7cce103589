"""SQL files as the stock client reads them: statements ended by `;`, with comments, quotes and statement sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# In this order: what is quoted may hold anything, and a comment may hold quotes.
_TOKEN = re.compile(r"'(?:[^']|'')*'|`[^`]*`|--[^\n]*|/\*(?!\+).*?\*/|;|[A-Za-z_]+|.", re.DOTALL)
_STATEMENT_SET = re.compile(r"EXECUTE\s+STATEMENT\s+SET\s+BEGIN\b(.*)\bEND\s*\Z", re.IGNORECASE | re.DOTALL)
_SETTING = re.compile(r"SET\s+'([^']+)'\s*=\s*'((?:[^']|'')*)'\s*\Z", re.IGNORECASE)


class Statement(NamedTuple):
    """One statement without its comments and its semicolon, and where it begins."""

    text: str
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def setting(self) -> tuple[str, str] | None:
        """Key and value of a `SET 'key' = 'value'`; a table environment does not execute it."""
        match = _SETTING.match(self.text)
        return (match[1], match[2].replace("''", "'")) if match else None

    @property
    def is_query(self) -> bool:
        return self.text.lstrip("(").split(None, 1)[0].upper() in {"SELECT", "WITH", "VALUES", "TABLE"}

    @property
    def inserts(self) -> list[str]:
        """The statements of a statement set; none for any other statement."""
        match = _STATEMENT_SET.match(self.text)
        return [s.text for s in split_statements(match[1])] if match else []


def read_script(path: Path) -> list[Statement]:
    return list(split_statements(path.read_text(encoding="utf-8"), path.name))


def split_statements(text: str, file: str = "<input>") -> Iterator[Statement]:
    """Split a script; a statement set (`EXECUTE STATEMENT SET BEGIN … END`) is one statement, as in the client."""
    kept: list[str] = []
    words: list[str] = []
    line, first_line = 1, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        is_comment = token.startswith(("--", "/*")) and not token.startswith("/*+")
        if token == ";" and not _is_inside_set(words):
            if statement := "".join(kept).strip():
                yield Statement(statement, file, first_line)
            kept, words, first_line = [], [], 0
        elif is_comment:
            kept.append("\n" * token.count("\n") or " ")
        else:
            if token.strip():
                first_line = first_line or line
                words.append(token.upper())
            kept.append(token)
        line += token.count("\n")
    if statement := "".join(kept).strip():
        yield Statement(statement, file, first_line)


def _is_inside_set(words: list[str]) -> bool:
    return words[:4] == ["EXECUTE", "STATEMENT", "SET", "BEGIN"] and words[-1] != "END"

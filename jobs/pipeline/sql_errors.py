"""What a person wants to read of a Java stack trace."""

from __future__ import annotations

import re

_CAUSE = re.compile(r"^(?:Caused by: |: )?(?:[\w$]+\.)+[A-Z]\w*(?:Exception|Error): (.+)$", re.MULTILINE)
_POSITION = re.compile(r"^(?:SQL validation failed\. |SQL parse failed\. )*(?:From line .+?: )?")


def telling_line(trace: str) -> str:
    """The innermost cause of a Java stack trace, without class names and the positions of the outer ones."""
    causes = _CAUSE.findall(trace)
    line = causes[-1] if causes else next((line for line in trace.splitlines() if line.strip()), "no message")
    return " ".join(_POSITION.sub("", line, count=1).split())[:400]

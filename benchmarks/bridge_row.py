"""What one run of a bridge or of the client beside it is told as."""

from __future__ import annotations

from typing import Any


def bridge_row(
    work: str, variant: str, messages: int, seconds: float, cpu_s: float, peak_rss_mb: float, problems: str
) -> dict[str, Any]:
    """Figures of a run; it is correct when there are no problems."""
    return {
        "work": work,
        "variant": variant,
        "messages": messages,
        "messages_per_s": round(messages / seconds),
        "cpu_s_per_million": round(cpu_s / messages * 1e6, 1),
        "peak_rss_mb": round(peak_rss_mb),
        "problems": problems,
        "correct": not problems,
    }

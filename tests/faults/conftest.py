"""Fault tests run on demand, `pytest tests/faults`, on a stack of their own."""

from __future__ import annotations

from tests.integration.conftest import stack

__all__ = ["stack"]

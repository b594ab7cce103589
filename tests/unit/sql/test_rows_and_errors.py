"""Rows as JSON, and stack traces as one line."""

from __future__ import annotations

import datetime as dt
import decimal

import pytest

from jobs.pipeline.sql_errors import telling_line
from jobs.pipeline.sql_rows import json_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, True),
        (None, None),
        ("ü", "ü"),
        (float("nan"), None),
        (float("inf"), None),
        (decimal.Decimal("3.00"), 3),
        (decimal.Decimal("3.25"), 3.25),
        (dt.datetime(2024, 3, 31, 1, 30), "2024-03-31T01:30:00.000Z"),
        (dt.date(2024, 3, 31), "2024-03-31"),
        (b"\x00\xff", "AP8="),
        ([1, None], [1, None]),
        ({"a": 1.5}, {"a": 1.5}),
    ],
)
def test_values_become_json(value: object, expected: object) -> None:
    assert json_value(value) == expected


def test_the_innermost_cause_is_told_without_classes_and_positions() -> None:
    trace = """An error occurred while calling o8.executeSql.
: org.apache.flink.table.api.ValidationException: SQL validation failed. From line 1, column 8: Column 'x' not found
\tat org.apache.flink.table.planner.calcite.FlinkPlannerImpl.validate(FlinkPlannerImpl.scala:187)
Caused by: org.apache.calcite.runtime.CalciteContextException: From line 1, column 8 to line 1, column 8: Column 'x'
\t... 15 more
Caused by: org.apache.calcite.sql.validate.SqlValidatorException: Column 'x' not found in any table
\t... 37 more"""
    assert telling_line(trace) == "Column 'x' not found in any table"


def test_a_parse_error_is_told_in_one_line() -> None:
    trace = ': org.apache.flink.SqlParserException: SQL parse failed. Encountered "FRM" at line 1, column 10.'
    assert telling_line(trace) == 'Encountered "FRM" at line 1, column 10.'


def test_without_a_trace_the_first_line_is_told() -> None:
    assert telling_line("\nsomething odd\nmore") == "something odd"

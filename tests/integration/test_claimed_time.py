"""The event time that the JVM reads for the watermark is the one that Python reads for the reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment

from jobs.pipeline.raw_table import APPEND_MS, claimed_ms
from udfs.event_time import normalise_event_time

READABLE: list[Any] = [
    1_563_000_000,
    1_563_000_000.25,
    1.563e9,
    1_563_000_000_123,
    1_563_000_000_123_456,
    1_563_000_000_123_456_789,
    "1563000000123",
    "2019-07-13T06:40:00Z",
    "2019-07-13T06:40:00.123Z",
    "2019-07-13T08:40:00+02:00",
    "2019-07-13T00:10:00.5-0630",
    "2019-07-13 06:40:00+00:00",
]
LATEST_MS = 1_700_000_000_000
MOVES_NOTHING: list[Any] = [
    "2019-07-13T06:40:00",
    "2019-13-45T00:00:00Z",
    "2019-02-30T00:00:00Z",
    "yesterday",
    "",
    None,
    [1],
    1,
]


@pytest.fixture(scope="module")
def claimed() -> Any:
    """Evaluate the expressions of the raw table in the JVM, one row per (value, header)."""
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    tables.get_config().set_local_timezone("UTC")
    row = DataTypes.ROW(
        [
            DataTypes.FIELD("value", DataTypes.BYTES()),
            DataTypes.FIELD("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES())),
            DataTypes.FIELD("append_time", DataTypes.TIMESTAMP_LTZ(3)),
        ]
    )

    def evaluate(values: list[bytes | None], header: bytes | None = None) -> list[tuple[int | None, int]]:
        headers = {} if header is None else {"event_timestamp": bytearray(header)}
        append_time = datetime(2026, 1, 2, 3, 4, 5, 678_000)
        rows = [(None if value is None else bytearray(value), headers, append_time) for value in values]
        table = tables.from_elements(rows, row)
        result = tables.sql_query(f"SELECT {claimed_ms(str(LATEST_MS))}, {APPEND_MS} FROM {table}").execute()
        with result.collect() as collected:
            return [(r[0], r[1]) for r in collected]

    return evaluate


def _value(event_time: Any) -> bytes:
    return orjson.dumps({"event_time": event_time})


def test_a_value_without_a_header_claims_the_time_that_python_reads(claimed: Any) -> None:
    got = [ms for ms, _ in claimed([_value(t) for t in READABLE])]
    expected = [normalise_event_time(t, None) // 1_000_000 for t in READABLE]
    # Numbers are exact to the millisecond; of a text the JVM reads whole seconds, which only makes the watermark later.
    exact = [
        ms if not isinstance(t, str) or t.isdigit() else ms // 1000 * 1000
        for t, ms in zip(READABLE, expected, strict=True)
    ]
    assert got == exact


def test_what_has_no_readable_time_claims_none(claimed: Any) -> None:
    broken = [_value(t) for t in MOVES_NOTHING] + [b"{", b"\xff\xfe", b"[]", b"{}", None]
    assert [ms for ms, _ in claimed(broken)] == [None] * len(broken)


def test_a_header_that_agrees_with_its_value_or_stands_alone_is_believed(claimed: Any) -> None:
    at = 1_563_000_000_123
    same = [
        at,
        at / 1000,
        at * 1_000,
        at * 1_000_000,
        str(at),
        "2019-07-13T06:40:00.123Z",
        "2019-07-13T08:40:00.123+02:00",
    ]
    alone = [_value("2019-07-13T08:40:00.123"), b"{}", b"\x00\x00\x00\x00\x01Avro", b"{", None]
    believed = [ms for ms, _ in claimed([_value(t) for t in same] + alone, header=str(at).encode())]
    assert believed == [at] * len(believed)


def test_a_header_that_contradicts_its_value_or_is_no_number_claims_nothing(claimed: Any) -> None:
    values = [_value(t) for t in (1_563_000_000, 1_563_000_000_999, "2019-07-13T06:40:00Z", "yesterday")]
    values += [orjson.dumps({"sent_at": 1_563_000_900_123, "event_time": 1_563_000_000_123})]
    values += [_value("2019-07-13T06:55:00.123+01:00")]  # the header's wall time in another zone
    assert [ms for ms, _ in claimed(values, header=b"1563000900123")] == [None] * len(values)
    assert [ms for ms, _ in claimed([_value("2019-07-13T06:40:00Z")], header=b"soon")] == [None]


def test_a_time_after_the_latest_claims_nothing_whether_from_header_or_value(claimed: Any) -> None:
    edge = [LATEST_MS, LATEST_MS + 1]
    assert [ms for ms, _ in claimed([_value(t) for t in edge])] == [LATEST_MS, None]
    assert [claimed([_value(t)], header=str(t).encode())[0][0] for t in edge] == [LATEST_MS, None]


def test_the_append_time_is_exact_to_the_millisecond(claimed: Any) -> None:
    expected = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert claimed([b"{}"])[0][1] == (expected - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

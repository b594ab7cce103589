"""Frames: what goes in comes out, and a part of a frame is a frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.shards import reading
from udfs.frame import Row, decode_frame, encode_frame, encode_part

SENSORS = ["a", "b", "c"]
ROWS = st.lists(st.tuples(st.sampled_from(SENSORS), st.integers(0, 10**12)), min_size=1, max_size=20)


def same(one: Row, other: Row) -> bool:
    """Stations are equal by identity, which an encoding ends; the sensor tells those of these tests apart."""
    return one.station.sensor_id == other.station.sensor_id and one[1:] == other[1:]


@given(ROWS, st.data())
def test_a_part_holds_its_rows_in_order_without_the_starts_of_aligned_records(
    given: list[tuple[str, int]], data: st.DataObject
) -> None:
    stations = {sensor: reading(0, sensor=sensor).station for sensor in SENSORS}
    whole = [reading(time_ms, sensor=sensor)._replace(station=stations[sensor]) for sensor, time_ms in given]
    chosen = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1))
    readings, _ = decode_frame(encode_frame(whole))
    part, _ = decode_frame(encode_part(readings, chosen))
    expected = [whole[index]._replace(aligned=b"") for index in chosen]
    assert all(map(same, [part.row(index) for index in range(len(part))], expected))
    assert len(part) == len(expected)
    assert {s.sensor_id for s in part.stations} == {row.station.sensor_id for row in expected}

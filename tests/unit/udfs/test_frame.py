"""Frames: what goes in comes out, and a part of a frame is a frame."""

from __future__ import annotations

import msgspec
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shards import reading
from udfs.frame import Frame, Letter, Row, Station, decode_frame, encode_frame, encode_part, pack

SENSORS = ["a", "b", "c"]
FRACTIONS = st.sampled_from([1.0, 1.0, 0.25])
ROWS = st.lists(st.tuples(st.sampled_from(SENSORS), st.integers(0, 10**12), FRACTIONS), min_size=1, max_size=20)


def same(one: Row, other: Row) -> bool:
    """Stations are equal by identity, which an encoding ends; the sensor tells those of these tests apart."""
    return one.station.sensor_id == other.station.sensor_id and one[1:] == other[1:]


@given(ROWS, st.data())
def test_a_part_holds_its_rows_in_order_without_the_starts_of_aligned_records(
    given: list[tuple[str, int, float]], data: st.DataObject
) -> None:
    stations = {sensor: reading(0, sensor=sensor).station for sensor in SENSORS}
    whole = [
        reading(time_ms, sensor=sensor, fraction=fraction)._replace(station=stations[sensor])
        for sensor, time_ms, fraction in given
    ]
    chosen = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1))
    readings, _ = decode_frame(encode_frame(whole))
    part, _ = decode_frame(encode_part(readings, chosen))
    expected = [whole[index]._replace(aligned=b"") for index in chosen]
    assert all(map(same, [part.row(index) for index in range(len(part))], expected))
    assert len(part) == len(expected)
    assert {s.sensor_id for s in part.stations} == {row.station.sensor_id for row in expected}


class FrameWithoutFractions(msgspec.Struct, array_like=True):
    """What a job that knew no sampling wrote: the fields of `Frame` but the last one."""

    version: int
    stations: list[Station]
    station: bytes
    event_id: list[str]
    event_time_ms: bytes
    value: bytes
    id_digest: bytes
    content_digest: bytes
    partition: bytes
    offset: bytes
    append_time_ms: bytes
    raw: list[bytes]
    aligned: list[bytes]
    invalid: list[Letter]


def test_a_frame_of_a_job_that_knew_no_sampling_is_one_without_sampled_readings() -> None:
    packed = encode_frame([reading(7)])
    unpacked = pa.Codec("lz4_raw").decompress(packed[4:], int.from_bytes(packed[:4], "little"), asbytes=True)
    new = msgspec.msgpack.decode(unpacked, type=Frame)
    old = FrameWithoutFractions(*msgspec.structs.astuple(new)[: len(FrameWithoutFractions.__struct_fields__)])
    assert decode_frame(pack(old))[0].row(0)[1:] == reading(7)[1:]  # type: ignore[arg-type]

"""The closed list of reasons why a reading does not reach the aligned topic, and the stage that gives each.

A reason is a metric name and a DLQ field at once: add it here or nowhere.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Stages of the job, in order; the word is also the operator name, the metric prefix and the test name."""

    DECODE = "decode"
    VALIDATE = "validate"
    NORMALISE_TIME = "normalise_time"
    TRANSFORM_CRS = "transform_crs"
    ASSIGN_CELL = "assign_cell"
    DEDUPLICATE = "deduplicate"
    WINDOW = "window"


class Reason(StrEnum):
    """Why a reading was refused (all but LATE) or missed its windows (LATE)."""

    # decode
    TOMBSTONE = "tombstone"
    BODY_TOO_LARGE = "body_too_large"
    BROKEN_HEADER = "broken_header"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    MALFORMED_AVRO = "malformed_avro"
    MALFORMED_PROTOBUF = "malformed_protobuf"
    UNKNOWN_SCHEMA = "unknown_schema"
    UNUSABLE_SCHEMA = "unusable_schema"  # a registry has it, but a field's type has changed, or it could do harm
    SCHEMA_UNREACHABLE = "schema_unreachable"  # not known here, and the registry does not answer
    UNEXPECTED_ERROR = "unexpected_error"  # a defect of ours met by this reading; it must not stop the others
    # validate
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    EMPTY_SENSOR_ID = "empty_sensor_id"
    UNKNOWN_METRIC = "unknown_metric"
    VALUE_NOT_FINITE = "value_not_finite"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    UNKNOWN_UNIT = "unknown_unit"
    INCOMPATIBLE_UNIT = "incompatible_unit"
    HEADER_MISMATCH = "header_mismatch"
    UNEXPECTED_SAMPLING = "unexpected_sampling"  # a fraction below 1 in a stream that is not said to be sampled
    # normalise time
    UNREADABLE_TIME = "unreadable_time"
    NAIVE_TIME = "naive_time"
    BEFORE_FLOOR = "before_floor"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    # transform CRS
    UNKNOWN_CRS = "unknown_crs"
    POSITION_NOT_FINITE = "position_not_finite"
    POSITION_OUT_OF_RANGE = "position_out_of_range"
    NULL_ISLAND = "null_island"
    OUTSIDE_AREA_OF_USE = "outside_area_of_use"
    AXIS_ORDER_SWAPPED = "axis_order_swapped"
    OUTSIDE_REGION = "outside_region"
    TRANSFORM_FAILED = "transform_failed"
    BALLPARK_TRANSFORM = "ballpark_transform"
    # deduplicate
    ID_CONFLICT = "id_conflict"
    # window
    LATE = "late"

    @property
    def stage(self) -> Stage:
        return _STAGE_OF[self]

    @property
    def is_final(self) -> bool:
        """Whether the same bytes, sent again, can never fare better: what refused them is not in the job's rules."""
        return self in (Reason.TOMBSTONE, Reason.ID_CONFLICT, Reason.LATE)


_FIRST_REASON_OF_STAGE = {
    Reason.TOMBSTONE: Stage.DECODE,
    Reason.MISSING_FIELD: Stage.VALIDATE,
    Reason.UNREADABLE_TIME: Stage.NORMALISE_TIME,
    Reason.UNKNOWN_CRS: Stage.TRANSFORM_CRS,
    Reason.ID_CONFLICT: Stage.DEDUPLICATE,
    Reason.LATE: Stage.WINDOW,
}


def _stages() -> dict[Reason, Stage]:
    stages: dict[Reason, Stage] = {}
    stage = Stage.DECODE
    for reason in Reason:
        stage = _FIRST_REASON_OF_STAGE.get(reason, stage)
        stages[reason] = stage
    return stages


_STAGE_OF = _stages()


class Rejected(Exception):  # noqa: N818 - not an error of the program but the fate of a reading
    """A reading refused by a stage; it becomes one record in the invalid DLQ."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message

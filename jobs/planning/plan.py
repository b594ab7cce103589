"""All parts of a plan, in the order in which they need one another."""

from __future__ import annotations

from jobs.pipeline.durations import format_duration
from jobs.planning.capacity import plan_parallelism, plan_recovery, plan_resources
from jobs.planning.checkpoints import plan_checkpoints
from jobs.planning.inputs import Inputs
from jobs.planning.producers import plan_producers
from jobs.planning.sheet import Sheet
from jobs.planning.state import size_state
from jobs.planning.times import plan_out_of_orderness, plan_windows


def make_plan(inputs: Inputs) -> Sheet:
    sheet = Sheet()
    plan_parallelism(inputs, sheet)
    plan_windows(inputs, sheet)
    out_of_orderness_ms = plan_out_of_orderness(inputs, sheet)
    plan_checkpoints(inputs, size_state(inputs, out_of_orderness_ms, sheet), sheet)
    plan_recovery(inputs, sheet)
    plan_resources(inputs, sheet)
    plan_producers(inputs, sheet)
    visible_ms = sheet["checkpoint_interval"] + sheet["full_checkpoint"]
    if inputs.visible_within is not None and visible_ms > inputs.visible_within:
        sheet.note(
            f"exactly-once results are visible after up to {format_duration(round(visible_ms))}, not within "
            f"{format_duration(inputs.visible_within)}: less state, faster storage, or delivery at-least-once"
        )
    return sheet

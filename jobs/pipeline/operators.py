"""Operator names and uids: the contract between a savepoint and the next version of the job.

A uid never changes once released: state and source offsets are found by it. The Table connectors' own uids come from
the query and move when it does, so every transformation gets its uid here, after the plan was made.
"""

from __future__ import annotations

from typing import Any

SOURCE = "raw"
ALIGN = "align"
DEDUPLICATE = "deduplicate"
WINDOW_BY_PLACE = "window-by-place"
STATE_VERSION = 4  # of all keyed state as this code writes it
READS_STATE_FROM = 4  # the oldest version that it still reads; raising it is STATE-BREAKING


def name_branch(transformation: Any) -> None:
    """Give a Java transformation a uid, and what feeds it, up to what has a uid already.

    The source and the align stage are found by what they are; the planner's projections and conversions between them
    hold no state and are numbered from the stage that they feed (`deduplicate-1`, …).
    """
    name = transformation.getUid() or _own_name(transformation)
    _name(transformation, name)
    depth = 0
    upstream = list(transformation.getInputs())
    while upstream:
        inputs: list[Any] = []
        for feeding in upstream:
            if feeding.getUid() is not None:
                continue
            inputs.extend(feeding.getInputs())
            if _is_edge(feeding):
                continue
            depth += 1
            _name(feeding, _own_name(feeding) if _is_stage(feeding) else f"{name}-{depth}")
        upstream = inputs


def stateful_uids(transformations: Any) -> list[str]:
    """The uids a savepoint holds state for: the source, the keyed operators and the sinks."""
    return [DEDUPLICATE, SOURCE, WINDOW_BY_PLACE] + [
        str(t.getUid()) for t in transformations if "Sink" in _class_name(t)
    ]


def _name(transformation: Any, uid: str) -> None:
    transformation.setUid(uid)
    transformation.setName(uid)


def _own_name(transformation: Any) -> str:
    """The stage's name; the planner calls a table's operator `table[number]`, and the number moves with the query."""
    if _class_name(transformation) == "SourceTransformation":
        return SOURCE
    name = str(transformation.getName()).partition("[")[0]
    return ALIGN if name == "PythonCalc" else name.strip("_").replace("_", "-")


def _is_stage(transformation: Any) -> bool:
    return _own_name(transformation) in {SOURCE, ALIGN}


def _is_edge(transformation: Any) -> bool:
    """Partitioning and union have no operator, so no uid."""
    return _class_name(transformation) in {"PartitionTransformation", "UnionTransformation"}


def _class_name(transformation: Any) -> str:
    return str(transformation.getClass().getSimpleName())

"""Operator names and uids: the contract between a savepoint and the next version of the job.

A uid never changes once released: state and source offsets are found by it. The Table connectors' own uids come from
the query and move when it does, so every transformation gets its uid here, after the plan was made.
"""

from __future__ import annotations

from typing import Any

SOURCE = "raw"
DEDUPLICATE = "deduplicate"
WINDOW_BY_PLACE = "window-by-place"
STATE_VERSION = 1  # of all keyed state; raise it when older state can no longer be read (STATE-BREAKING)


def name_branch(transformation: Any) -> None:
    """Give a Java transformation a uid, and what feeds it `<uid>-1`, `<uid>-2` … up to what has a uid already.

    The planner calls a table's operator `table[number]`; the number counts the plan's nodes, so it is left out.
    """
    name = transformation.getUid() or str(transformation.getName()).partition("[")[0]
    _name(transformation, name)
    depth = 0
    upstream = list(transformation.getInputs())
    while upstream:
        inputs: list[Any] = []
        for feeding in upstream:
            if feeding.getUid() is not None:
                continue
            inputs.extend(feeding.getInputs())
            if _is_operator(feeding):
                depth += 1
                _name(feeding, SOURCE if _is_source(feeding) else f"{name}-{depth}")
        upstream = inputs


def stateful_uids(transformations: Any) -> list[str]:
    """The uids a savepoint holds state for: the source, the keyed operators and the sinks."""
    return [DEDUPLICATE, SOURCE, WINDOW_BY_PLACE] + [
        str(t.getUid()) for t in transformations if "Sink" in _class_name(t)
    ]


def _name(transformation: Any, uid: str) -> None:
    transformation.setUid(uid)
    if _is_source(transformation) or "Sink" in _class_name(transformation):
        transformation.setName(uid)


def _class_name(transformation: Any) -> str:
    return str(transformation.getClass().getSimpleName())


def _is_source(transformation: Any) -> bool:
    return _class_name(transformation) == "SourceTransformation"


def _is_operator(transformation: Any) -> bool:
    """Partitioning and union are edges: they have no operator, so no uid."""
    return _class_name(transformation) not in {"PartitionTransformation", "UnionTransformation"}

"""The accounts of a grid job close: aligned = gridded + merged + late + outside, and each late reading has a letter."""

from __future__ import annotations

from jobs.audit.grid import account


def tally(source: str = "s", **counts: int) -> dict[str, object]:
    return {"grid": "g", "source": source, "topic": f"{source}.aligned", "counts": counts}


LETTER = {"definition": "g", "topic": "s.aligned"}


def test_a_closed_account_has_no_problem() -> None:
    tallies = [tally(gridded=5, late=1), tally(no_metric=2), tally(gridded=-1, merged=2)]
    (found,) = account(["g"], {"s": 9}, tallies, [LETTER])
    assert (found.problems, found.outside, found.counts["merged"]) == ([], 2, 2)


def test_a_lost_a_doubled_and_an_unread_topic_show() -> None:
    for aligned in (5, 7):
        (found,) = account(["g"], {"s": aligned}, [tally(gridded=6)], [])
        assert found.problems == [f"{aligned} aligned readings, 6 accounted for"]
    lost, unread = account(["g"], {"s": 1, "other": 3}, [tally(late=1)], [])
    assert lost.problems == ["1 late readings, 0 dead letters"]
    assert unread.problems == ["3 aligned readings, 0 accounted for"]


def test_a_class_that_is_not_one_shows() -> None:
    (found,) = account(["g"], {"s": 1}, [tally(gridded=-1, merged=2)], [])
    assert found.problems

"""The audit of bridges' accounts: every number in one place, and what that says of one that is in none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.audit.bridges import BridgeIntake, BridgeReport, audit_bridges
from jobs.audit.problems import Problems
from jobs.audit.records import decode_accounting
from jobs.bridge.envelope import Message
from jobs.bridge.shedding.account import SEQUENCE_HEADER, Account
from jobs.bridge.shedding.policy import Shed, ShedReason

SHED = Shed("rivers", ShedReason.SAMPLED_OUT)


class Kept:
    """What is in the topics of a bridge's runs."""

    def __init__(self) -> None:
        self.headers: list[bytes] = []
        self.cold: list[bytes] = []
        self.reports: list[bytes] = []

    def run(self, steps: str, is_last: bool = True) -> None:
        """`r`: a reading goes on, `c`: to the cold store, `s`: one is shed, `|`: a report."""
        account = Account("b", 0)
        for step in steps:
            if step == "r":
                self.headers.append(account.admit()[1])
            elif step == "c":
                self.cold.append(account.admit()[1])
                account.diverted(Message(b"", b"", {SEQUENCE_HEADER: self.cold[-1]}))
            elif step == "s":
                account.shed(SHED)
            else:
                self.reports.append(account.report(0).value)
        if is_last:
            self.reports.append(account.report(0, is_last=True).value)

    def judge(self, is_whole: bool = True) -> tuple[BridgeReport, list[str]]:
        intake, problems = BridgeIntake(), Problems()
        for header in self.headers:
            intake.add_raw(header)
        for report in self.reports:
            intake.add_report(decode_accounting(report))
        [found] = audit_bridges(intake, is_whole, problems)
        return found, problems.lines


def figures(found: BridgeReport) -> tuple[int, ...]:

    return found.received, found.raw, found.shed, found.unconfirmed, found.lost, found.wrong


steps = st.text(alphabet="rs|", max_size=40)


@given(st.lists(steps, min_size=1, max_size=3), st.data())
def test_received_is_raw_and_shed_whatever_came_twice_and_in_whatever_order(
    runs: list[str], data: st.DataObject
) -> None:
    kept = Kept()
    for of_run in runs:
        kept.run(of_run)
    for found in (kept.headers, kept.reports):
        found += data.draw(st.lists(st.sampled_from(found), max_size=5)) if found else []
        found[:] = data.draw(st.permutations(found))
    raw, shed = ("".join(runs).count(step) for step in "rs")
    report, problems = kept.judge()
    assert figures(report) == (raw + shed, raw, shed, 0, 0, 0)
    assert problems == []
    assert report.shed_by_reason == ({"rivers/sampled_out": shed} if shed else {})


@given(st.text(alphabet="rcs|", max_size=40), st.data())
def test_what_is_in_the_cold_store_is_counted_there_until_it_has_been_sent_again(
    steps: str, data: st.DataObject
) -> None:
    kept = Kept()
    kept.run(steps)
    sent_again = data.draw(st.lists(st.sampled_from(kept.cold), unique=True)) if kept.cold else []
    kept.headers += sent_again
    raw, shed = steps.count("r") + len(sent_again), steps.count("s")
    report, problems = kept.judge()
    assert figures(report) == (raw + shed + report.cold, raw, shed, 0, 0, 0)
    assert report.cold == steps.count("c") - len(sent_again)
    assert problems == []


def test_a_reading_that_is_lost_beside_the_cold_store_is_told_from_those_in_it() -> None:
    kept = Kept()
    kept.run("rccr|rr|")
    del kept.headers[1]
    report, problems = kept.judge()
    assert (report.cold, report.lost, len(problems)) == (2, 1, 1)
    kept.headers += kept.cold
    report, problems = kept.judge()
    assert (report.cold, report.lost, len(problems)) == (0, 1, 1), "sent again, it is no cover for what is lost"


def test_a_reading_that_is_in_no_place_is_lost_once_the_run_has_ended() -> None:
    kept = Kept()
    kept.run("rrs|rrr|")
    del kept.headers[3]
    report, problems = kept.judge()
    assert figures(report) == (6, 4, 1, 0, 1, 0)
    assert len(problems) == 1 and problems[0].startswith("lost: bridge b, run ")


def test_a_report_that_is_missing_is_a_loss_too() -> None:
    kept = Kept()
    kept.run("rs|rss|r")
    del kept.reports[1]
    assert figures(kept.judge()[0]) == (6, 3, 1, 0, 2, 0)


@pytest.mark.parametrize(("is_last", "is_whole"), [(False, True), (True, False)])
def test_of_a_run_that_goes_on_or_a_topic_that_was_cut_what_is_missing_is_unconfirmed(
    is_last: bool, is_whole: bool
) -> None:
    kept = Kept()
    kept.run("rrrs|r", is_last=is_last)
    del kept.headers[1]
    report, problems = kept.judge(is_whole)
    assert figures(report) == (5, 3, 1, 1, 0, 0)
    assert problems == []


def test_what_a_running_bridge_has_not_reported_yet_counts_as_received_when_it_is_in_the_raw_topic() -> None:
    kept = Kept()
    kept.run("rs|rrsr", is_last=False)
    assert figures(kept.judge()[0]) == (6, 4, 1, 1, 0, 0)  # the last shed one is not reported yet


def test_a_reading_in_the_raw_topic_that_was_reported_as_shed_is_wrong() -> None:
    kept = Kept()
    kept.run("rsr|")
    kept.headers.append(kept.headers[0].rpartition(b"/")[0] + b"/2")
    report, problems = kept.judge()
    assert (report.wrong, report.lost) == (1, 0)
    assert problems[0].startswith("wrong: bridge b, run ")


def test_a_range_reported_twice_over_is_wrong() -> None:
    kept = Kept()
    kept.run("ss|")
    twisted: dict[str, Any] = json.loads(kept.reports[0])
    kept.reports.append(json.dumps({**twisted, "first_number": 2}).encode())
    assert kept.judge()[0].wrong > 0

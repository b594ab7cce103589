"""The age of an open transaction is counted from where the last stable offset stopped."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from jobs.observe.topics import Ends, OpenTransactions, TopicCollector

A, B = ("aligned", 0), ("aligned", 1)


def test_an_age_grows_while_the_stable_offset_stands_and_starts_anew_when_it_has_moved() -> None:
    ages = OpenTransactions()
    assert ages.ages_s({A: Ends(10, 10), B: Ends(5, 4)}, 100.0) == {A: 0.0, B: 0.0}
    assert ages.ages_s({A: Ends(12, 10), B: Ends(9, 4)}, 110.0) == {A: 0.0, B: 10.0}
    assert ages.ages_s({A: Ends(12, 12), B: Ends(9, 6)}, 130.0) == {A: 0.0, B: 0.0}
    assert ages.ages_s({A: Ends(12, 12), B: Ends(9, 6)}, 131.0) == {A: 0.0, B: 1.0}


def test_a_partition_whose_transaction_has_ended_is_forgotten() -> None:
    ages = OpenTransactions()
    ages.ages_s({A: Ends(5, 4)}, 0.0)
    ages.ages_s({A: Ends(5, 5)}, 1.0)
    assert ages.ages_s({A: Ends(7, 5)}, 60.0) == {A: 0.0}


def test_the_page_has_a_series_for_each_partition() -> None:
    registry = CollectorRegistry()
    registry.register(TopicCollector(lambda: {A: Ends(10, 8)}))
    labels = {"topic": "aligned", "partition": "0"}
    assert registry.get_sample_value("meridian_topic_end_offset", labels) == 10
    assert registry.get_sample_value("meridian_topic_stable_offset", labels) == 8
    assert registry.get_sample_value("meridian_broker_up") == 1

"""Topic templates: what is subscribed to, and what a topic's levels mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from jobs.bridge.mqtt.template import Router, TopicTemplate

LEVEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/+#{}\0"), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("template", "topic_filter", "topic", "fields"),
    [
        ("site/{region}/{sensor_id}", "site/+/+", "site/north/s1", {"region": "north", "sensor_id": "s1"}),
        ("tele/{sensor_id}/SENSOR", "tele/+/SENSOR", "tele/s1/SENSOR", {"sensor_id": "s1"}),
        ("v3/{app}/devices/{rest...}", "v3/+/devices/#", "v3/a/devices/d/up", {"app": "a", "rest": "d/up"}),
        ("{rest...}", "#", "a/b", {"rest": "a/b"}),
        ("$SYS/{rest...}", "$SYS/#", "$SYS/broker/uptime", {"rest": "broker/uptime"}),
        ("site/{region}", "site/+", "site/", {"region": ""}),
    ],
)
def test_named_levels_become_fields(template: str, topic_filter: str, topic: str, fields: dict[str, str]) -> None:
    assert TopicTemplate(template).topic_filter() == topic_filter
    assert TopicTemplate(template).match(topic) == fields


@pytest.mark.parametrize(
    "topic", ["site/north", "site/north/s1/t/x", "Site/north/s1/t", "site/north/s1", "/site/n/s/t"]
)
def test_other_topics_do_not_fit(topic: str) -> None:
    assert TopicTemplate("site/{region}/{sensor_id}/{metric}").match(topic) is None


def test_a_wildcard_does_not_fit_the_brokers_own_topics() -> None:
    assert TopicTemplate("{a}/{rest...}").match("$SYS/broker/uptime") is None


def test_a_shared_subscription_names_its_group() -> None:
    assert TopicTemplate("site/{region}").topic_filter("bridges") == "$share/bridges/site/+"


@pytest.mark.parametrize(
    "text", ["", "a//b", "a/+", "a/#", "site-{a}", "{a}/{a}", "{rest...}/b", "{A}", "a/{", "$share/g/a", "a\0b"]
)
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        TopicTemplate(text)


@given(st.lists(st.one_of(LEVEL, st.integers(0, 4)), min_size=1, max_size=5), st.lists(LEVEL, min_size=1, max_size=5))
def test_a_topic_fits_exactly_when_the_brokers_rules_say_so(parts: list[str | int], topic_levels: list[str]) -> None:
    levels = [f"{{n{i}}}" if isinstance(part, int) else part for i, part in enumerate(parts)]
    if levels[0] == "$share":
        return
    template, topic = TopicTemplate("/".join(levels)), "/".join(topic_levels)
    assert (template.match(topic) is not None) == topic_matches_sub(template.topic_filter(), topic)


def test_the_first_template_that_fits_takes_the_topic() -> None:
    router = Router([TopicTemplate("site/{sensor_id}/status"), TopicTemplate("site/{sensor_id}/{metric}")])
    assert router.route("site/s1/status") == (0, {"sensor_id": "s1"})
    assert router.route("site/s1/pm25") == (1, {"sensor_id": "s1", "metric": "pm25"})
    assert router.route("else") is None


def test_the_routers_memory_is_bounded() -> None:
    router = Router([TopicTemplate("site/{sensor_id}")], cache_size=10)
    for number in range(1_000):
        assert router.route(f"site/{number}") == (0, {"sensor_id": str(number)})
        assert len(router._cache) <= 10

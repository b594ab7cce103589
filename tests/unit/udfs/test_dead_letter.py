"""Laws of dead letters: all that explains a refusal, and whether the bytes can be sent again."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.dead_letter import Source, dead_letter
from udfs.reasons import Reason

SOURCE = Source("telemetry.raw", 2, 17, 1_700_000_000_000)
CAUSES_GONE_BY = [r for r in Reason if r not in (Reason.TOMBSTONE, Reason.ID_CONFLICT, Reason.LATE)]


def letter(
    reason: Reason = Reason.MALFORMED_JSON,
    raw: bytes | None = b"{",
    headers: Mapping[str, bytes | None] | None = None,
    **more: Any,
) -> dict[str, Any]:
    record = dead_letter(reason, "why", SOURCE, raw, payload_limit=100, job_version="1", headers=headers, **more)
    fields: dict[str, Any] = orjson.loads(record)
    return fields


@given(st.binary(max_size=200), st.none() | st.binary(max_size=50), st.dictionaries(st.text(), st.binary(max_size=50)))
def test_a_letter_holds_the_bytes_up_to_its_limit_and_their_digest(
    raw: bytes, key: bytes | None, headers: dict[str, bytes]
) -> None:
    found = letter(raw=raw, key=key, headers=headers)
    assert b64decode(found["payload_base64"]) == raw[:100]
    assert found["payload_bytes"] == len(raw)
    assert found["truncated"] is (len(raw) > 100)
    assert found["payload_sha256"] == hashlib.sha256(raw).hexdigest()
    assert (found["key_base64"] is None) is (key is None) and (key is None or b64decode(found["key_base64"]) == key)
    assert {name: b64decode(text) for name, text in found["headers"].items()} == headers


@pytest.mark.parametrize("huge", [{"key": b"k" * 10_000}, {"headers": {"sensor_id": b"s" * 10_000}}])
def test_a_huge_key_or_header_is_cut_and_said_so(huge: dict[str, Any]) -> None:
    found = letter(**huge)
    assert found["truncated"]
    assert len(orjson.dumps(found)) < 12_000


@pytest.mark.parametrize("reason", CAUSES_GONE_BY)
def test_what_a_fix_or_another_rule_can_accept_is_replayable_cut_or_not(reason: Reason) -> None:
    assert letter(reason)["replayable"]
    assert letter(reason, b"x" * 101)["replayable"]


@pytest.mark.parametrize("reason", [Reason.LATE, Reason.ID_CONFLICT])
def test_what_was_known_by_then_is_never_replayable(reason: Reason) -> None:
    """A late reading is aligned already, and the id of a conflict belongs to another reading."""
    assert not letter(reason)["replayable"]


@pytest.mark.parametrize("reason", [Reason.TOMBSTONE, Reason.BROKEN_HEADER])
def test_without_a_value_there_is_nothing_to_replay(reason: Reason) -> None:
    assert not letter(reason, None)["replayable"]


def test_the_letter_of_a_replay_names_what_it_replays() -> None:
    assert letter(headers={"replay_of": b"telemetry.raw/0/3"})["replay_of"] == "telemetry.raw/0/3"
    assert letter(headers={"replay_of": None})["replay_of"] is None
    assert letter(headers={})["replay_of"] is letter(headers=None)["replay_of"] is None


@given(st.binary(max_size=1_000))
def test_a_replay_of_anything_is_text_of_bounded_length(sent: bytes) -> None:
    assert len(letter(headers={"replay_of": sent})["replay_of"]) <= 300


def test_details_are_fields_of_their_own() -> None:
    assert letter(details={"lateness_ms": 5})["lateness_ms"] == 5

"""Tokens and batches of the push endpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.bridge.rest.push.batch import Batch, Outcome
from jobs.bridge.rest.push.tokens import BadTokens, TokenFile, read_tokens

TOKEN, OTHER = "t" * 20, "u" * 20


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_token_names_its_client(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# clients\nalice {TOKEN}  # since May\n\nbob {OTHER}\n")
    tokens = TokenFile(file, print)
    assert tokens.client(f"Bearer {TOKEN}") == "alice"
    assert tokens.client(f"bearer  {OTHER}") == "bob"
    for wrong in (None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \udcff"):
        assert tokens.client(wrong) is None


@pytest.mark.parametrize(
    "text", ["", "# none\n", "alice\n", "alice short\n", f"a {TOKEN} x\n", f"a {TOKEN}\na {OTHER}\n"]
)
def test_a_broken_file_is_refused_without_telling_its_tokens(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(BadTokens) as raised:
        read_tokens(file)
    assert TOKEN not in str(raised.value)


def test_tokens_are_exchanged_while_running_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    file, clock, problems = tmp_path / "tokens", Clock(), list[str]()
    file.write_text(f"alice {TOKEN}\n")
    tokens = TokenFile(file, problems.append, clock)

    def exchange(text: str, mtime: int) -> None:
        file.write_text(text)
        os.utime(file, (mtime, mtime))
        clock.now_s += 2

    exchange(f"alice {OTHER}\n", 1_000)
    assert tokens.client(f"Bearer {TOKEN}") is None
    assert tokens.client(f"Bearer {OTHER}") == "alice"
    exchange("nonsense\n", 2_000)
    assert tokens.client(f"Bearer {OTHER}") == "alice"
    assert len(problems) == 1


def batch() -> tuple[Batch, list[Outcome]]:
    over: list[Outcome] = []
    return Batch("f", [b""], {}, 0, over.append), over


def test_a_batch_is_over_with_its_last_acknowledgement_and_only_once() -> None:
    one, over = batch()
    one.expect(2, lambda *_: None)
    one.on_ack(None, None)
    one.on_ack(None, None)
    assert over == []  # acknowledged faster than sent
    one.sent_all()
    one.abandon("late")
    assert over == [Outcome(sent=2)]


def test_a_failed_record_fails_the_batch() -> None:
    class Error:
        def str(self) -> str:
            return "timed out"

    one, over = batch()
    one.expect(2, lambda *_: None)
    one.sent_all()
    one.on_ack(Error(), None)  # type: ignore[arg-type]
    one.on_ack(None, None)
    assert over == [Outcome(sent=2, failed=1, error="timed out")]


def test_an_abandoned_batch_counts_what_was_not_acknowledged() -> None:
    one, over = batch()
    one.expect(3, lambda *_: None)
    one.sent_all()
    one.on_ack(None, None)
    one.abandon("gone")
    assert over == [Outcome(sent=3, failed=2, error="gone")]

"""One run of `meridian replay-dlq send`: which letters, edited how, with which prospects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jobs.replay.content import Content
from jobs.replay.dead_letters import Fetch, Letter, NotReplayable, RawRecord, raw_record
from jobs.replay.edit import edit_record
from jobs.replay.edits import Edits
from jobs.replay.forecast import Fate, Forecast
from jobs.replay.selection import Selection
from udfs.decode import Decoder

_SHOWN_PROBLEMS = 5


class Replay(NamedTuple):
    """A letter and the record that is sent for it."""

    letter: Letter
    before: RawRecord
    after: RawRecord
    fate: Fate

    @property
    def is_edited(self) -> bool:
        return self.before != self.after


@dataclass
class Tally:
    """What became of the chosen letters; all counts are letters."""

    chosen: int = 0
    sent: int = 0
    edited: int = 0
    sent_before: int = 0
    held_back: int = 0  # for the job would refuse them again
    refused: Counter[str] = field(default_factory=Counter)  # that cannot be sent, by reason
    fates: Counter[tuple[str, str]] = field(default_factory=Counter)  # (reason, what the job will make of it)
    problems: list[str] = field(default_factory=list)  # the first few

    def refuse(self, letter: Letter, problem: str | None = None) -> None:
        self.refused[letter.reason] += 1
        if problem is not None and len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(problem)

    def to_dict(self) -> dict[str, Any]:
        fates: dict[str, dict[str, int]] = {}
        for (reason, fate), count in sorted(self.fates.items()):
            fates.setdefault(reason, {})[fate] = count
        names = ("chosen", "sent", "edited", "sent_before", "held_back")
        return {**{name: getattr(self, name) for name in names}, "refused": dict(self.refused), "fates": fates}


@dataclass(frozen=True)
class Rerun:
    """The rules of a run; pure but for `fetch` and `now_ms`."""

    selection: Selection
    edits: Edits | None
    decoder: Decoder
    forecast: Forecast
    fetch: Fetch
    now_ms: Callable[[], int]
    accepted_only: bool = False

    def choose(self, letters: Iterable[Letter], tally: Tally) -> list[Letter]:
        """The letters that are meant and say that they can be sent again."""
        chosen = [letter for letter in letters if self.selection.takes(letter, _content(letter, self.decoder))]
        tally.chosen = len(chosen)
        for letter in chosen:
            if not letter.replayable:
                tally.refuse(letter)
        return [letter for letter in chosen if letter.replayable]

    def prepare(self, letters: Iterable[Letter], sent_before: Collection[str], tally: Tally) -> Iterator[Replay]:
        """Make the records, and count what becomes of each letter; `sent` and `edited` are of those given."""
        for letter in letters:
            if letter.source.name in sent_before:
                tally.sent_before += 1
                continue
            try:
                before = raw_record(letter, self.fetch)
                after = before if self.edits is None else edit_record(before, letter, self.edits, self.decoder)
            except NotReplayable as problem:
                tally.refuse(letter, str(problem))
                continue
            fate = self.forecast.of(after, letter, self.now_ms())
            tally.fates[letter.reason, fate.reason] += 1
            if self.accepted_only and not fate.is_accepted:
                tally.held_back += 1
                continue
            replay = Replay(letter, before, after, fate)
            tally.sent += 1
            tally.edited += replay.is_edited
            yield replay


def _content(letter: Letter, decoder: Decoder) -> Content:
    try:
        return Content(letter.kept(), decoder)
    except NotReplayable:  # it is damaged; whoever makes its record will say so
        return Content(RawRecord(None, None, []), decoder)

"""How often a reading was sent again, and what became of it each time: the chain of `replay_of`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping


def chain(place: str, replay_of: Mapping[str, str]) -> list[str]:
    """All places of the raw topic at which a reading has been, the first one first.

    Parameters
    ----------
    place : one of them, as `topic/partition/offset`.
    replay_of : what each record that was sent again replays.
    """
    first, seen = place, {place}
    while first in replay_of and replay_of[first] not in seen:
        first = replay_of[first]
        seen.add(first)
    replays: defaultdict[str, list[str]] = defaultdict(list)
    for later, earlier in sorted(replay_of.items(), key=lambda pair: _order(pair[0])):
        replays[earlier].append(later)
    found, waiting = dict.fromkeys([first]), [first]
    while waiting:
        for later in replays[waiting.pop(0)]:
            if later not in found:
                found[later] = None
                waiting.append(later)
    return list(found)


def _order(place: str) -> tuple[str, int, int]:
    topic, partition, offset = place.rsplit("/", 2)
    return topic, int(partition), int(offset)

"""Topic templates: which topics a subscription wants, and what the levels of a topic mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_REST = re.compile(r"\{([a-z][a-z0-9_]*)\.\.\.\}")
_CACHE_SIZE = 100_000  # topics of as many sensors; beyond it the cache starts again


class TopicTemplate:
    """A topic with named levels, such as `site/{region}/{sensor_id}/{metric}`.

    Parameters
    ----------
    text
        Levels separated by `/`. A level is literal text, `{name}` for one level, or, as the last one, `{name...}` for
        all that follow (at least one). Names are lower case and occur once.

    Raises
    ------
    ValueError
        It is none; the message says which level.

    Source: MQTT 5.0, sections 4.7.1 (wildcards), 4.7.2 (`$` topics), 4.8.2 (shared subscriptions).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        levels = text.split("/")
        names: list[str] = []
        wanted, pattern = [], []
        for number, level in enumerate(levels, 1):
            if field := _FIELD.fullmatch(level):
                names.append(field[1])
                wanted.append("+")
                pattern.append(f"(?P<{field[1]}>[^/]*)")
            elif rest := _REST.fullmatch(level):
                if number < len(levels):
                    raise ValueError(f"{level}: only the last level can stand for all that follow")
                names.append(rest[1])
                wanted.append("#")
                pattern.append(f"(?P<{rest[1]}>.+)")
            elif not level or re.search(r"[{}+#\0]", level):
                raise ValueError(
                    f"level {number} is {level!r}: a text without + and #, {{name}}, or {{name...}} at the end"
                )
            else:
                wanted.append(level)
                pattern.append(re.escape(level))
        if len(set(names)) < len(names):
            raise ValueError(f"{text}: a name occurs twice")
        if wanted[0] == "$share":
            raise ValueError("a shared subscription is asked for with the key `share`")
        self.names = frozenset(names)
        self._filter = "/".join(wanted)
        self._match = re.compile("/".join(pattern), re.DOTALL).fullmatch

    def topic_filter(self, share: str | None = None) -> str:
        """The filter to subscribe to, of a shared subscription where `share` names its group."""
        return f"$share/{share}/{self._filter}" if share else self._filter

    def match(self, topic: str) -> dict[str, str] | None:
        """The named levels of a topic; None if it is not one of the template's."""
        found = self._match(topic)
        if found is None or (topic.startswith("$") and not self._filter.startswith("$")):
            return None
        return found.groupdict()


class Router:
    """Finds the template of a topic; the first one in order that fits it.

    A bounded cache keeps what was found: a sensor sends to the same topics for all its life.
    """

    def __init__(self, templates: list[TopicTemplate], cache_size: int = _CACHE_SIZE) -> None:
        self._templates = templates
        self._cache_size = cache_size
        self._cache: dict[str, tuple[int, Mapping[str, str]] | None] = {}

    def route(self, topic: str) -> tuple[int, Mapping[str, str]] | None:
        """Position of the template and the named levels; None: no template fits."""
        try:
            return self._cache[topic]
        except KeyError:
            return self._look_for(topic)

    def _look_for(self, topic: str) -> tuple[int, Mapping[str, str]] | None:
        if len(self._cache) >= self._cache_size:
            self._cache.clear()
        found = next(((i, m) for i, t in enumerate(self._templates) if (m := t.match(topic)) is not None), None)
        self._cache[topic] = found
        return found

"""Laws of the shard's log: what is appended is found again after a restart, whatever was compacted or cooled."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shards import DictStore, index_of
from udfs.shard_log import INDEX_VERSION, NO_WATERMARK, IncompatibleState, Index, ShardLog


class Words:
    """Values are lists of words, in the order in which they were appended."""

    def empty(self) -> list[str]:
        return []

    def absorb(self, value: list[str], chunk: bytes) -> None:
        value += chunk.decode().split()

    def dump(self, value: list[str]) -> bytes:
        return " ".join(value).encode()


def open_log(store: DictStore) -> ShardLog[list[str]]:
    return ShardLog(store, Words(), "words")


def append(log: ShardLog[list[str]], store: DictStore, name: str, word: str) -> None:
    log.value(store, name).append(word)
    log.append(store, name, word.encode())


actions = st.lists(
    st.tuples(st.sampled_from(["append"] * 6 + ["drop", "cool", "touch", "restart"]), st.sampled_from("ab/")),
    max_size=150,
)


@given(actions)
def test_values_are_the_same_as_in_memory_after_any_compaction_cooling_and_restart(
    steps: list[tuple[str, str]],
) -> None:
    store, model = DictStore(), dict[str, list[str]]()
    log = open_log(store)
    for number, (action, name) in enumerate(steps):
        if action == "append":
            append(log, store, name, f"w{number}")
            model.setdefault(name, []).append(f"w{number}")
        elif action == "restart":
            log.save(store)
            log = open_log(store)
        elif action == "cool":
            log.cool(name)
        elif action == "touch" and name in log.warm:
            log.touch(name)
        elif action == "drop" and name in model:
            log.drop(store, name)
            del model[name]
        assert sorted(log.names()) == sorted(model)
        assert all(log.value(store, n) == words for n, words in model.items())
    for name in list(log.names()):
        log.drop(store, name)
    assert store.data.keys() <= {"words/index"}, "a chunk was left behind"


def test_an_entry_keeps_a_bounded_number_of_chunks() -> None:
    store = DictStore()
    log = open_log(store)
    for number in range(1000):
        append(log, store, "a", str(number))
        assert len(store.data) <= 48
    log.save(store)
    assert open_log(store).value(store, "a") == [str(n) for n in range(1000)]


@pytest.mark.parametrize("growth", [1, 2])
def test_compaction_gives_what_no_compaction_gives(growth: int) -> None:
    def value(limit: int) -> list[str]:
        store = DictStore()
        log = ShardLog(store, Words(), "words", chunks=limit, growth=growth)
        for number in range(200):
            append(log, store, "a", str(number))
        log.save(store)
        return open_log(store).value(store, "a")

    assert value(1) == value(2) == value(7) == value(10**9)


def test_appending_reads_nothing_back() -> None:
    class NoReads(DictStore):
        def get(self, key: str) -> bytes | None:
            assert key in ("words/index", "words/watermark")
            return super().get(key)

    store = NoReads()
    log = open_log(store)
    for number in range(120):
        append(log, store, "a", str(number))


@given(st.lists(st.integers(-(2**63), 2**62)))
def test_the_kept_watermark_never_goes_back(watermarks: list[int]) -> None:
    store = DictStore()
    log = open_log(store)
    highest = NO_WATERMARK
    for watermark_ms in watermarks:
        log.keep_watermark(store, watermark_ms)
        log = open_log(store)
        highest = max(highest, watermark_ms)
        assert log.watermark_ms(NO_WATERMARK) == highest
        assert log.watermark_ms(highest + 1) == highest + 1


def test_marks_survive_a_restart_and_never_go_back() -> None:
    store = DictStore()
    log = open_log(store)
    assert log.mark("m") == NO_WATERMARK
    for value in (5, 3):
        log.raise_mark("m", value)
    log.save(store)
    assert open_log(store).mark("m") == 5


@pytest.mark.parametrize("rest", [[], [[], {}, {}], ["another", "shape", ["altogether"]]])
def test_state_of_a_newer_version_is_refused_whatever_its_shape(rest: list[object]) -> None:
    store = DictStore({"words/index": msgspec.msgpack.encode([INDEX_VERSION + 1, *rest])})
    with pytest.raises(IncompatibleState, match=f"'words' has version {INDEX_VERSION + 1}; this job reads"):
        open_log(store)


def test_state_of_an_older_version_is_refused() -> None:
    store = DictStore({"words/index": msgspec.msgpack.encode([1, 7, {"a": [3]}, {}])})
    with pytest.raises(IncompatibleState, match="'words' has version 1; this job reads"):
        open_log(store)


def test_an_index_of_before_a_field_was_appended_is_read_with_its_default() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([INDEX_VERSION]), type=Index) == Index(names=[], marks={})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([INDEX_VERSION, ["a"]]), type=Index) == Index(
        INDEX_VERSION, ["a"], {}
    )


def test_the_index_is_written_only_when_an_entry_comes_or_goes() -> None:
    store = DictStore()
    log = open_log(store)
    append(log, store, "a", "x")
    log.save(store)
    del store.data["words/index"]
    append(log, store, "a", "y")
    log.save(store)
    assert "words/index" not in store.data
    append(log, store, "b", "z")
    log.save(store)
    assert index_of(store, "words")[1] == ["a", "b"]


def test_a_growing_entry_is_written_again_ever_more_seldom() -> None:
    store = DictStore()
    log = ShardLog(store, Words(), "words", growth=2)
    written_again = [n for n in range(1_000) if _append_and_count(log, store, f"w{n}") == 1]
    assert written_again == [0, 48, 48 + 96, 48 + 96 + 192, 48 + 96 + 192 + 384]
    assert log.value(store, "a") == [f"w{n}" for n in range(1_000)]


def _append_and_count(log: ShardLog[list[str]], store: DictStore, word: str) -> int:
    append(log, store, "a", word)
    return sum(key.startswith("words/a#") for key in store.data)

"""Laws of the shard's log: what is appended is found again after a restart, whatever was compacted or cooled."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shards import DictStore, index_of
from udfs.shard_log import INDEX_VERSION, NO_WATERMARK, Entry, IncompatibleState, Index, ShardLog


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
    st.tuples(st.sampled_from(["append"] * 6 + ["rewrite", "drop", "cool", "restart"]), st.sampled_from("ab/")),
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
            log.save_index(store)
            log = open_log(store)
        elif action == "cool":
            log.cool(name)
        elif name in model:
            getattr(log, action)(store, name)
            if action == "drop":
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
    log.save_index(store)
    assert open_log(store).value(store, "a") == [str(n) for n in range(1000)]


def test_compaction_gives_what_no_compaction_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def value(limit: int) -> list[str]:
        monkeypatch.setattr("udfs.shard_log._COMPACT_AT", limit)
        store = DictStore()
        log = open_log(store)
        for number in range(200):
            append(log, store, "a", str(number))
        log.save_index(store)
        return open_log(store).value(store, "a")

    assert value(1) == value(2) == value(7) == value(10**9)


def test_appending_reads_nothing_back() -> None:
    class NoReads(DictStore):
        def get(self, key: str) -> bytes | None:
            assert key == "words/index"
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
        log.keep_watermark(watermark_ms)
        log.save_index(store)
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
    log.save_index(store)
    assert open_log(store).mark("m") == 5


def test_a_lost_chunk_is_an_error_and_not_a_smaller_value() -> None:
    store = DictStore()
    log = open_log(store)
    append(log, store, "a", "x")
    log.save_index(store)
    del store.data["words/a#0"]
    with pytest.raises(IncompatibleState, match="'words' lost chunk 0 of 'a'"):
        open_log(store).value(store, "a")


@pytest.mark.parametrize("rest", [[], [NO_WATERMARK, {}, {}], ["another", "shape", ["altogether"]]])
def test_state_of_a_newer_version_is_refused_whatever_its_shape(rest: list[object]) -> None:
    store = DictStore({"words/index": msgspec.msgpack.encode([INDEX_VERSION + 1, *rest])})
    with pytest.raises(IncompatibleState, match=f"'words' has version {INDEX_VERSION + 1}; this job reads up to"):
        open_log(store)


def test_state_of_an_older_version_is_read_and_written_as_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    store = DictStore()
    log = open_log(store)
    append(log, store, "a", "x")
    log.save_index(store)
    monkeypatch.setattr("udfs.shard_log.INDEX_VERSION", INDEX_VERSION + 1)
    log = open_log(store)
    assert log.value(store, "a") == ["x"]
    log.save_index(store)
    assert index_of(store, "words")[0] == INDEX_VERSION + 1


def test_an_index_of_before_a_field_was_appended_is_read_with_its_default() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([1]), type=Index) == Index(entries={}, marks={})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([1, 7, {"a": [3]}]), type=Index) == Index(
        1, 7, {"a": Entry(3, 0)}, {}
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([]), type=Entry) == Entry()


def test_an_index_with_a_field_appended_later_reads_what_this_one_wrote() -> None:
    newer_entry = msgspec.defstruct("NewerEntry", [("size", int, -1)], bases=(Entry,), array_like=True)
    written = msgspec.msgpack.encode(Entry(3, 1))
    assert msgspec.msgpack.decode(written, type=newer_entry) == newer_entry(3, 1, -1)

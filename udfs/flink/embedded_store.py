"""A shard's keyed state in the TaskManager's process: the same bytes as a worker process leaves there."""

from __future__ import annotations

from typing import Any, Final

from pyflink.datastream import RuntimeContext

from udfs.flink.collector import collect_rarely

_LENGTH_BYTES: Final = 4


def open_embedded_store(runtime_context: RuntimeContext) -> EmbeddedStore:
    """For `open` of a keyed operator in the TaskManager's process (`execution_mode: thread`)."""
    collect_rarely()
    return EmbeddedStore(runtime_context)


class EmbeddedStore:
    """`udfs.shard_log.KeyedStore` over the JVM's own state.

    PyFlink's own MapState of thread mode has other serializers than that of worker processes, makes bytes a tuple of
    integers and fails for a key that is not there. So this asks for the state that the JVM keeps for worker processes,
    with keys and values as their coders write them: the length as a big-endian int32, then the bytes. A savepoint of
    one mode restores in the other.

    Source: PyFlink 2.2, `BeamKeyedStateStore.java` and `pyflink.fn_execution.coder_impl_slow`
    """

    def __init__(self, runtime_context: RuntimeContext) -> None:
        from pemja import findClass  # is there in the TaskManager's process only

        state, api = "org.apache.flink.runtime.state.", "org.apache.flink.api.common."
        utils = "org.apache.flink.streaming.api.utils."
        descriptor = findClass(api + "state.MapStateDescriptor")(
            "python-state-shard",
            findClass(utils + "ByteArrayWrapperSerializer").INSTANCE,
            findClass(api + "typeutils.base.array.BytePrimitiveArraySerializer").INSTANCE,
        )
        backend = runtime_context.get_keyed_state_backend()._keyed_state_backend
        self._state: Any = backend.getPartitionedState(
            findClass(state + "VoidNamespace").INSTANCE,
            findClass(state + "VoidNamespaceSerializer").INSTANCE,
            descriptor,
        )
        self._wrapped: Any = findClass(utils + "ByteArrayWrapper")

    def get(self, key: str) -> bytes | None:
        value = self._state.get(self._key(key))
        return None if value is None else bytes(value[_LENGTH_BYTES:])

    def put(self, key: str, value: bytes) -> None:
        self._state.put(self._key(key), _coded(value))

    def remove(self, key: str) -> None:
        self._state.remove(self._key(key))

    def _key(self, key: str) -> Any:
        return self._wrapped(_coded(key.encode()))


def _coded(value: bytes) -> bytes:
    return len(value).to_bytes(_LENGTH_BYTES, "big", signed=True) + value

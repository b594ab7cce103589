"""A shard's keyed state in a worker process."""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor

from udfs.flink.worker import tune_worker


def open_worker_store(runtime_context: RuntimeContext) -> WorkerStore:
    """For `open` of a keyed operator in a worker process."""
    tune_worker()
    return WorkerStore(runtime_context)


class WorkerStore:
    """`udfs.shard_log.KeyedStore` over the MapState that PyFlink gives to a worker process."""

    def __init__(self, runtime_context: RuntimeContext) -> None:
        descriptor = MapStateDescriptor("shard", Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()))
        self._state: MapState = runtime_context.get_map_state(descriptor)

    def get(self, key: str) -> bytes | None:
        value = self._state.get(key)
        return None if value is None else bytes(value)

    def put(self, key: str, value: bytes) -> None:
        self._state.put(key, value)

    def remove(self, key: str) -> None:
        self._state.remove(key)

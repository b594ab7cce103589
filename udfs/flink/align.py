"""The align stage as a vectorised (Arrow) row function: a batch of raw rows in, one frame per shard out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pyflink.table import DataTypes
from pyflink.table.udf import ScalarFunction, udf

from udfs.align import Aligner, RawColumns
from udfs.flink.worker import tune_worker
from udfs.rules import Rules
from udfs.schema_lookup import SchemaSource
from udfs.shard_keys import max_parallelism, shard_keys

OpenSource = Callable[[], SchemaSource]  # travels to the workers by pickle

FRAME_TYPE = DataTypes.ROW([DataTypes.FIELD("key", DataTypes.INT()), DataTypes.FIELD("frame", DataTypes.BYTES())])


class AlignBatch(ScalarFunction):
    """Columns: value, key, partition, offset, append time (epoch ms), then the headers as bytes.

    The result has as many rows as the batch, as a vectorised function must; the first rows carry the frames and the
    rest are null, to be filtered in the JVM. The key is that of the frame's shard.
    """

    def __init__(self, rules: Rules, topic: str, open_source: OpenSource | None) -> None:
        self._rules = rules
        self._topic = topic
        self._open_source = open_source
        self._aligner: Aligner | None = None

    def open(self, function_context: Any) -> None:
        source = self._open_source() if self._open_source else None
        self._aligner = Aligner(self._rules, self._topic, schema_source=source)
        self._keys = shard_keys(self._rules.shards, max_parallelism(self._rules.shards))
        tune_worker()

    def eval(self, batch: pd.DataFrame) -> pd.DataFrame:
        assert self._aligner is not None
        # `items` and not `iloc`, which for a small batch costs more than all else here.
        value, key, partition, offset, append_time_ms, *headers = (column.tolist() for _, column in batch.items())
        frames = self._aligner.align_columns(RawColumns(value, key, partition, offset, append_time_ms, headers))
        keys = np.zeros(len(batch), dtype=np.int32)
        column = np.full(len(batch), None, dtype=object)
        for row, (shard, frame) in enumerate(frames):
            keys[row] = self._keys[shard]
            column[row] = frame
        return pd.DataFrame({"key": keys, "frame": column})


def align_udf(rules: Rules, topic: str, open_source: OpenSource | None = None) -> Any:
    """Make the function; `open_source` is called in each worker, for what it asks for schemas that it does not know."""
    return udf(AlignBatch(rules, topic, open_source), result_type=FRAME_TYPE, func_type="pandas")

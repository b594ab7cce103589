"""Keys a stream of rows `(key, value)` in the JVM.

`DataStream.key_by` puts a Python operator in front that makes such rows: one more way to a worker and back for every
element, and one more bundle to wait for.
"""

from __future__ import annotations

from pyflink.common import Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import DataStream
from pyflink.datastream.data_stream import KeyedStream
from pyflink.java_gateway import get_gateway


def keyed_by_first(rows: DataStream, value_type: TypeInformation) -> KeyedStream:
    """What `key_by` returns, for rows whose first field is an integer key; the process function gets the second.

    Source: `DataStream.key_by` of PyFlink 2.2
    """
    selector = get_gateway().jvm.KeyByKeySelector()
    keyed = rows._j_data_stream.keyBy(selector, Types.ROW([Types.INT()]).get_java_type_info())
    return KeyedStream(keyed, value_type, rows)

"""Python's garbage collector, for work in batches."""

from __future__ import annotations

import gc

# A batch makes tens of thousands of objects that live until its end and hold no cycles. With the default of 700 the
# collector walks them (and the libraries' millions) again and again: it took more time than all stages together. With
# far more than this, what Beam leaves behind in cycles, buffers of a bundle among it, grew to gigabytes.
_NEW_OBJECTS = 20_000


def collect_rarely() -> None:
    """Set the collector of this process to rare rounds over new objects only; harmless when it is already.

    Source: https://docs.python.org/3.11/library/gc.html
    """
    if gc.get_threshold()[0] == _NEW_OBJECTS:
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)

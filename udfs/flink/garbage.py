"""Python's garbage collector in a worker process."""

from __future__ import annotations

import gc

# A batch makes some hundred thousand objects that live until its end and hold no cycles. With the default of 700 the
# collector walks them (and the libraries' millions) again and again: it took more time than all stages together.
_NEW_OBJECTS = 500_000


def calm_garbage_collector() -> None:
    """Collect rarely, and never walk what was there when the worker started; called by every operator's `open`.

    Source: https://docs.python.org/3.11/library/gc.html
    """
    if gc.get_threshold()[0] != _NEW_OBJECTS:
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS, 20, 100)

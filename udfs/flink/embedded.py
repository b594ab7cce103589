"""Keyed operators inside the TaskManager's process, as `execution_mode: thread` has them.

In Flink's thread mode (pemja) there is no gRPC, no copy and no bundle between the JVM and Python. But there is one
interpreter for all jobs that the TaskManager ever runs, and `import` gives what an earlier one has imported: after an
upgrade the new job would go on with the old one's code. So what is submitted is an `Embedded`, which is pickled by
value and needs none of our modules. It finds the code that it was submitted with and puts it in place of another job's
(which keeps the modules that it has).

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/dev/python/python_execution_mode/
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.fn_execution import pickle as pyflink_pickle

_PACKAGE = "udfs"  # all of ours that a keyed operator imports
_DIGEST = "code_digest"  # attribute of that package, once it has been loaded here


class Embedded(KeyedProcessFunction):
    """A keyed operator by its name, with what it is made of.

    Parameters
    ----------
    operator : name of a `udfs.flink.shards.ShardFunction`.
    rules : packed by `udfs.rules.pack_rules`.
    digest : of the code, see `code_digest`.
    """

    def __init__(self, operator: str, rules: bytes, topic: str, digest: str) -> None:
        self._operator = operator
        self._rules = rules
        self._topic = topic
        self._digest = digest

    def open(self, runtime_context: RuntimeContext) -> None:
        shards = load(self._digest, "udfs.flink.shards")
        self._function = getattr(shards, self._operator).embedded(self._rules, self._topic)
        self._function.open(runtime_context)

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        return iter(self._function.process_element(value, ctx))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        return iter(self._function.on_timer(timestamp, ctx))


def embedded(operator: type[KeyedProcessFunction], rules: bytes, topic: str) -> Embedded:
    """Wrap an operator, with the code of this process."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return Embedded(operator.__name__, rules, topic, code_digest(Path(__file__).parents[1]))


def code_digest(package: Path) -> str:
    """SHA-256 over names and contents of a package's Python files."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def load(digest: str, module: str) -> Any:
    """Import a module of the package with that digest, wherever on the path it is.

    Raises
    ------
    ImportError : it is nowhere.
    """
    with pyflink_pickle._lock:  # one for the process, and held whenever PyFlink unpickles
        loaded = sys.modules.get(_PACKAGE)
        if loaded is None or getattr(loaded, _DIGEST, None) != digest:
            _exchange(digest)
        return importlib.import_module(module)


def _exchange(digest: str) -> None:
    """Import the package of that digest in place of the one that is there."""
    sys.path[:] = [entry for entry in dict.fromkeys(sys.path) if os.path.exists(entry)]  # jobs that ended left theirs
    for entry in sys.path:
        package = Path(entry) / _PACKAGE
        if package.is_dir() and code_digest(package) == digest:
            break
    else:
        raise ImportError(f"the code that the job was submitted with is not on the path: {', '.join(sys.path)}")
    for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]
    sys.path.remove(entry)
    sys.path.insert(0, entry)
    setattr(importlib.import_module(_PACKAGE), _DIGEST, digest)

"""Nothing that came from outside is read as a pickle: reading one runs whatever code its writer chose.

ruff finds the readers (TID251, S301, S302, S506; pyproject.toml); what it cannot see is that PyFlink pickles elements
whose type nobody gave.
"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from jobs.cli.project import PROJECT_ROOT

RUFF = PROJECT_ROOT / ".venv" / "bin" / "ruff"
SOURCES = [path for top in ("jobs", "udfs") for path in (PROJECT_ROOT / top).rglob("*.py")]
TYPED_BY = {"process": "output_type", "flat_map": "output_type", "key_by": "key_type", "map": "output_type"}


def untyped_calls(source: str) -> list[str]:
    """Operators of a DataStream without the type of what they give; a table's `map` takes it from the UDF."""
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return [
        f"{call.lineno}: {call.func.attr}"
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and (wanted := TYPED_BY.get(call.func.attr))
        and wanted not in {keyword.arg for keyword in call.keywords}
        and not (call.func.attr == "map" and _is_udf(call))
    ]


def _is_udf(call: ast.Call) -> bool:
    return any(isinstance(a, ast.Call) and isinstance(a.func, ast.Name) and "udf" in a.func.id for a in call.args)


def test_every_operator_says_the_type_of_its_elements() -> None:
    streams = [path for path in SOURCES if "pyflink.datastream" in path.read_text(encoding="utf-8")]
    assert len(streams) > 4
    assert {str(path): found for path in streams if (found := untyped_calls(path.read_text(encoding="utf-8")))} == {}


def test_an_untyped_operator_is_found() -> None:
    assert untyped_calls("rows.key_by(f).map(g)") == ["1: map", "1: key_by"]
    assert untyped_calls("rows.key_by(f, key_type=t).process(p, output_type=o); table.map(align_udf(r))") == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\n",
        "from cloudpickle import loads\n",
        "import marshal\n",
        "import yaml\n\nyaml.load('a', Loader=yaml.Loader)\n",
        "import pandas as pd\n\npd.read_pickle('x')\n",
        "from pyflink.common import Types\n\nTypes.PICKLED_BYTE_ARRAY()\n",
        "print(eval('1'))\n",
    ],
)
def test_the_linter_refuses_what_runs_code_while_it_reads(source: str) -> None:
    command = [RUFF, "check", "--no-cache", "--stdin-filename", PROJECT_ROOT / "jobs" / "example.py", "-"]
    result = subprocess.run(command, input=source, capture_output=True, text=True, check=False, cwd=PROJECT_ROOT)
    assert result.returncode == 1 and ("TID251" in result.stdout or "S" in result.stdout), result.stdout


def test_no_line_switches_the_linter_off_for_it() -> None:
    silenced = [path for path in SOURCES if "noqa: S" in path.read_text() or "noqa: TID251" in path.read_text()]
    assert silenced == []
    assert Path(RUFF).exists()

import os
import subprocess
import sys
from pathlib import Path

from distos_coll._vocabulary import Collective, Need
from distos_coll.plugins.manager import built_in_registry
from distos_coll.program.encode import UNLIMITED, decode_plan
from distos_coll.schedules.lower import lowered, main

ROOT = Path(__file__).resolve().parents[2]


def test_holds_everything_and_a_choice_for_any_group() -> None:
    registry = built_in_registry()
    plan = decode_plan(lowered(registry))
    assert plan.programs == tuple(registry.program(a) for a in registry.algorithms)
    assert [row.collective for row in plan.choices] == list(Collective)
    assert all(row.max_bytes == UNLIMITED for row in plan.choices)
    assert all(plan.programs[row.program].needs == Need(0) for row in plan.choices)


def test_runs_with_the_standard_library_and_pluggy(tmp_path: Path) -> None:
    out = tmp_path / "programs.bin"
    code = (
        "import sys, runpy; sys.modules.update(numpy=None, torch=None, typer=None, rich=None);"
        f"sys.argv = ['lower', {str(out)!r}];"
        "runpy.run_module('distos_coll.schedules.lower', run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert out.read_bytes() == lowered(built_in_registry())


def test_usage() -> None:
    assert main([]) == 2

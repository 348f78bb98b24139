"""Writes all built-in programs as one file: `python -m distos_coll.schedules.lower OUT`.

Run when the package is built, so that the native library has programs without an interpreter. The
file is a plan without arrays, whose choices are what is right for any group: programs without
needs, the first by name. Needs the standard library and pluggy.
"""

import sys
from pathlib import Path

from distos_coll._vocabulary import Collective, Need
from distos_coll.plugins.manager import Registry, built_in_registry
from distos_coll.program.encode import UNLIMITED, Choice, PlanTable, encode_plan

_SEGMENT = 1 << 18


def lowered(registry: Registry) -> bytes:
    """Every program of the registry, in its order."""
    programs = tuple(registry.program(algorithm) for algorithm in registry.algorithms)
    choices = []
    for collective in Collective:
        general = next(
            index
            for index, program in enumerate(programs)
            if program.collective is collective and program.needs == Need(0)
        )
        choices.append(Choice(collective, UNLIMITED, general, _SEGMENT))
    return encode_plan(PlanTable(programs, {}, tuple(choices)))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m distos_coll.schedules.lower OUT", file=sys.stderr)
        return 2
    Path(arguments[0]).write_bytes(lowered(built_in_registry()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

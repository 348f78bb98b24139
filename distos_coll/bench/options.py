"""What a run measures: nccl-tests' options, read and checked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from distos_coll.bench.collectives import COLLECTIVES, collective_named
from distos_coll.bench.data import OPS
from distos_coll.bench.elements import ELEMENTS, element_named

ALL = "all"
AVERAGES = ("rank 0", "average", "minimum", "maximum")
"""What -a 0 to 3 reports of the ranks' times."""

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "-p --parallel_init": "ranks always join at the same time",
        "-y --stream_null": "CPU calls have no streams",
        "-G --cudagraph": "CPU calls have no graphs",
        "-C --report_cputime": "a CPU call returns when its result is there: both times are one",
        "-R --local_register": "there is no registered memory yet",
        "-x --cta_policy": "CPU calls have no thread blocks",
        "-D --device_implementation": "there are no CUDA tensors yet",
        "-V --device_cta_count": "CPU calls have no thread blocks",
        "-M --memory": "the memory of a group is not reported yet",
        "-I --per_iter": "calls are timed together, so that no clock is read between them",
        "-F --csv": "use -J FILE for JSON",
    }
)
"""Options of nccl-tests that mean nothing here, and why."""


@dataclass(frozen=True)
class Options:
    collectives: tuple[str, ...] = ("all_reduce",)
    sizes: tuple[int, ...] = (32 << 20,)
    span: tuple[int, int] = (32 << 20, 32 << 20)
    """What -b and -e said."""
    step: tuple[str, int] = ("bytes", 1 << 20)
    """"factor" or "bytes", and how much; `sizes` says the same."""
    types: tuple[str, ...] = ("float",)
    ops: tuple[str, ...] = ("sum",)
    root: int = 0
    """-1: each rank in turn."""
    iterations: int = 20
    warm_ups: int = 1
    together: int = 1
    """Calls in one group(), of nccl-tests' -m."""
    cycles: int = 1
    checks: int = 1
    blocking: int = 0
    """1: a barrier after each call."""
    average: int = 1
    unalign: int = 0
    timestamps: bool = False
    threads: int = 1
    timeout: float = 0
    """Seconds; 0: the library's default."""
    backend: str = ""
    """A backend of torch.distributed; "": the array door."""
    json_file: str = ""
    json_only: bool = False
    purpose: str = ""
    """What ranks do instead of the run, see findings.py."""
    result_file: str = ""
    """Where rank 0 then leaves what was found; "": it concludes itself."""
    profile_file: str = ""
    """Where a profile is written."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Options":
        """Make what as_dict() gave, also after a trip through JSON."""
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**read)


def parse_size(text: str) -> int:
    """Read bytes as nccl-tests does: 8, 64K, 1.5M, 2G, powers of 1024."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write bytes, such as 8, 64K, 1.5M or 2G")
    return int(float(match[1]) * (1 << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]]))


def sizes(low: int, high: int, *, factor: int, step: int) -> tuple[int, ...]:
    """Return the sizes to scan; `factor` goes before `step` if it is more than 1."""
    if low > high:
        raise ValueError(f"the smallest size (-b {low}) is above the largest (-e {high})")
    if factor > 1 and low == 0:
        raise ValueError("-b 0 never grows with -f; use -i, or a larger -b")
    if factor <= 1 and step <= 0:
        raise ValueError("the increment (-i) must be positive")
    return tuple(_steps(low, high, factor, step))


def _steps(low: int, high: int, factor: int, step: int) -> Iterator[int]:
    size = low
    while size <= high:
        yield size
        size = size * factor if factor > 1 else size + step


def parse_collectives(names: Sequence[str]) -> tuple[str, ...]:
    """Read names; none of them means all_reduce."""
    if ALL in names:
        return tuple(COLLECTIVES)
    return tuple(dict.fromkeys(collective_named(name).name for name in names)) or ("all_reduce",)


def parse_types(text: str) -> tuple[str, ...]:
    if text == ALL:
        return tuple(element.name for element in ELEMENTS)
    return tuple(dict.fromkeys(element_named(name.strip()).name for name in text.split(",")))


def parse_ops(text: str) -> tuple[str, ...]:
    if text == ALL:
        return OPS
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name == "mulsum":
            raise ValueError("mulsum is offered through NCCL's interface only; use sum")
        if name not in OPS:
            raise ValueError(f"there is no reduction {name!r}; use one of {', '.join(OPS)}, or all")
    return names


def parse_root(text: str) -> int:
    if text == ALL:
        return -1
    if not text.isdigit():
        raise ValueError(f"{text!r} is not a rank; write a number, or all")
    return int(text)


def refusal(arguments: Sequence[str]) -> str:
    """Return why one of the arguments is not taken here, or "".

    A negative number is no option, and a letter may stand before its value: -G1.
    """
    for argument in arguments:
        for names, reason in REFUSED.items():
            letter, word = names.split()
            given = argument.partition("=")[0]
            if given == word or (given.startswith(letter) and not given.startswith("--")):
                return f"{letter} ({word}) of nccl-tests is not offered: {reason}"
    return ""

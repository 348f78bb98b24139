"""What ranks must have alike of their plugins: a line for each that adds algorithms, with a digest
of each algorithm's program and cost, so that equal lines mean equal plans (docs/decisions/0013).
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distos_coll.errors import PluginError
from distos_coll.plugins.asking import described
from distos_coll.plugins.costs import CostInput, Figures, LinkCost, Over
from distos_coll.plugins.kinds import ALGORITHMS, algorithm_name
from distos_coll.plugins.loading import Loaded, Refused
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.program.encode import encode_program
from distos_coll.program.ir import Program

LARGEST_BYTES = 32 << 10
"""Of a manifest as text; the stores in which ranks meet take 60 KiB."""
_REASON = 300  # characters

SAMPLE_BYTES = (0, 4 << 10, 1 << 20, 1 << 26)
SAMPLE_GROUPS = ((2, 1, 2), (8, 2, 4), (5, 5, 1))
"""Ranks, domains, ranks of each."""
_UNLIKE = tuple(LinkCost(10.0 * (over + 1), 1.0 / (over + 1)) for over in Over)
"""Which links a program's messages take is part of its cost, and shows where they are not alike."""


@dataclass(frozen=True)
class Line:
    plugin: str
    distribution: str
    """With its version; "" where there is none."""
    algorithms: tuple[tuple[str, str], ...]
    """Name and digest, in the order of names."""


def line_of(one: Loaded, specs: Iterable[AlgorithmSpec]) -> Line:
    """PluginError says, without the plugin's name, what is wrong with an algorithm."""
    candidate = one.candidate
    return Line(
        one.name,
        f"{candidate.distribution} {candidate.version}".strip(),
        tuple(sorted((algorithm_name(spec), _digest(spec)) for spec in specs)),
    )


def built(spec: AlgorithmSpec) -> Program:
    """Build a program, and compare it with its spec."""
    where = ALGORITHMS.title_of(spec)
    try:
        program: Any = spec.build()
    except Exception as error:
        raise PluginError(f"{where} could not be built: {error}") from error
    told = (spec.name, spec.collective, spec.needs)
    if not isinstance(program, Program) or told != (
        program.name,
        program.collective,
        program.needs,
    ):
        raise PluginError(
            f"{where} builds a program with another name, collective or needs than its spec says"
        )
    return program


def _digest(spec: AlgorithmSpec) -> str:
    told = [spec.key, int(spec.collective), int(spec.needs), spec.segments, spec.between_domains]
    # Hosts may differ in the last digits of what they compute.
    costs = [f"{cost:.6e}" for cost in sampled(spec)]
    text = json.dumps([told, costs]).encode()
    return hashlib.blake2b(encode_program(built(spec)) + text, digest_size=8).hexdigest()


def sampled(spec: AlgorithmSpec) -> Iterator[float]:
    """Ask the cost function at some places; PluginError if an answer is no number."""
    for segment in spec.segments:
        for size, domains, local in SAMPLE_GROUPS:
            for count in SAMPLE_BYTES:
                asked = CostInput(
                    count, segment, size, domains, local, local, 1 << 20, 1.0, Figures(), _UNLIKE
                )
                yield cost_of(spec, asked)


def cost_of(spec: AlgorithmSpec, asked: CostInput) -> float:
    where = ALGORITHMS.title_of(spec)
    try:
        found: Any = spec.cost(asked)
        number = float(found)
    except Exception as error:
        raise PluginError(
            f"the cost of {where} cannot be computed for {asked.bytes} bytes, {asked.size} ranks, "
            f"{asked.domains} domains: {described(error)}"
        ) from error
    if not math.isfinite(number):
        raise PluginError(
            f"the cost of {where} is {number} for {asked.bytes} bytes, {asked.size} ranks, "
            f"{asked.domains} domains; it must be a number of microseconds"
        )
    return number


def context_of(lines: Sequence[Line]) -> str:
    """Text for the plan's fingerprint; "" without plugins."""
    return "".join(f"plugin {json.dumps(_values(line))}\n" for line in _in_order(lines))


def _in_order(lines: Iterable[Line]) -> list[Line]:
    # Registries are in the order of names, so that of loading makes no difference.
    return sorted(lines, key=lambda line: line.plugin)


def _values(line: Line) -> list[Any]:
    return [line.plugin, line.distribution, dict(line.algorithms)]


# ---- as ranks tell each other, once a group could not agree


def as_text(lines: Sequence[Line], refused: Iterable[Refused] = ()) -> str:
    """Write it for other ranks; one that is too large keeps a digest of each plugin's algorithms,
    or of all plugins.
    """
    why = {each.candidate.name: each.reason[:_REASON] for each in refused}
    short = [Line(n.plugin, n.distribution, (("", _hash(context_of([n]))),)) for n in lines]
    whole = [Line("all plugins", "", (("", _hash(context_of(lines))),))]
    for shown, reasons in ((lines, why), (short, why), (short, {}), (whole, {})):
        text = json.dumps([[_values(line) for line in _in_order(shown)], reasons])
        if len(text) <= LARGEST_BYTES:
            break
    return text


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Told:
    """A rank's manifest, as it was received."""

    distributions: Mapping[str, str]
    algorithms: Mapping[str, Mapping[str, str]]
    refused: Mapping[str, str]


def from_text(text: str) -> Told | None:
    """None if it is no manifest."""
    try:
        lines, refused = json.loads(text)
        return Told(
            {str(name): str(of) for name, of, _ in lines},
            {str(n): {str(k): str(d) for k, d in found.items()} for n, _, found in lines},
            {str(name): str(reason) for name, reason in refused.items()},
        )
    except (TypeError, AttributeError, ValueError, RecursionError):
        return None


def difference(told: Mapping[int, Told]) -> str:
    """Return a sentence on the first plugin that ranks do not have alike, or ""."""
    for name in sorted({name for each in told.values() for name in each.distributions}):
        have = {rank for rank, each in told.items() if name in each.distributions}
        lack = sorted(told.keys() - have)
        if lack:
            reasons = {told[rank].refused.get(name, "") for rank in lack} - {""}
            why = f" ({_ranks(lack)} left it out: it {min(reasons)})" if reasons else ""
            of = _shown(name, told[min(have)].distributions[name])
            return f"plugin {of} is on {_ranks(have)} and not on {_ranks(lack)}{why}"
        found = _different(name, told)
        if found:
            return found
    return ""


def _different(name: str, told: Mapping[int, Told]) -> str:
    versions = {rank: each.distributions[name] for rank, each in told.items()}
    if len(set(versions.values())) > 1:
        return f"plugin {name!r} is " + " and ".join(
            f"{version or 'of no distribution'} on {_ranks(ranks)}"
            for version, ranks in _grouped(versions)
        )
    of = _shown(name, versions[min(versions)])
    for key in sorted({key for each in told.values() for key in each.algorithms[name]}):
        digests = {rank: each.algorithms[name].get(key, "") for rank, each in told.items()}
        if len(set(digests.values())) > 1:
            others = _grouped(digests)
            what = f"another program or cost of {key}" if key else "other algorithms"
            what = what if all(digest for digest, _ in others) else f"{key} on some ranks only:"
            return f"plugin {of} has {what} on " + " than on ".join(_ranks(r) for _, r in others)
    return ""


def _shown(name: str, distribution: str) -> str:
    return f"{name!r} ({distribution})" if distribution else repr(name)


def _grouped(values: Mapping[int, str]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for rank in sorted(values):
        found.setdefault(values[rank], []).append(rank)
    # The smaller part is the likelier culprit.
    return sorted(found.items(), key=lambda item: (len(item[1]), item[1]))


_NAMED = 8


def _ranks(ranks: Iterable[int]) -> str:
    every = sorted(ranks)
    shown = ", ".join(map(str, every[:_NAMED]))
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return f"rank{'s' if len(every) > 1 else ''} {shown}{more}"

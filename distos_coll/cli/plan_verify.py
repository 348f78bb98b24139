"""`distos-coll plan verify`: whether programs are right in a group that need not exist."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from distos_coll._vocabulary import Need
from distos_coll.cli.plan import domains_of
from distos_coll.errors import InvalidArgument, PlanError, shown
from distos_coll.planner.algo import collective_named, parse
from distos_coll.plugins.manager import Algorithm, Registry, default_registry
from distos_coll.program.verify import verify as verify_program


@dataclass(frozen=True)
class Finding:
    collective: str
    algorithm: str
    plugin: str
    right: bool | None
    """None: the group does not have what it needs."""
    text: str
    steps: int = 0


def verify(
    ranks: Annotated[int, typer.Option(min=1, max=1 << 14, help="Size of the group.")] = 8,
    domains: Annotated[
        str, typer.Option(help="Sets of ranks that share memory: a number, or sizes such as 3,5.")
    ] = "1",
    collective: Annotated[str, typer.Option(help="all_reduce, ... Else all.")] = "",
    algo: Annotated[
        str, typer.Option(help="Which algorithms, as in DISTOS_COLL_ALGO: ring,tree. Else all.")
    ] = "",
    deterministic: Annotated[
        bool, typer.Option(help="Demand that reductions keep the order of ranks.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run all ranks of each program on symbols and say what is wrong.

    Sends and receives that do not match, deadlock, reads of unwritten memory, contributions missing
    or counted twice, and more; plugins' programs as well as built-in ones. The exit code is 1 if
    one is wrong.
    """
    try:
        registry = default_registry()
        chosen = _chosen(registry, collective, algo)
        domain_of = domains_of(domains, ranks)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = []
    for algorithm in chosen:
        found.append(_verified(registry, algorithm, domain_of, deterministic))
        if not as_json:
            print(shown(_line(found[-1])), flush=True)
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    if any(each.right is False for each in found):
        raise typer.Exit(1)


def _chosen(registry: Registry, collective: str, algo: str) -> list[Algorithm]:
    wanted = collective_named(collective) if collective else None
    names = parse(algo, registry.names)
    found = []
    for algorithm in registry.algorithms:
        spec = algorithm.spec
        defined = {each.spec.name for each in registry.of(spec.collective)}
        own = names.of(spec.collective, defined)
        # A list for all leaves collectives alone that have none of it; here they are not asked for.
        told = own is None and names.default is not None
        if (
            wanted in {None, spec.collective}
            and not told
            and (own is None or own.allows(spec.name))
        ):
            found.append(algorithm)
    if not found:
        of = collective or "a collective"
        raise InvalidArgument(f"nothing to verify: no algorithm of {of} is named by {algo!r}")
    return found


def _verified(
    registry: Registry, algorithm: Algorithm, domain_of: tuple[int, ...], deterministic: bool
) -> Finding:
    spec = algorithm.spec
    about = (spec.collective.name.lower(), spec.key, algorithm.plugin)
    if Need.ONE_DOMAIN in spec.needs and max(domain_of) > 0:
        return Finding(*about, None, "needs all ranks in one domain")
    try:
        found = verify_program(
            registry.program(algorithm),
            len(domain_of),
            domain_of=domain_of,
            in_rank_order=deterministic,
        )
    except PlanError as error:
        return Finding(*about, False, str(error))
    text = f"{found.calls} calls, each in both extremes, {found.steps:,} steps"
    return Finding(*about, True, text, found.steps)


def _line(found: Finding) -> str:
    verdict = {True: "right", False: "WRONG", None: "not run"}[found.right]
    return f"{found.collective:<16} {found.algorithm:<22} {verdict:<8} {found.text}"

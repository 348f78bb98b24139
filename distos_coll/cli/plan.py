"""`distos-coll plan explain`: what would run, and why, for a group that need not exist."""

import json
from typing import Annotated

import typer
from rich.console import Console

from distos_coll import profiles, settings
from distos_coll.cli import choices
from distos_coll.errors import InvalidArgument
from distos_coll.planner import ClusterView, plan
from distos_coll.planner.algo import collective_named
from distos_coll.planner.profile import Profile
from distos_coll.settings_text import parse_bytes

app = typer.Typer(no_args_is_help=True, help="Plans, without running them.")


@app.callback()
def _group() -> None: ...


def domains_of(text: str, ranks: int) -> tuple[int, ...]:
    """Read "2" (that many, as equal as can be) or "3,5" (their sizes) into each rank's domain."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidArgument(
            f"expected a number such as 2, or sizes such as 3,5: {text}"
        ) from None
    if len(numbers) == 1:
        (count,) = numbers
        if not 1 <= count <= ranks:
            raise InvalidArgument(f"{ranks} ranks can be in 1 to {ranks} domains, not in {count}")
        return tuple(rank * count // ranks for rank in range(ranks))
    if min(numbers) < 1 or sum(numbers) != ranks:
        raise InvalidArgument(f"the sizes {text} do not add up to {ranks} ranks")
    return tuple(domain for domain, size in enumerate(numbers) for _ in range(size))


def hosts_of(text: str, domains: int, known: Profile) -> tuple[str, ...]:
    """Read "a,b,c", the host of each domain; of an empty text those whose links are known."""
    if not text:
        found = (links.hosts for links in known.links if len(links.hosts) == domains)
        return next(found, ())
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != domains:
        raise InvalidArgument(f"{domains} domains need as many hosts, not {text}")
    every = {name for links in known.links for name in links.hosts}
    strangers = [name for name in names if name not in every]
    if strangers:
        raise InvalidArgument(
            f"nothing is known of links of {', '.join(strangers)}: run distos-coll bench "
            "--calibrate in a job that spans these hosts, or set DISTOS_COLL_TOPO_FILE"
        )
    return names


@app.command()
def explain(
    ranks: Annotated[int, typer.Option(min=1, max=1 << 16, help="Size of the group.")] = 2,
    domains: Annotated[
        str, typer.Option(help="Sets of ranks that share memory: a number, or sizes such as 3,5.")
    ] = "1",
    collective: Annotated[str, typer.Option(help="all_reduce, broadcast, ...")] = "all_reduce",
    size: Annotated[
        str, typer.Option("--bytes", help="One size, with every candidate: 64K. Else all sizes.")
    ] = "",
    single_copy: Annotated[
        bool, typer.Option(help="Ranks of a domain can read each other's memory.")
    ] = True,
    cores: Annotated[
        int, typer.Option(min=0, help="Cores that the ranks of each domain share. 0: enough.")
    ] = 0,
    hosts: Annotated[
        str,
        typer.Option(
            help="The host of each domain, for links that differ: a,b,c. Unset: those whose links "
            "are known, if there are as many."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which algorithm runs at which size, and why not the others.

    DISTOS_COLL_ALGO, DISTOS_COLL_DETERMINISTIC and DISTOS_COLL_SLOT_BYTES apply as they would in a
    real group, and so does what `bench --calibrate` measured: then each candidate's measured time
    stands beside the predicted one. Links between hosts are those of the profile, or what
    DISTOS_COLL_TOPO_FILE says of them.
    """
    current = settings.load()
    try:
        wanted = collective_named(collective)
        domain_of = domains_of(domains, ranks)
        count = parse_bytes(size) if size else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    known = profiles.in_effect(current)
    domain_count = max(domain_of) + 1
    view = ClusterView(
        ranks,
        domain_of,
        (single_copy and current.single_copy,) * domain_count,
        (cores,) * domain_count if cores else (),
        current.slot_bytes,
        known,
        hosts_of(hosts, domain_count, known),
    )
    table = plan(view, current.algo, deterministic=current.deterministic, collectives=[wanted])
    if count is not None:
        explanation = table.explain(wanted, count)
        print(json.dumps([explanation.as_dict()], indent=2) if as_json else explanation)
        return
    found = choices.rows(table, wanted)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for line in view.layout.lines:
            Console().print(line, markup=False, highlight=False, soft_wrap=True)
        choices.show(Console(), found)

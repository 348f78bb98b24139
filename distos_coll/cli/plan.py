"""`distos-coll plan explain`: what would run, and why, for a group that need not exist."""

import json

import typer
from rich.console import Console

from distos_coll import profiles, settings
from distos_coll._vocabulary import Collective
from distos_coll.cli import choices, cross_over_plot, pictures, plan_options, plan_topology
from distos_coll.cli.plan_topology import Question
from distos_coll.errors import InvalidArgument
from distos_coll.layout.policy import CrossNic
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
    context: typer.Context,
    file: plan_options.File = None,
    ranks: plan_options.Ranks = 2,
    domains: plan_options.Domains = "1",
    collective: plan_options.OfCollective = "all_reduce",
    size: plan_options.Bytes = "",
    single_copy: plan_options.SingleCopy = True,
    cores: plan_options.Cores = 0,
    hosts: plan_options.Hosts = "",
    copies: plan_options.Copies = 1,
    rack: plan_options.Rack = False,
    nodes: plan_options.Nodes = None,
    ranks_per_host: plan_options.RanksPerHost = None,
    gpus: plan_options.Gpus = "",
    model: plan_options.Model = "",
    capability: plan_options.Capability = None,
    cross_nic: plan_options.CrossNicPolicy = 2,
    picture: plan_options.Picture = None,
    plot: plan_options.Plot = None,
    as_json: plan_options.Json = False,
) -> None:
    """Say which algorithm runs at which size, and why not the others; of a FILE also how rings and
    trees pass its devices and ports, and what limits them.

    DISTOS_COLL_ALGO, DISTOS_COLL_DETERMINISTIC and DISTOS_COLL_SLOT_BYTES apply as they would in a
    real group, and so does what `bench --calibrate` measured: then each candidate's measured time
    stands beside the predicted one. Links between hosts are those of the profile, or what
    DISTOS_COLL_TOPO_FILE says of them.
    """
    plan_options.refuse_the_other_kind(context, with_file=file is not None)
    try:
        wanted = collective_named(collective)
        count = parse_bytes(size) if size else None
        domain_of = domains_of(domains, ranks)
        chosen = plan_options.numbers(gpus)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if file is None:
        view = _view(domain_of, single_copy, cores, hosts)
        _explain_group(wanted, count, view, as_json)
        return
    cross_over_plot.check(plot)
    pictures.check(picture, "--picture")
    question = Question(
        file,
        wanted,
        count,
        copies=copies,
        rack=rack,
        nodes=nodes,
        ranks_per_host=ranks_per_host,
        gpus=chosen,
        model=model or None,
        capability=capability,
        cross_nic=CrossNic(cross_nic),
    )
    answer = plan_topology.ask(question)
    plan_topology.draw(answer, picture, plot)
    plan_topology.show(answer, as_json=as_json)


def _view(domain_of: tuple[int, ...], single_copy: bool, cores: int, hosts: str) -> ClusterView:
    current = settings.load()
    known = profiles.in_effect(current)
    count = max(domain_of) + 1
    return ClusterView(
        len(domain_of),
        domain_of,
        (single_copy and current.single_copy,) * count,
        (cores,) * count if cores else (),
        current.slot_bytes,
        known,
        hosts_of(hosts, count, known),
    )


def _explain_group(wanted: Collective, count: int | None, view: ClusterView, as_json: bool) -> None:
    current = settings.load()
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

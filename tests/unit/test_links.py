"""Links between hosts: their classes, whose they are, and how a profile carries them."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distos_coll.errors import InvalidArgument
from distos_coll.planner import ClusterView, Profile
from distos_coll.planner.links import LinkClass, Links, classed
from distos_coll.planner.network_links import links_of
from distos_coll.planner.profile_text import as_dict, from_dict
from distos_coll.plugins.costs import LinkCost
from distos_coll.testing import fabrics
from distos_coll.topology.fabric import Adapter, Cable, End, EndKind, Fabric, Switch
from distos_coll.topology.model import Topology

SLOW = LinkClass(100.0, 0.01)
FAST = LinkClass(100.0, 0.1)


def mesh(n: int, slow: set[tuple[int, int]], **more: object) -> Links:
    def of_pair(a: int, b: int) -> LinkClass:
        return SLOW if (min(a, b), max(a, b)) in slow else FAST

    return classed([f"h{i}" for i in range(n)], of_pair, "a test", **more)  # type: ignore[arg-type]


def test_figures_that_are_nearly_equal_are_one_class() -> None:
    figures = {
        (0, 1): 0.100,
        (1, 0): 0.101,
        (0, 2): 0.099,
        (2, 0): 0.1,
        (1, 2): 0.05,
        (2, 1): 0.051,
    }
    links = classed("abc", lambda a, b: LinkClass(30.0 + a, figures[a, b]), "a test")
    assert links.classes == (LinkClass(31.0, 0.1), LinkClass(31.0, 0.0505))
    assert [list(row) for row in links.rows] == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_a_group_takes_the_links_of_its_hosts_by_name() -> None:
    links = mesh(4, {(0, 1)}, ports=[0.3, 0.2, 0.1, None])
    part = links.among(["h3", "h1", "h0"])
    assert part is not None
    assert part.hosts == ("h3", "h1", "h0")
    assert part.ports == (None, 0.2, 0.3)
    assert [part.classes[k] for k in part.rows[1]] == [FAST, FAST, SLOW]
    assert links.among(["h0", "stranger"]) is None
    assert links.among(["h0", "h0"]) is None
    assert links.among(links.hosts) is links


def test_the_first_links_that_know_all_hosts_hold() -> None:
    measured, told = mesh(2, set()), mesh(3, {(0, 1)})
    profile = Profile(links=(measured, told))

    def links(*hosts: str) -> Links | None:
        return ClusterView(len(hosts), tuple(range(len(hosts))), profile=profile, hosts=hosts).links

    assert links("h1", "h0") == measured.among(["h1", "h0"])
    assert links("h2", "h1", "h0") == told.among(["h2", "h1", "h0"])
    assert links("h0", "stranger") is None
    assert ClusterView(2, (0, 1), profile=profile).links is None
    assert ClusterView(2, (0, 0), profile=profile, hosts=("h0",)).links is None


def test_what_was_measured_over_other_links_is_not_taken() -> None:
    one = ClusterView(2, (0, 1), profile=Profile(links=(mesh(2, set()),)), hosts=("h0", "h1"))
    other = replace(one, profile=Profile(links=(mesh(2, {(0, 1)}),)))
    none = replace(one, hosts=())
    shapes = {view.measured.shape for view in (one, other, none)}
    assert len(shapes) == 3
    assert none.measured.shape.links == ""


def test_a_rate_on_a_wire_is_no_more_than_messages_get() -> None:
    tcp = LinkCost(25.0, 2.5)
    assert mesh(2, set()).costs(tcp) == (LinkCost(100.0, 0.1),)
    wire = replace(mesh(2, set()), classes=(LinkClass(None, 50.0),), measured=False)
    assert wire.costs(tcp) == (LinkCost(25.0, 2.5),)
    assert replace(wire, classes=(LinkClass(None, None),)).costs(tcp) == (tcp,)


@given(
    rates=st.lists(st.floats(1e-3, 1e2), min_size=12, max_size=12),
    us=st.lists(st.floats(1, 1e4), min_size=12, max_size=12),
)
def test_a_class_is_near_its_links_and_a_profile_carries_them(
    rates: list[float], us: list[float]
) -> None:
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    figures = {p: LinkClass(u, r) for p, u, r in zip(pairs, us, rates, strict=True)}
    links = classed("abcd", lambda a, b: figures[a, b], "a test", ports=rates[:4])
    for (a, b), figure in figures.items():
        found = links.classes[links.rows[a][b]]
        assert found.gbps == pytest.approx(figure.gbps, rel=0.16)
        assert found.us == pytest.approx(figure.us, rel=0.51)
    carried = from_dict(json.loads(json.dumps(as_dict(Profile(links=(links,))))))
    assert carried.links == (links,)
    assert carried.links[0].digest == links.digest


BAD: list[tuple[str, Callable[[dict[str, object]], object], str]] = [
    ("rows", lambda _: ["0001"], "need a table of 2 rows"),
    ("rows", lambda _: ["0002", "0200"], "numbers beyond 2 classes"),
    ("rows", lambda _: ["00zz", "0100"], "non-hexadecimal"),
    ("rows", lambda _: "0001", "is no list"),
    ("hosts", lambda _: ["a", "a"], "two have one name"),
    ("hosts", lambda _: ["a", "b\x1b[31m"], "no text of a line"),
    ("classes", lambda _: [{"us": 1, "gbps": 0}], "gbps is 0"),
    ("classes", lambda _: [], "beyond 0 classes"),
    ("ports", lambda _: [1.0], "with 1 ports"),
    ("measured", lambda _: 1, "neither true nor false"),
    ("source", lambda _: 7, "no text of a line"),
]


@pytest.mark.parametrize(("name", "value", "why"), BAD, ids=[f"{n}-{w}" for n, _, w in BAD])
def test_links_in_a_damaged_profile(
    name: str, value: Callable[[dict[str, object]], object], why: str
) -> None:
    links = Links(("a", "b"), (FAST, SLOW), (b"\0\1", b"\1\0"), "a test")
    text = as_dict(Profile(links=(links,)))
    text["links"][0][name] = value(text)
    with pytest.raises(ValueError, match=why):
        from_dict(text)


def test_links_of_nobody_in_a_damaged_profile() -> None:
    text = as_dict(Profile(links=(Links(("a",), (FAST,), (b"\0",), "a test"),)))
    text["links"][0].update(hosts=[], rows=[])
    with pytest.raises(ValueError, match="between no hosts"):
        from_dict(text)


# ---- what a topology says


def cable(a: tuple[EndKind, str], b: tuple[EndKind, str], mbps: int | None) -> Cable:
    return Cable(End(*a), End(*b), mbps=mbps)


HOST, SWITCH, ADAPTER = EndKind.HOST, EndKind.SWITCH, EndKind.ADAPTER


def network(*cables: Cable, adapters: tuple[Adapter, ...] = ()) -> Topology:
    names = {end.id for each in cables for end in (each.a, each.b) if end.kind is SWITCH}
    switches = tuple(Switch(name) for name in sorted(names))
    return Topology(fabric=Fabric(switches, adapters, cables))


def rates(topology: Topology) -> dict[str, float | None] | None:
    links = links_of(topology, "a test")
    if links is None:
        return None
    names = links.hosts
    return {
        a + b: links.classes[links.rows[i][j]].gbps
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    }


def test_the_widest_way_through_switches_counts() -> None:
    found = network(
        cable((HOST, "a"), (SWITCH, "s"), 8000),
        cable((HOST, "b"), (SWITCH, "s"), 80_000),
        cable((HOST, "c"), (SWITCH, "t"), 80_000),
        # Two cables count together; the third way is narrower.
        cable((SWITCH, "s"), (SWITCH, "t"), 16_000),
        cable((SWITCH, "t"), (SWITCH, "s"), 16_000),
        cable((SWITCH, "s"), (SWITCH, "u"), 8000),
        cable((SWITCH, "u"), (SWITCH, "t"), 8000),
    )
    assert rates(found) == {"ab": 1.0, "ac": 1.0, "bc": 4.0}


def test_a_host_is_no_way_for_others() -> None:
    found = network(
        cable((HOST, "a"), (SWITCH, "s"), 8000),
        cable((HOST, "b"), (SWITCH, "s"), 8000),
        cable((HOST, "b"), (SWITCH, "t"), 16_000),
        cable((HOST, "c"), (SWITCH, "t"), 16_000),
        cable((HOST, "a"), (HOST, "d"), 24_000),
    )
    assert rates(found) == {"ab": 1.0, "ac": None, "ad": 3.0, "bc": 2.0, "bd": None, "cd": None}


def test_adapters_are_their_hosts_and_rates_have_names() -> None:
    adapters = (Adapter("g1", host="a"), Adapter("g2", host="b"), Adapter("g3"))
    cables = [
        Cable(End(ADAPTER, guid), End(SWITCH, "s"), width=4, rate="EDR")
        for guid in ("g1", "g2", "g3")
    ]
    assert rates(network(*cables, adapters=adapters)) == {"ab": 12.5}


def test_cables_without_rates_say_nothing() -> None:
    found = network(
        cable((HOST, "a"), (SWITCH, "s"), None), cable((HOST, "b"), (SWITCH, "s"), None)
    )
    assert rates(found) is None
    assert rates(Topology()) is None


def test_a_fat_tree_of_equal_cables_has_one_kind_of_link() -> None:
    links = links_of(Topology(fabric=fabrics.fat_tree(4).fabric()), "a test")
    assert links is not None
    assert links.classes == (LinkClass(None, 1.25),)
    assert len(links.hosts) > 4


def test_more_kinds_than_a_table_can_have() -> None:
    with pytest.raises(InvalidArgument, match="more than 255"):
        classed([f"h{i}" for i in range(24)], lambda a, b: LinkClass(None, 1.2 ** (a * 24 + b)), "")

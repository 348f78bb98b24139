"""Slurm's topology.conf and topology.yaml, topograph's models, and lists of hosts."""

import tracemalloc

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import mutated, read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology.fabric import Block, End, EndKind
from distos_coll.topology.hostlist import TooManyHosts, expand
from distos_coll.topology.reading import Reading
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary

TREE = """# a tree
SwitchName=root Switches=s[0-1] LinkSpeed=100 # the top
switchname=s0 nodes=n[00-03,07]
SwitchName=s1 \\
  Nodes=x1,x2y[1-2]z
"""
BLOCKS = """BlockName=b1 Nodes=n[1-4]
BlockName=b2 Nodes=n[5-8]
BlockSizes=4,8
"""
YAML = """---
- topology: first
  tree:
    switches:
      - switch: root
        children: s[1-2]
      - {switch: s1, nodes: "n[01-02]"}
      - switch: s2
        nodes: n[03-04]
- topology: second
  cluster_default: true
  block:
    block_sizes: [4, 16]
    blocks:
      - block: b1
        nodes: m[1-4]
- topology: third
  flat: true
- topology: fourth
  ring:
    rings: [{ring: r0, nodes: "r[1-8]"}]
- topology: fifth
  torus3d:
    toruses:
      - name: pod
        dims: {x: 2, y: 2, z: 2}
        nodes: t[1-8]
"""
MODEL = """switches:
  core:
    labels: {zone: z1}
    switches: [leaf-1, leaf-2]
  spare:
blocks:
- switch: leaf-1
  nodes: ["a[1-2]", a7]
  annotations:
    accelerator.topology.test/domain: nvl-1
    accelerator.topology.test/sub-domain: rack-1
- switch: leaf-2
  nodes: ["b[1-2]"]
  annotations: {accelerator.topology.test/domain: nvl-1, other: 1}
- nodes: [cpu1]
"""
OLDER = """switches:
- {name: top, metadata: {zone: z1}, switches: [s1, s2]}
- {name: s1, capacity_blocks: [cb1]}
- {name: s2, capacity_blocks: [cb2, cb3]}
capacity_blocks:
- {name: cb1, type: GB200, nvlink: nvl1, nodes: [a1, a2]}
- {name: cb2, nodes: [b1]}
- {name: cb3, nvlink: nvl1, nodes: [c1]}
"""


def codes(reading: Reading) -> list[str]:
    return [finding.code for finding in reading.warnings]


def below(reading: Reading) -> dict[str, list[str]]:
    """Switches and hosts by the switch that they hang under."""
    found: dict[str, list[str]] = {}
    for cable in topology_of(reading).fabric.cables:
        found.setdefault(cable.b.id, []).append(cable.a.id)
    return found


def test_a_tree() -> None:
    reading = read_text(TREE)
    content = topology_of(reading)
    assert below(reading) == {
        "root": ["s0", "s1"],
        "s0": ["n00", "n01", "n02", "n03", "n07"],
        "s1": ["x1", "x2y1z", "x2y2z"],
    }
    assert {switch.id: switch.level for switch in content.fabric.switches} == (
        {"root": 2, "s0": 1, "s1": 1}
    )
    assert content.fabric.switches[0].extra == (("slurm:LinkSpeed", "100"),)
    assert content.fabric.cables[-1].a == End(EndKind.HOST, "x2y2z")
    found = summary(reading)
    assert (found["format"], found["hosts"], found["switches"]) == ("slurm-topology", 8, 3)
    assert (found["leaves"], found["roots"], found["depth"]) == (2, ["root"], 2)
    assert (found["fabric"]["kind"], found["hcas"], found["warnings"]) == ("tree", None, [])


def test_blocks() -> None:
    reading = read_text(BLOCKS)
    content = topology_of(reading)
    assert content.blocks == tuple(
        Block(f"b{b + 1}", tuple(f"n{b * 4 + i}" for i in range(1, 5)), sizes=(4, 8))
        for b in (0, 1)
    )
    found = summary(reading)
    assert (found["hosts"], found["switches"], found["block_sizes"]) == (8, None, [4, 8])
    assert found["blocks"][0] == {"name": "b1", "kind": "block", "hosts": 4}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (TREE + "SwitchName=s0 Nodes=q1\n", "switch-twice", 6),
        (TREE + "SwitchName=up Switches=none\n", "switch-unknown", 6),
        (TREE + "SwitchName=up Switches=s0\n", "two-parents", 6),
        (TREE + "SwitchName=up Nodes=n00\n", "two-parents", 6),
        (TREE + "SwitchName=a Switches=b\nSwitchName=b Switches=a\n", "switch-loop", 6),
        (TREE + "SwitchName=up Nodes=q Fast=yes\n", "key-unknown", 6),
        (BLOCKS + "BlockName=b3 Nodes=q,q\n", "host-twice", 4),
    ],
)
def test_contradictions(text: str, code: str, line: int) -> None:
    reading = read_text(text)
    assert code in codes(reading)
    found = next(finding for finding in reading.warnings if finding.code == code)
    assert found.where == f"a.xml:{line}"


def test_levels_of_a_loop_are_unknown() -> None:
    text = TREE + "SwitchName=a Switches=b,s0\nSwitchName=b Switches=a\n"
    levels = {s.id: s.level for s in topology_of(read_text(text)).fabric.switches}
    assert (levels["a"], levels["b"], levels["s0"]) == (None, None, 1)


def test_several_topologies_in_one_file() -> None:
    reading = read_text(YAML)
    content = topology_of(reading)
    assert content.blocks == (Block("b1", ("m1", "m2", "m3", "m4"), sizes=(4, 16)),)
    found = summary(reading)
    assert (found["format"], found["hosts"], found["topology"]) == (
        "slurm-topology-yaml",
        4,
        "second",
    )
    kinds = {each["name"]: (each["kind"], each["hosts"]) for each in found["topologies"]}
    assert kinds == {
        "first": ("tree", 4),
        "second": ("block", 4),
        "third": ("flat", 0),
        "fourth": ("ring", 8),
        "fifth": ("torus3d", 8),
    }
    assert found["warnings"] == []


def test_the_first_topology_where_none_is_the_default() -> None:
    reading = read_text(YAML.replace("cluster_default: true", "cluster_default: false"))
    assert summary(reading)["topology"] == "first"
    assert below(reading) == {"root": ["s1", "s2"], "s1": ["n01", "n02"], "s2": ["n03", "n04"]}


def test_contradictions_of_a_yaml_file() -> None:
    text = YAML.replace("{x: 2, y: 2, z: 2}", "{x: 2, y: 2, z: 3}")
    reading = read_text(
        text.replace("- topology: third\n", "- topology: third\n  cluster_default: True\n")
    )
    assert codes(reading) == ["default-twice", "torus-size"]
    assert reading.warnings[1].message == "pod of 2 x 2 x 3 has 8 hosts"


def test_a_model() -> None:
    reading = read_text(MODEL)
    content = topology_of(reading)
    assert below(reading) == {
        "core": ["leaf-1", "leaf-2"],
        "leaf-1": ["a1", "a2", "a7"],
        "leaf-2": ["b1", "b2"],
    }
    assert content.fabric.switches[0].extra == (("topograph:zone", "z1"),)
    assert content.blocks == (
        Block("nvl-1", ("a1", "a2", "a7", "b1", "b2"), "accelerator"),
        Block("rack-1", ("a1", "a2", "a7"), "accelerator-part"),
    )
    found = summary(reading)
    assert (found["format"], found["hosts"], found["switches"]) == ("topograph-model", 6, 4)
    assert found["warnings"] == []


def test_an_older_model() -> None:
    reading = read_text(OLDER)
    assert below(reading) == {"top": ["s1", "s2"], "s1": ["a1", "a2"], "s2": ["b1", "c1"]}
    assert topology_of(reading).blocks == (Block("nvl1", ("a1", "a2", "c1"), "accelerator"),)


def test_ten_thousand_hosts() -> None:
    lines = [f"SwitchName=leaf{i} Nodes=n[{i * 20}-{i * 20 + 19}]" for i in range(500)]
    text = "\n".join(["SwitchName=root Switches=leaf[0-499]", *lines])
    found = summary(read_text(text))
    assert (found["hosts"], found["switches"], found["depth"]) == (10_000, 501, 2)


def test_refusals() -> None:
    for text, row in (
        ("SwitchName=a Nodes=n[1-", "hosts-brackets"),
        ("SwitchName=a Nodes=n]1[", "hosts-brackets"),
        ("SwitchName=a Nodes=n1,,n2", "hosts-empty"),
        ("SwitchName=a Nodes=n[1-x]", "hosts-range"),
        ("SwitchName=a Nodes=n[4-1]", "hosts-backwards"),
        ("SwitchName=a Nodes=n[1-999999999]", "hosts-total"),
        ("SwitchName=a Nodes=n[1-999][1-999]", "hosts-total"),
        ("SwitchName=a[1-2000] Nodes=n[1-2000]", "hosts-total"),
        ("SwitchName=a Nodes=n" + "[1-2]" * 5, "hosts-nested"),
        ("SwitchName=a Nodes=" + "n" * 300, "hosts-long"),
        ("SwitchName=a Nodes", "slurm-field"),
        ("BlockName=a Nodes=n1\nBlockSizes=4,x", "slurm-sizes"),
        ("#\nBlockName", "topology-unknown"),
        ("BlockSizes=1 # BlockName=x", "topology-unknown"),
    ):
        with raises(row, "a.xml"):
            read_text(text)
    with raises("slurm-empty", "a.xml: "):
        next(s for s in default_sources() if s.name == "slurm-topology").parse(
            Document("a.xml", b"#")
        )


@pytest.mark.parametrize(
    ("old", "new", "row"),
    [
        ("  flat: true", "  flt: true\n  #flat:", "slurm-yaml-kind"),
        ("{x: 2,", "{x: two,", "data-whole"),
        ("{x: 2, y: 2, z: 2}", "{x: 2, y: 2}", "data-missing"),
        ("block_sizes: [4, 16]", "block_sizes: {4: 16}", "data-list"),
        ("{x: 2, y: 2, z: 2}", "[2, 2, 2]", "data-mapping"),
        ("nodes: m[1-4]", "nodes: [m1]", "data-text"),
        ("nodes: m[1-4]", "nodes: m[1-", "hosts-brackets"),
        ("nodes: m[1-4]", "nodes: &m m1", "yaml-aliases"),
        ("nodes: m[1-4]", "nodes: *m", "yaml-aliases"),
        ("nodes: m[1-4]", "nodes: 'm", "yaml-broken"),
        ("nodes: m[1-4]", "[nodes]: m1", "yaml-name"),
        ("nodes: m[1-4]", "block: m1", "yaml-twice"),
        ("nodes: m[1-4]", "nodes: " + "[" * 80 + "]" * 80, "yaml-depth"),
        ("nodes: m[1-4]", "nodes: [" + "a," * 400_001 + "]", "yaml-values"),
    ],
)
def test_refusals_of_yaml(old: str, new: str, row: str) -> None:
    assert old in YAML
    with raises(row, r"^a.xml:\d+: "):
        read_text(YAML.replace(old, new))


def test_yaml_without_a_topology() -> None:
    source = {source.name: source for source in default_sources()}
    with raises("slurm-yaml-empty"):
        source["slurm-topology-yaml"].parse(Document("a", b"# nothing"))
    with raises("topograph-empty"):
        read_text("switches:\nblocks: []\n")
    with raises("yaml-broken"):
        read_text(b"switches:\n- \xff\xfe\x00\n")


def test_lists_of_hosts() -> None:
    assert expand("n[08-11,2]") == ["n08", "n09", "n10", "n11", "n2"]
    assert expand("a[1-2]-b[3,4], c") == ["a1-b3", "a1-b4", "a2-b3", "a2-b4", "c"]
    assert expand("n[0099-0101]") == ["n0099", "n0100", "n0101"]


def test_long_names_are_not_made() -> None:
    """A quarter of a million of 4,000 letters are a gigabyte."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 255 characters"):
            expand("n[1-262144]" + "a" * 4000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 20


def test_thousands_of_switches_below_one() -> None:
    facts = summary(read_text("SwitchName=root Switches=s[1-20000]\nSwitchName=s1 Nodes=n1"))
    assert facts["switches"] == 20_001
    assert facts["fabric"]["kind"] == "tree"


def test_too_many_hosts_are_not_made() -> None:
    for text in ("n[1-999999999999]", "n[1-9][1-9][1-9]", ",".join("n" * 101)):
        with pytest.raises(TooManyHosts, match="more than"):
            expand(text, 100)


@given(
    st.text(st.sampled_from("n[]-,0129 "), max_size=30),
    st.integers(0, 50),
)
def test_any_list_of_hosts_is_bounded(text: str, most: int) -> None:
    try:
        found = expand(text, most)
    except ValueError:
        return
    assert 0 < len(found) <= most
    assert all(found)


@pytest.mark.parametrize("name", ["slurm-topology", "slurm-topology-yaml", "topograph-model"])
@given(data=st.one_of(*(mutated(text.encode()) for text in (TREE, BLOCKS, YAML, MODEL, OLDER))))
def test_a_damaged_file_is_read_or_refused(name: str, data: bytes) -> None:
    source = next(source for source in default_sources() if source.name == name)
    try:
        found = source.parse(Document("a", data))
    except TopologyError:
        return
    summary(Reading(name, "a", found, ()))

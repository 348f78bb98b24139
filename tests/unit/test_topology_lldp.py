"""LLDP's JSON in its spellings, and NetQ's graph."""

import json
from typing import Any

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN, mutated, read_own, read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology.fabric import End, EndKind, Fabric
from distos_coll.topology.reading import Reading
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary

FILE = "lldp-fabric.json"
BRIDGE = [{"type": "Bridge", "enabled": True}]


def read_json(value: object) -> Reading:
    return read_text(json.dumps(value))


def cabled(fabric: Fabric) -> set[tuple[End, End, bool]]:
    return {(cable.a, cable.b, cable.seen_by_both) for cable in fabric.cables}


def codes(reading: Reading) -> list[str]:
    return [finding.code for finding in reading.warnings]


def at(port: str, chassis: object, far: object) -> dict[str, Any]:
    return {port: {"via": "LLDP", "rid": "1", "chassis": chassis, "port": far}}


def switch(name: str | None = None, id_: str = "02:00:00:00:00:01") -> dict[str, Any]:
    own: dict[str, Any] = {"id": {"type": "mac", "value": id_}, "capability": BRIDGE}
    return own if name is None else {name: own}


def ifname(name: str) -> dict[str, Any]:
    return {"id": {"type": "ifname", "value": name}}


def test_a_fabric_of_reports() -> None:
    reading = read_own(FILE)
    content = topology_of(reading)
    switches = {switch.id: switch for switch in content.fabric.switches}
    assert list(switches) == ["leaf1", "spine1.example.org"]
    assert dict(switches["spine1.example.org"].extra)["lldp:chassis"] == "mac 02:00:00:00:00:01"
    addresses = [text for name, text in switches["spine1.example.org"].extra if "address" in name]
    assert addresses == ["10.0.0.1", "fe80::1"]
    assert [host.name for host in content.hosts] == ["gpu1", "02:00:00:00:00:99"]
    leaf = [End(EndKind.SWITCH, "leaf1", f"swp{i}") for i in (1, 2, 3)]
    assert cabled(content.fabric) == {
        (leaf[0], End(EndKind.SWITCH, "spine1.example.org", "swp1"), True),
        (leaf[1], End(EndKind.HOST, "gpu1", "eth1"), True),
        (leaf[2], End(EndKind.HOST, "02:00:00:00:00:99", "7"), False),
    }
    assert codes(reading) == ["text-only"]
    assert reading.warnings[0].message.endswith("the reports of gpu2")


def test_facts() -> None:
    found = summary(read_own(FILE))
    assert (found["format"], found["hosts"], found["switches"], found["hcas"]) == (
        "lldp",
        2,
        2,
        None,
    )
    assert found["neighbour_names"] == [None, "gpu1", "leaf1", "spine1.example.org"]
    assert found["port_id_types"] == {"ifname": 3, "mac": 1, "local": 1}
    assert (found["reports"], found["neighbours"], found["confirmed_cables"]) == (3, 5, 2)
    assert found["text_only"] == ["gpu2"]
    assert found["fabric"]["kind"] == "tree"


def test_one_report_of_who_does_not_say() -> None:
    reading = read_json({"lldp": {"interface": at("swp1", switch("sw"), ifname("swp9"))}})
    fabric = topology_of(reading).fabric
    assert {each.id for each in fabric.switches} == {"local", "sw"}
    assert cabled(fabric) == (
        {(End(EndKind.SWITCH, "local", "swp1"), End(EndKind.SWITCH, "sw", "swp9"), False)}
    )
    assert codes(reading) == []


def test_no_neighbours() -> None:
    local = {"chassis": switch("sw")}
    for text in (
        {"lldp": {}, "lldp_loc_chassis": {"local-chassis": local}},
        {"local-chassis": local},
    ):
        found = summary(read_json(text))
        assert (found["switches"], found["hosts"], found["neighbours"]) == (1, 0, 0)
    assert summary(read_json({"lldp": {}}))["neighbours"] == 0


def test_chassis_and_neighbours_after_each_other() -> None:
    chassis = json.dumps({"local-chassis": {"chassis": switch("mine")}})
    heard = {"lldp": {"interface": at("swp1", switch("sw", "02:00:00:00:00:02"), ifname("swp9"))}}
    for text in (chassis + json.dumps(heard), json.dumps(heard) + "\n" + chassis):
        fabric = topology_of(read_text(text)).fabric
        assert {each.id for each in fabric.switches} == {"mine", "sw"}


def test_interfaces_tell_of_oneself() -> None:
    """`lldpcli show interfaces`."""
    own = {"eth0": {"status": "RX and TX", "chassis": switch("mine"), "port": ifname("eth0")}}
    found = summary(read_json({"lldp": {"interface": own}}))
    assert (found["switches"], found["neighbours"]) == (1, 0)


def test_servers_that_forward_are_hosts() -> None:
    """Containers make a server bridge and route; a switch is told by its ports first."""
    server = {"gpu1": {**switch(), "descr": "Ubuntu 24.04 LTS"}}
    reading = read_json({"lldp": {"interface": at("Ethernet4", server, ifname("eth2"))}})
    assert [host.name for host in topology_of(reading).hosts] == ["gpu1"]
    reading = read_json({"lldp": {"interface": at("Ethernet4", server, ifname("Ethernet0"))}})
    assert {each.id for each in topology_of(reading).fabric.switches} == {"local", "gpu1"}


def test_systems_of_one_name_and_names_of_one_system() -> None:
    interfaces = [
        at("swp1", switch("sonic", "02:00:00:00:00:01"), ifname("swp1")),
        at("swp2", switch("sonic", "02:00:00:00:00:02"), ifname("swp1")),
        at("swp3", switch("a", "02:00:00:00:00:03"), ifname("swp1")),
        at("swp4", switch("b", "02:00:00:00:00:03"), ifname("swp1")),
        at("swp5", switch(None, "02:00:00:00:00:03"), ifname("swp1")),
        at("swp6", switch(None, "02:00:00:00:00:04"), ifname("swp1")),
        at("swp7", switch("c", "02:00:00:00:00:05"), ifname("swp1")),
        at("swp8", switch(None, "02:00:00:00:00:05"), ifname("swp2")),
    ]
    reading = read_json({"lldp": {"interface": interfaces}})
    assert codes(reading) == ["name-twice", "chassis-id-twice"]
    assert {each.id for each in topology_of(reading).fabric.switches} == {
        "local",
        "sonic 02:00:00:00:00:01",
        "sonic 02:00:00:00:00:02",
        "a",
        "b",
        "02:00:00:00:00:03 (no name)",
        "02:00:00:00:00:04",
        "c",
    }


def test_who_is_not_heard_is_told_of() -> None:
    text = json.loads((OWN / FILE).read_text(encoding="utf-8"))
    text["hosts"]["gpu1"]["lldp"] = {}
    reading = read_json(text)
    assert codes(reading) == ["text-only", "cable-one-sided"]
    assert "port swp2 of leaf1 hears port eth1 of gpu1" in reading.warnings[1].message


def test_a_poller_records_texts() -> None:
    report = {"lldp": {"interface": at("swp1", switch("b", "02:00:00:00:00:02"), ifname("swp1"))}}
    records = [
        [{"cmd": "lldpctl", "hostname": "a", "data": json.dumps(report)}],
        [{"cmd": "lldpctl", "hostname": "b", "data": "LLDP neighbors:\n"}],
    ]
    reading = read_text("\n".join(map(json.dumps, records)))
    assert codes(reading) == ["text-only"]
    assert summary(reading)["neighbour_names"] == ["b"]


def test_two_reports_of_one_system_add_up() -> None:
    reports = [
        {
            "local-chassis": {"chassis": switch("a")},
            "lldp": {"interface": at(port, far, ifname("x"))},
        }
        for port, far in (("swp1", switch("b", "02::2")), ("swp2", switch("c", "02::3")))
    ]
    reading = read_json(reports)
    assert codes(reading) == ["report-twice"]
    assert len(topology_of(reading).fabric.cables) == 2


def test_refusals() -> None:
    with raises("json-broken", "a.xml:2: "):
        read_text('{"lldp":\n {"interface": ')
    with raises("json-broken"):
        read_text('{"lldp": ' + "1" * 5000 + "}")
    with raises("json-deep"):
        read_text('{"lldp":' + "[" * 100_000)
    with raises("json-many"):
        read_text('{"lldp": {}}' * 100_001)
    with raises("lldp-other", "text 2: "):
        read_text('{"lldp": {}} {"other": 1}')
    with raises("data-mapping", r"lldp\[0\]: "):
        read_text('{"lldp": [1]}')
    with raises("data-list", r"nodes: "):
        read_text('[{"nodes": {"compounded_nodes": 1}}]')
    with raises("data-text", r"lldp.interface\[0\].name: "):
        read_text('{"lldp": {"interface": [{"name": true}]}}')


NETQ = """[{"nodes": [{"compounded_nodes": [
 {"id": "a", "name": "leaf", "device_type": "switch", "tier": 1},
 {"id": "b", "name": "gpu1", "device_type": "discovered_via_lldp", "tier": -1},
 {"id": "c", "name": "gpu1", "device_type": "discovered_via_lldp", "tier": -1},
 {"id": "a", "name": "other", "device_type": "switch", "tier": 1}]}],
 "links": [
 {"compounded_links": [{"interfaces": [{"node": "a", "interface": "swp1"},
                                       {"node": "b", "interface": "eth0"}]}]},
 {"interfaces": [{"node": "a", "interface": "swp2"}, {"node": "z", "interface": "swp1"}]}]}]"""


def test_netq() -> None:
    reading = read_text(NETQ)
    content = topology_of(reading)
    assert [(s.id, s.name, s.level) for s in content.fabric.switches] == [("leaf", "leaf", 1)]
    assert [host.name for host in content.hosts] == ["gpu1", "gpu1 c"]
    assert cabled(content.fabric) == (
        {(End(EndKind.SWITCH, "leaf", "swp1"), End(EndKind.HOST, "gpu1", "eth0"), True)}
    )
    assert codes(reading) == ["host-twice", "node-twice", "end-unknown"]
    found = summary(reading)
    assert (found["format"], found["bundles"], found["node_groups"]) == ("netq", 2, 1)


def test_netq_switches_of_one_name() -> None:
    """Where a name does not tell them apart, the document's own ids do."""
    text = NETQ.replace(
        '"gpu1", "device_type": "discovered_via_lldp"', '"leaf", "device_type": "switch"', 1
    )
    found = topology_of(read_text(text)).fabric
    assert [(s.id, s.name) for s in found.switches] == [("leaf a", "leaf"), ("leaf b", "leaf")]


def test_netq_refusals() -> None:
    with raises("netq-ends", r"\[0\].links\[1\]: .* not 1"):
        read_text(NETQ.replace(', {"node": "z", "interface": "swp1"}', ""))
    with raises("data-missing", r"compounded_nodes\[0\]: it has no value for 'id'"):
        read_text(NETQ.replace('"id": "a", "name": "leaf"', '"name": "leaf"'))


@pytest.mark.parametrize("name", ["lldp", "netq"])
@given(data=st.one_of(mutated((OWN / FILE).read_bytes()), mutated(NETQ.encode())))
def test_a_damaged_file_is_read_or_refused(name: str, data: bytes) -> None:
    source = next(source for source in default_sources() if source.name == name)
    try:
        found = source.parse(Document("a", data))
    except TopologyError:
        return
    summary(Reading(name, "a", found, ()))


NAMES = """lldp interface chassis port id name value type via hosts nodes links compounded_nodes
compounded_links interfaces node capability enabled local-chassis hostname data mgmt-ip tier"""
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=25,
)


@pytest.mark.parametrize("name", ["lldp", "netq"])
@given(value=Json)
def test_any_json_is_read_or_refused(name: str, value: object) -> None:
    source = next(source for source in default_sources() if source.name == name)
    try:
        found = source.parse(Document("a", json.dumps(value).encode()))
    except TopologyError:
        return
    summary(Reading(name, "a", found, ()))

"""What Linux says of a machine: of fake ones in folders, of damaged ones, of this one."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from error_page import raises
from fake_machine import FakeMachine, server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from topologies import topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.sources import cpu_lists, file_tree, sysfs
from distos_coll.sources.file_tree import Directory
from distos_coll.sources.sysfs_files import Kernel, Layout, by_number
from distos_coll.topology.model import NOWHERE, Gpu, Host, Nic, Numa, NvSwitch, Pci, Port
from distos_coll.topology.reading import parse, read
from distos_coll.topology.report import pack
from distos_coll.topology.source import Document, Found
from distos_coll.topology.summary import summary


def codes(found: Found) -> set[str]:
    return {finding.code for finding in found.warnings}


def at(host: Host, bus_id: str) -> int:
    return next(
        i
        for i in host.template.pci
        if isinstance(node := host.template.nodes[i], Pci) and node.bus_id == bus_id
    )


def ports(host: Host) -> list[Port]:
    return [node for node in host.template.nodes if isinstance(node, Port)]


def test_a_server(tmp_path: Path) -> None:
    reading = server(tmp_path).read()
    facts = summary(reading)
    assert (
        facts.items()
        >= {
            "format": "sysfs",
            "hosts": 1,
            "numa_nodes": 2,
            "gpus": 2,
            "nics": 1,
            "net_ports": 1,
            "packages": 2,
            "cores": 4,
            "threads": 8,
            "pci_functions": 8,
            "pci_bridges": 2,
        }.items()
    )
    host = topology_of(reading).hosts[0]
    assert host.name == "node7"
    assert host.template.nodes[:2] == (
        Numa(NOWHERE, 0, 0x0F, "x86_64", "GenuineIntel", 6, 143, package=0),
        Numa(NOWHERE, 1, 0xF0, "x86_64", "GenuineIntel", 6, 143, package=1),
    )
    (latency,) = host.template.distances
    assert (latency.nodes, latency.values) == (("0", "1"), (10.0, 21.0, 21.0, 10.0))


def test_devices_hang_where_the_kernel_hangs_them(tmp_path: Path) -> None:
    host = server(tmp_path).host()
    template = host.template
    gpu, switch = at(host, "0000:02:00.0"), at(host, "0000:01:00.0")
    root = at(host, "0000:00:01.0")
    assert list(template.ancestors(gpu)) == [switch, root, 0]
    assert template.nodes[gpu] == Pci(
        switch, "0000:02:00.0", 0x030200, 0x10DE, 0x2330, transfers=32.0, width=16
    )
    assert template.nodes[root] == Pci(0, "0000:00:01.0", 0x060400, 0x15B3, 0x101B, transfers=16.0)
    assert template.nodes[template.children[gpu][0]] == Gpu(gpu, implied=True)
    nvswitch = at(host, "0000:80:02.0")
    assert template.nodes[template.children[nvswitch][0]] == NvSwitch("0000:80:02.0", nvswitch)
    assert template.numa_of(nvswitch) == 1
    # A disk is nobody's way to a GPU or an adapter.
    assert "0000:80:03.0" not in {template.nodes[i].bus_id for i in template.pci}  # type: ignore[union-attr]


def test_an_rdma_device_and_the_interface_beside_it(tmp_path: Path) -> None:
    reading = server(tmp_path).read()
    host = topology_of(reading).hosts[0]
    device, interface = ports(host)
    assert (device.name, device.kind, device.port, device.mbps) == ("mlx5_0", "net", 1, 400_000)
    assert (device.layer, device.state) == ("InfiniBand", "ACTIVE")
    assert (interface.name, interface.kind, interface.layer) == ("ib0", "netdev", "InfiniBand")
    nic = host.template.nodes[device.parent]
    assert nic == Nic(at(host, "0000:03:00.0"), extra=(("sysfs:hca_type", "MT4129"),))
    assert (host.ports[0].guid, host.ports[0].lid) == ("0c42:a103:00a5:0001", 31)
    assert host.ports[1].addresses == ("02:00:00:00:00:01",)
    # The link has 8 lanes and could have 16.
    (warning,) = reading.warnings
    assert warning.code == "fewer-lanes"
    assert "8 lanes; both its ends have 16" in str(warning)
    function = host.template.nodes[at(host, "0000:03:00.0")]
    assert isinstance(function, Pci)
    assert (function.width, function.os_names) == (8, ("ib0", "mlx5_0"))


def test_hosts_that_differ_in_names_and_addresses_are_alike(tmp_path: Path) -> None:
    one, other = server(tmp_path / "a"), server(tmp_path / "b")
    other.file("proc/sys/kernel/hostname", "node8")
    (other.root / other.functions["0000:03:00.0"] / "infiniband/mlx5_0/node_guid").write_text("1:2")
    assert one.host().template == other.host().template
    assert one.host() != other.host()


@pytest.mark.parametrize(("above", "below"), [(16.0, 32.0), (32.0, 16.0)])
def test_a_link_is_as_fast_as_both_its_ends(above: float, below: float, tmp_path: Path) -> None:
    machine = server(tmp_path)
    machine.function("0000:00:05.0", 0x060400, max_link_speed=f"{above} GT/s PCIe")
    machine.function("0000:05:00.0", 0x030200, "0000:00:05.0", max_link_speed=f"{below} GT/s PCIe")
    host = machine.host()
    function = host.template.nodes[at(host, "0000:05:00.0")]
    assert isinstance(function, Pci)
    assert function.transfers == 16.0


def test_two_ports_of_one_adapter(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.function("0000:01:00.0", 0x0C0600)
    machine.rdma("mlx4_0", "0000:01:00.0", ports=2, rate="56 Gb/sec (4X FDR)")
    facts = summary(machine.read())
    assert (facts["nics"], facts["net_ports"], facts["numa_nodes"]) == (1, 2, 0)
    assert [port.mbps for port in ports(machine.host())] == [56_000, 56_000]


def test_virtual_functions_count_where_their_whole_is_not_to_be_seen(tmp_path: Path) -> None:
    machine = server(tmp_path)
    part = machine.function("0000:03:00.1", 0x020000, "0000:01:00.0")
    machine.link(f"{part}/physfn", "../0000:03:00.0")
    idle = machine.function("0000:03:00.2", 0x020000, "0000:01:00.0")
    machine.link(f"{idle}/physfn", "../0000:03:00.0")
    machine.interface("ib0v0", "0000:03:00.1")
    assert summary(machine.read())["nics"] == 1
    for path in ("class/infiniband/mlx5_0", "class/net/ib0"):
        (tmp_path / "sys" / path).unlink()
    host = machine.host()
    assert [port.name for port in ports(host)] == ["ib0v0"]
    assert summary(machine.read())["nics"] == 2


def test_interfaces_without_hardware_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-1"])
    machine.interface("eth0")
    machine.interface("lo")
    host = machine.host()
    (port,) = ports(host)
    assert (port.name, port.virtual) == ("eth0", True)
    assert summary(machine.read())["nics"] == 0
    machine.function("0000:01:00.0", 0x020000)
    machine.interface("enp1s0", "0000:01:00.0", speed=25000)
    machine.folder(machine.interface("bond0") + "/bonding")
    assert {(port.name, port.virtual) for port in ports(machine.host())} == {
        ("enp1s0", False),
        ("bond0", True),
    }
    assert summary(machine.read())["net_ports"] == 1


def test_software_that_looks_like_rdma(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.function("0000:01:00.0", 0x020000)
    machine.interface("eth0", "0000:01:00.0", speed=10000)
    folder = machine.rdma("rxe_eth0", "0000:01:00.0")
    machine.file(f"{folder}/parent", "eth0\n")
    assert [(port.name, port.kind) for port in ports(machine.host())] == [("eth0", "net")]


def test_ports_that_stand_for_virtual_functions(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.function("0000:01:00.0", 0x020000)
    machine.interface("p0", "0000:01:00.0", phys_port_name="p0")
    machine.interface("pf0vf3", "0000:01:00.0", phys_port_name="pf0vf3")
    assert [port.name for port in ports(machine.host())] == ["p0"]


def test_an_adapter_on_usb_and_one_of_a_hypervisor(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-1"])
    machine.function("0000:00:14.0", 0x0C0330)
    usb = machine.functions["usb"] = machine.functions["0000:00:14.0"] + "/usb1/1-1/1-1:1.0"
    machine.folder(usb)
    machine.interface("enx1", "usb")
    machine.functions["vm"] = "sys/devices/LNXSYSTM:00/VMBUS:01/f8615163"
    machine.interface("eth0", "vm")
    facts = summary(machine.read())
    assert (facts["nics"], facts["net_ports"]) == (2, 2)
    assert all(
        machine.host().template.nodes[port.parent].parent == 0 for port in ports(machine.host())
    )


def test_what_nvidias_driver_says(tmp_path: Path) -> None:
    machine = server(tmp_path)
    machine.file(
        "proc/driver/nvidia/gpus/0000:02:00.0/information",
        "Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t GPU-1f2e\nDevice Minor: \t 3\n",
    )
    machine.file(
        "proc/driver/nvidia/gpus/0000:80:01.0/information", "Model: x\nGPU UUID: GPU-??-??\n"
    )
    host = machine.host()
    gpus = [host.template.nodes[i] for i in host.template.gpus]
    assert [gpu.name for gpu in gpus if isinstance(gpu, Gpu)] == ["NVIDIA H100 80GB HBM3", "x"]
    assert [own.uuid for own in host.gpus] == ["GPU-1f2e", None]
    assert gpus[0].extra == (("nvidia:minor_number", "3"),)


def test_numa_of_a_function_that_does_not_say(tmp_path: Path) -> None:
    """By its CPUs; else the only node there is; else none."""
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-3", "4-7"])
    machine.function("0000:01:00.0", 0x020000, numa_node=-1, local_cpulist="4-7")
    machine.function("0000:02:00.0", 0x020000, numa_node=-1, local_cpulist="0-7")
    host = machine.host()
    assert host.template.numa_of(at(host, "0000:01:00.0")) == 1
    assert host.template.numa_of(at(host, "0000:02:00.0")) == NOWHERE


def test_kernels_without_numa_and_cpus_that_are_off(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-3"])
    for path in sorted((tmp_path / "sys/devices/system/node").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    machine.file("sys/devices/system/cpu/online", "0,2-3\n")
    host = machine.host()
    assert host.template.nodes == (
        Numa(cpus=0b1101, arch="x86_64", vendor="GenuineIntel", family=6, model=143, package=0),
    )
    assert (host.template.threads, host.template.cores) == (3, 2)


@pytest.mark.parametrize("folder", ["", "dump/"])
def test_folders_that_hold_a_dump(folder: str, tmp_path: Path) -> None:
    server(tmp_path / folder)
    assert summary(read(tmp_path, default_sources()))["gpus"] == 2
    # A copy of /sys alone knows no names and no kind of CPU.
    found = summary(read(tmp_path / folder / "sys", default_sources()))
    assert (found["gpus"], found["nics"], found["numa_nodes"]) == (2, 1, 2)


def test_a_dump_of_infiniband_alone(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    for name in ("mlx5_0", "mlx5_10", "mlx5_9"):
        machine.file(f"{name}/ports/1/state", "1: DOWN\n")
        machine.file(f"{name}/ports/1/rate", "10 Gb/sec (4X)\n")
    assert [port.name for port in ports(machine.host())] == ["mlx5_0", "mlx5_9", "mlx5_10"]
    assert [port.state for port in ports(machine.host())] == ["DOWN"] * 3
    assert summary(machine.read())["nics"] == 3


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with raises("topology-unknown"):
        read(tmp_path, default_sources())
    with raises("sysfs-none"):
        sysfs.parse(Document("a", root=tmp_path))


def test_what_is_not_there_and_what_is_no_value(tmp_path: Path) -> None:
    machine = server(tmp_path)
    machine.link("sys/bus/pci/devices/0000:99:00.0", "../../../devices/pci0000:99/0000:99:00.0")
    (tmp_path / machine.functions["0000:80:01.0"] / "class").unlink()
    (tmp_path / machine.functions["0000:03:00.0"] / "infiniband/mlx5_0/ports/1/rate").write_text(
        "?"
    )
    machine.file("sys/devices/system/node/node1/cpulist", "4-x")
    machine.file("sys/devices/system/node/node0/distance", "10")
    machine.file(machine.functions["0000:02:00.0"] + "/vendor", "nvidia")
    reading = machine.read()
    messages = sorted(str(warning) for warning in reading.warnings)
    assert len(messages) == 7
    for part in (
        "sys/bus/pci/devices/0000:99:00.0: a PCI function is not there",
        "0000:80:01.0/class: is not there",
        "rate: '?' is no rate in Gb/sec",
        "node1/cpulist: '4-x' is no list of CPUs",
        "node0/distance: 1 distances, not numbers to 2 NUMA nodes",
        "0000:02:00.0/vendor: 'nvidia' is no number",
    ):
        assert any(part in message for message in messages), part
    assert summary(reading)["gpus"] == 1


class Failing(Directory):
    """A machine on which some files answer with an error."""

    answers: dict[str, int]

    def _read(self, path: str) -> bytes:
        name = path.rpartition("/")[2]
        if name in self.answers:
            raise OSError(self.answers[name], os.strerror(self.answers[name]))
        return super()._read(path)


def test_files_that_cannot_be_read_are_findings(tmp_path: Path) -> None:
    server(tmp_path)
    tree = Failing(tmp_path)
    tree.answers = {
        "vendor": errno.EACCES,
        "speed": errno.EINVAL,
        "rate": errno.ENODEV,
        "cpulist": errno.EIO,
    }
    sysfs._read(Kernel(tree, Layout("", "sys")))
    found = {(finding.code, finding.where.rpartition("/")[2]) for finding in tree.findings}
    assert found == {
        ("unreadable", "vendor"),
        ("unreadable", "cpulist"),
        ("vanished", "rate"),
        ("fewer-lanes", "0000:03:00.0"),
    }


def test_folders_that_vanish(tmp_path: Path) -> None:
    server(tmp_path)

    class Vanishing(Directory):
        def _names(self, path: str) -> list[str]:
            if path.endswith("class/net"):
                raise FileNotFoundError(errno.ENOENT, "gone")
            return super()._names(path)

    tree = Vanishing(tmp_path)
    sysfs._read(Kernel(tree, Layout("", "sys")))
    assert ("vanished", f"{tmp_path}/sys/class/net") in {(f.code, f.where) for f in tree.findings}


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    """Nor do they reach what lies beside the dump: it stays unread, whatever it says."""
    (tmp_path / "secret").write_text("0x030200\n")
    machine = server(tmp_path / "dump")
    gpu = tmp_path / "dump" / machine.functions["0000:02:00.0"]
    up = "../" * 7
    for target in (f"{up}secret", str(tmp_path / "secret")):
        (gpu / "class").unlink()
        (gpu / "class").symlink_to(target)
        assert summary(machine.read())["gpus"] == 1
    machine.link("sys/class/net/eth9", f"{up}{up}etc")
    reading = machine.read()
    assert "link-outside" in {finding.code for finding in reading.warnings}


def test_links_that_start_at_the_root_start_at_the_dumps(tmp_path: Path) -> None:
    machine = server(tmp_path / "dump")
    bus = tmp_path / "dump/sys/bus/pci/devices/0000:02:00.0"
    bus.unlink()
    bus.symlink_to("/" + machine.functions["0000:02:00.0"])
    assert summary(machine.read())["gpus"] == 2
    assert summary(read(tmp_path, default_sources()))["gpus"] == 2


def test_links_in_a_circle(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-1"])
    machine.link("sys/class/net/a", "b")
    machine.link("sys/class/net/b", "a")
    machine.link("sys/class/net/c", "c/c")
    assert "link-loop" in {finding.code for finding in machine.read().warnings}


def test_what_is_no_plain_file_is_not_opened(tmp_path: Path) -> None:
    machine = server(tmp_path)
    cpulist = tmp_path / "sys/devices/system/node/node0/cpulist"
    cpulist.unlink()
    os.mkfifo(cpulist)
    host = machine.host()
    assert isinstance(host.template.nodes[0], Numa)
    assert host.template.nodes[0].cpus is None


def test_names_that_are_no_text(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.function("0000:01:00.0", 0x020000)
    over = machine.functions["0000:01:00.0"]
    name = os.fsdecode(b"eth\xff")
    machine.file(f"{over}/net/x/operstate", "up")
    machine.link(f"sys/class/net/{name}", "../../" + f"{over}/net/x".removeprefix("sys/"))
    assert [port.name for port in ports(machine.host())] == ["eth\ufffd"]


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = server(tmp_path)
    monkeypatch.setattr(file_tree, "MAX_BYTES", 200)
    with raises("tree-large", str(tmp_path)):
        machine.read()
    monkeypatch.setattr(file_tree, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(file_tree, "MAX_FILES", 20)
    with raises("tree-large"):
        machine.read()
    monkeypatch.setattr(file_tree, "MAX_FILES", 20_000)
    monkeypatch.setattr(file_tree, "MAX_ENTRIES", 3)
    assert "too-many" in {finding.code for finding in machine.read().warnings}


@pytest.mark.parametrize(
    ("text", "arch", "vendor"),
    [
        ("vendor_id\t:   Shanghai  \ncpu family\t: 7\n", "x86_64", "  Shanghai  "),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", "arm64", None),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "ppc64", None),
        ("vendor_id       : IBM/S390\n", None, "IBM/S390"),
    ],
)
def test_kinds_of_cpus(text: str, arch: str | None, vendor: str | None, tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-1"])
    machine.file("proc/cpuinfo", text)
    node = machine.host().template.nodes[0]
    assert isinstance(node, Numa)
    assert (node.arch, node.vendor) == (arch, vendor)


def test_a_long_file_is_read_in_part(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.cpus(["0-1"])
    machine.file("proc/cpuinfo", "vendor_id : GenuineIntel\nflags : " + "x " * file_tree.MAX_TEXT)
    node = machine.host().template.nodes[0]
    assert isinstance(node, Numa)
    assert node.vendor == "GenuineIntel"


JUNK = st.sampled_from(
    [
        "",
        "\n",
        "0x",
        "-1",
        "9" * 30,
        "0-",
        "0-99999999",
        "\0\0",
        "é",
        "a: b",
        "4294967295",
        "10 20 30",
    ]
) | st.text(max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_any_content_is_read_or_refused(tmp_path_factory: Any, data: st.DataObject) -> None:
    machine = server(tmp_path_factory.mktemp("machine"))
    files = sorted(path for path in machine.root.rglob("*") if path.is_file())
    for path in data.draw(st.lists(st.sampled_from(files), max_size=12, unique=True)):
        path.write_bytes(data.draw(JUNK).encode())
    try:
        reading = machine.read()
    except TopologyError:
        return
    summary(reading)
    content = topology_of(reading)
    assert parse(Document("a", pack(content)), default_sources()).found.content == content


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8", [0, 1, 2, 3, 8]), ("5", [5]), (" 1-2, 4 ", [1, 2, 4])]
)
def test_lists_of_cpus(text: str, cpus: list[int]) -> None:
    assert list(cpu_lists.numbers(cpu_lists.from_list(text))) == cpus


@pytest.mark.parametrize("text", ["", "3-1", "a", "0-70000", "-1", "1,,2", "1" * 7])
def test_no_lists_of_cpus(text: str) -> None:
    with pytest.raises(ValueError):
        cpu_lists.from_list(text)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("f", 15), ("1,00000000", 1 << 32), ("0x1,,0x2", 1 << 64 | 2), ("0x000000ff,0x0", 255 << 32)],
)
def test_masks_of_cpus(text: str, cpus: int) -> None:
    assert cpu_lists.from_mask(text) == cpus


@pytest.mark.parametrize("text", ["g", "123456789", "0," * 3000 + "0", "-1", "0x0x1"])
def test_no_masks_of_cpus(text: str) -> None:
    with pytest.raises(ValueError):
        cpu_lists.from_mask(text)


@given(st.sets(st.integers(0, 300)))
def test_sets_of_cpus_read_as_they_are_written(cpus: set[int]) -> None:
    text = ",".join(map(str, sorted(cpus)))
    if cpus:
        assert list(cpu_lists.numbers(cpu_lists.from_list(text))) == sorted(cpus)


def test_packages_of_cpus() -> None:
    packages = cpu_lists.Packages()
    packages.add(3, 0b0110)
    packages.add(1, 0b1110)
    assert len(packages) == 2
    assert [packages.of(cpus) for cpus in (0b0110, 0b0010, 0b1000, 0b1100, 0b1, 0, None)] == (
        [3, 3, 1, None, None, None, None]
    )


def test_names_are_sorted_as_people_count() -> None:
    names = ["mlx5_10", "mlx5_9", "cpu2", "eth0", "cpu10", "mlx5_bond_0"]
    assert sorted(names, key=by_number) == sorted(
        names,
        key=lambda name: (name.rstrip("0123456789"), int(name[len(name.rstrip("0123456789")) :])),
    )


def discover() -> Found:
    found = next(source.discover for source in default_sources() if source.name == "sysfs")
    assert found is not None
    return found()


def test_this_machine() -> None:
    """It agrees with the kernel's own lists, and asking twice gives the same."""
    found = discover()
    topology = found.content
    assert topology == discover().content
    host = topology.hosts[0]  # type: ignore[union-attr]
    assert host.name == os.uname().nodename
    assert host.template.threads == os.cpu_count()
    online = Path("/sys/devices/system/node/online")
    if online.exists():
        numbers = list(cpu_lists.numbers(cpu_lists.from_list(online.read_text())))
        nodes: list[Any] = [host.template.nodes[i] for i in host.template.numa]
        assert [node.id for node in nodes] == numbers
        for node in nodes:
            cpus = Path(f"/sys/devices/system/node/node{node.id}/cpulist").read_text().strip()
            assert node.cpus == (cpu_lists.from_list(cpus) if cpus else 0)
    functions = Path("/sys/bus/pci/devices")
    listed = list(functions.iterdir()) if functions.exists() else []
    assert found.facts["pci_functions"] == len(listed)
    for node in host.template.nodes:
        if isinstance(node, Pci):
            told = (functions / node.bus_id / "class").read_text()
            assert node.pci_class == int(told, 16)
    for port in ports(host):
        assert any(
            Path(f"/sys/class/{kind}/{port.name}").exists() for kind in ("net", "infiniband")
        )


def test_this_machine_as_a_folder() -> None:
    """The same, but for what only the running system tells."""
    (host,) = topology_of(read(Path("/"), default_sources())).hosts
    live = discover().content
    assert host == live.hosts[0]  # type: ignore[union-attr]

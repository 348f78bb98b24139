"""What topologies of large clusters cost: seconds, memory, bytes.

    python bench/topology.py [--hosts 2048] [--format cluster-topology-model] [--folder DIR]

Writes one document for each host, eight GPUs and eight adapters in each, and a rail-optimised
network of them all; then, in a process of its own, imports them into one model, writes that for
schedulers, reads it back and compares it. Each step's time is told, and the most memory that the
process had.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distos_coll.plugins.manager import default_sources
from distos_coll.topology import artifacts, reading
from distos_coll.topology.diff import diff
from distos_coll.topology.exports import (
    Adapter,
    Cable,
    End,
    EndKind,
    Fabric,
    Found,
    Gpu,
    GpuId,
    HostBuilder,
    Link,
    LinkKind,
    Nic,
    Numa,
    Pci,
    Port,
    PortId,
    Rail,
    Switch,
    Topology,
    TopologySource,
    build_topology,
)
from distos_coll.topology.importing import Wanted, import_documents

GPUS = 8
LEAF_HOSTS = 32
SPINES = 32
GPU, NIC, BRIDGE, NVSWITCH = 0x030200, 0x020700, 0x060400, 0x068000


def guid(host: int, port: int) -> str:
    return f"98039b03{host:06x}{port:02x}"


def host(number: int) -> HostBuilder:
    """An HGX board: two NUMA nodes, a PCI switch for each GPU and its adapter, four NVSwitches."""
    found = HostBuilder(f"n{number:05}", made_up=False)
    for n in range(2):
        numa = found.add(Numa(id=n, cpus=((1 << 56) - 1) << 56 * n, arch="x86_64"))
        for g in range(4):
            dev = 4 * n + g
            bus = 0x10 + 0x18 * dev
            root = found.add(
                Pci(numa, f"0000:{bus:02x}:01.0", BRIDGE, 0x8086, 0x352A, transfers=32.0, width=16)
            )
            switch = found.add(
                Pci(
                    root,
                    f"0000:{bus + 1:02x}:00.0",
                    BRIDGE,
                    0x1000,
                    0xC030,
                    transfers=32.0,
                    width=16,
                )
            )
            function = found.add(
                Pci(
                    switch,
                    f"0000:{bus + 4:02x}:00.0",
                    GPU,
                    0x10DE,
                    0x2330,
                    transfers=32.0,
                    width=16,
                )
            )
            uuid = f"GPU-{number:08x}-0000-0000-0000-{dev:012x}"
            own = found.add_gpu(
                Gpu(function, dev, 90, "NVIDIA H100 80GB HBM3", gdr=True), GpuId(uuid)
            )
            for s in range(4):
                named = f"0000:{0xE0 + s:02x}:00.0"
                link = Link(
                    LinkKind.NVLINK, own, count=4 + s % 2, named=named, named_class=NVSWITCH
                )
                found.link(link)
            card = found.add(
                Pci(
                    switch,
                    f"0000:{bus + 5:02x}:00.0",
                    NIC,
                    0x15B3,
                    0x1021,
                    transfers=32.0,
                    width=16,
                )
            )
            nic = found.add(Nic(card))
            port = Port(nic, f"mlx5_{dev}", dev=dev, port=1, mbps=400_000, layer="InfiniBand")
            found.add_port(port, PortId(f"0x{guid(number, dev)}", 1 + GPUS * number + dev))
    return found


def network(hosts: int) -> Fabric:
    """A leaf for each rail of 32 hosts, and spines over all."""
    units = -(-hosts // LEAF_HOSTS)
    leaves = [
        Switch(f"b83fd20300{u:04x}{r:02x}", f"leaf{u}-{r}", "infiniband", 64, level=1)
        for u in range(units)
        for r in range(GPUS)
    ]
    spines = [
        Switch(f"b83fd20301{s:06x}", f"spine{s}", "infiniband", 1024, level=2)
        for s in range(SPINES)
    ]
    adapters, cables = [], []
    for h in range(hosts):
        for r in range(GPUS):
            leaf = leaves[h // LEAF_HOSTS * GPUS + r]
            own = Adapter(
                guid(h, r), f"n{h:05} mlx5_{r}", f"n{h:05}", f"mlx5_{r}", "infiniband", 1, rail=r
            )
            adapters.append(own)
            ends = End(EndKind.ADAPTER, own.id, 1), End(EndKind.SWITCH, leaf.id, 1 + h % LEAF_HOSTS)
            cables.append(Cable(*ends, 4, "NDR", 400_000))
    for i, leaf in enumerate(leaves):
        for s, spine in enumerate(spines):
            ends = End(EndKind.SWITCH, leaf.id, 33 + s), End(EndKind.SWITCH, spine.id, 1 + i)
            cables.append(Cable(*ends, 4, "NDR", 400_000))
    rails = tuple(
        Rail(
            r,
            None,
            tuple(leaf.id for leaf in leaves[r::GPUS]),
            tuple(End(EndKind.ADAPTER, guid(h, r), 1) for h in range(hosts)),
        )
        for r in range(GPUS)
    )
    return Fabric((*leaves, *spines), tuple(adapters), tuple(cables), rails)


@contextmanager
def step(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what:<44} {time.perf_counter() - start:6.2f} s", flush=True)


def source(name: str) -> TopologySource:
    return next(each for each in default_sources() if each.name == name)


def lay_out(folder: Path, hosts: int, format_name: str) -> None:
    suffix = "xml" if format_name.endswith("xml") else "json"
    for number in range(hosts):
        one = build_topology([host(number)])
        data = artifacts.export(Found(one), source(format_name))
        (folder / f"n{number:05}.{suffix}").write_bytes(data)
    fabric = Found(Topology(fabric=network(hosts)))
    (folder / "network.json").write_bytes(
        artifacts.export(fabric, source("cluster-topology-model"))
    )


def measure(folder: Path, output: Path) -> None:
    documents = [Wanted(path) for path in sorted(folder.iterdir())]
    size = sum(each.path.stat().st_size for each in documents)
    print(f"{len(documents):,} documents of {size / 1e6:.1f} MB in all")
    sources = default_sources()
    start = time.perf_counter()
    with step("read and merged"):
        imported = import_documents(documents, sources)
    topology = imported.topology
    with step("the three files of it made"):
        files = artifacts.artifacts(topology, imported.findings, sources)
    with step("written"):
        paths = artifacts.save(files, output)
    print(f"{'in all':<44} {time.perf_counter() - start:6.2f} s")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gpus = sum(len(each.template.devices) for each in topology.hosts)
    print(f"{gpus:,} GPUs, {len(topology.templates)} templates, {len(imported.findings)} findings")
    print(
        f"most memory until here: {most:,.0f} MiB; "
        + ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in paths)
    )
    with step("the model read back"):
        again = reading.understood(reading.open_document(paths[0]), sources)[1].content
    assert again == topology, "it is not what was written"
    with step("compared with itself"):
        assert not diff(topology, topology)
    slower = replace(topology, hosts=tuple(imported.topology.hosts[1:]))
    with step("compared with itself less one host"):
        assert len(diff(topology, slower)) == 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=2048)
    parser.add_argument(
        "--format", default="cluster-topology-model", help="of the hosts' documents"
    )
    parser.add_argument("--folder", type=Path, help="with documents that are there already")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        with tempfile.TemporaryDirectory() as output:
            measure(arguments.folder, Path(output))
        return
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), arguments.hosts, arguments.format)
        # Apart, so that its memory is its own.
        subprocess.run([sys.executable, __file__, "--folder", folder], check=True)


if __name__ == "__main__":
    main()

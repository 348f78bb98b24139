"""Other people's files of machines with GPUs: rings and trees of a job on one host use every NVLink
in both directions, those of a job on several hosts every port; exceptions are listed, with reasons.
"""

from functools import cache

import pytest
from layouts import check, fallback_gbps, idle, is_as_good, laid
from machines import bridged_pairs
from topologies import OTHERS, Entry, entries

from distos_coll.api import Cpu, Job, NcclGraphs
from distos_coll.errors import TopologyError
from distos_coll.layout.ledger import Sort
from distos_coll.layout.nccl_view import Machine, job_of, view_of_graphs
from distos_coll.layout.result import Layout
from distos_coll.plugins.manager import default_sources
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import read

KINDS = ("nccl-xml", "rccl-xml", "nvidia-smi-topo", "nvidia-smi-xml", "hwloc-xml", "sysfs")


def topology_of(entry: Entry) -> Topology | None:
    try:
        found = read(entry.path, default_sources()).found.content
    except TopologyError:
        return None
    if isinstance(found, Topology) and any(host.template.devices for host in found.hosts):
        return found
    return None


MACHINES = {
    str(entry): topology
    for entry in entries(*KINDS)
    if (topology := topology_of(entry)) is not None
}

DOWN = "it is down"
FAR = "every device has another that is nearer"
NO_WAY = "no way leads there"
# Ports that carry nothing, by rules of distos_coll/layout/ports.py.
LEFT_OUT: dict[str, dict[str, str]] = {
    "nccl-xml/gvisor-b200vm-a-topo.xml": {
        **dict.fromkeys(("mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3"), "12.5 GB/s beside ports of 50"),
        "mlx5_4": "25 GB/s beside ports of 50",
    },
    "rccl-xml/topo_8p_rome_n2_1.xml": {
        "enp98s0f0": "0.125 GB/s beside ports of 25",
    },
    "hwloc-xml/hwloc-v3-96em64t-4n4d3ca2co-pci.xml": {
        **dict.fromkeys(("eth2", "eth3", "eth4", "eth5", "eth6", "eth7"), FAR),
    },
    "hwloc-xml/hwloc-v2-96em64t-4n4d3ca2co-pci.xml": {
        **dict.fromkeys(("eth2", "eth3", "eth4", "eth5", "eth6", "eth7"), FAR),
    },
    "hwloc-xml/hwloc-v3-40intel64-2g2n4c+pcilocality.xml": {
        **dict.fromkeys(("eth0", "eth1", "eth2", "eth3", "qib0"), NO_WAY),
    },
    "hwloc-xml/hwloc-v3-32em64t-2n8c+dax+nvme+mic+dimms.xml": {
        "mlx4_0": FAR,
    },
    "sysfs/hwloc-40intel64-2g2n4c+pcilocality.tar.bz2": {
        **dict.fromkeys(("eth0", "qib0"), NO_WAY),
        **dict.fromkeys(("eth1", "eth2", "eth3"), DOWN),
    },
    "sysfs/hwloc-32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2": {
        "eth1": DOWN,
        "eth0": "0.125 GB/s beside ports of 7",
    },
    "sysfs/gpud-lspci.nn.a100.txt": {
        **dict.fromkeys(
            (
                "adapter 0101:00:00.0",
                "adapter 0102:00:00.0",
                "adapter 0103:00:00.0",
                "adapter 0104:00:00.0",
                "adapter 0105:00:00.0",
                "adapter 0106:00:00.0",
                "adapter 0107:00:00.0",
                "adapter 0108:00:00.0",
                "adapter c941:00:02.0",
            ),
            NO_WAY,
        ),
    },
    "sysfs/gpud-lspci.nn.a10.txt": {
        "adapter 0000:05:00.0": NO_WAY,
    },
    "nvidia-smi-topo/dgxa100-12hca.txt": {
        **dict.fromkeys(("mlx5_4", "mlx5_5", "mlx5_10", "mlx5_11"), FAR),
    },
    "nvidia-smi-topo/h200-12nic.txt": {
        **dict.fromkeys(("mlx5_1", "mlx5_2", "mlx5_7", "mlx5_8"), FAR),
    },
}
# Links that no ring or tree uses though no rule says so.
IDLE: dict[str, list[str]] = {}


@cache
def over(name: str, hosts: int) -> Layout:
    return laid(MACHINES[name], hosts)


@pytest.fixture(params=MACHINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_there_are_machines() -> None:
    assert len(MACHINES) >= 70
    assert MACHINES.keys() == GBPS.keys()


def test_one_host_uses_every_nvlink(name: str) -> None:
    layout = over(name, 1)
    check(layout)
    assert idle(layout, Sort.NVLINK) == IDLE.get(name, [])
    worst = fallback_gbps(layout)
    assert layout.rings.gbps >= worst * 0.9999


def test_several_hosts_use_every_port(name: str) -> None:
    layout = over(name, 4)
    check(layout)
    assert idle(layout, Sort.PORT) == []
    assert dict(layout.left_out) == LEFT_OUT.get(name, {})


# What rings get on one host, and on four: gigabytes a second that may grow, not shrink.
GBPS = {
    "nccl-xml/azure-ndv2-topo.xml": (10.0, 10.0),
    "nccl-xml/azure-ndv4-topo.xml": (24.0, 24.0),
    "nccl-xml/azure-nc48v4-topo.xml": (240.0, 12.5),
    "nccl-xml/aws-p4d-24xl-topo.xml": (10.0, 10.625),
    "nccl-xml/aws-p4de-24xl-topo.xml": (10.0, 10.625),
    "nccl-xml/oci-H100-topology.xml": (370.8, 360.0),
    "nccl-xml/oci-H100-topology-kubernetes.xml": (370.8, 384.0),
    "nccl-xml/oci-topo-flattened.xml": (24.0, 24.0),
    "nccl-xml/oci-topo-flattened-b4.xml": (24.0, 24.0),
    "nccl-xml/yccl-topo.xml": (10.0, 0.25),
    "nccl-xml/yccl-topo_mod.xml": (10.0, 0.25),
    "nccl-xml/sugarlxn-4x4090-topo.xml": (24.0, 0.125),
    "nccl-xml/gvisor-b200vm-a-topo.xml": (721.8, 20.0),
    "rccl-xml/topo_16p1h.xml": (220.0, 192.0),
    "rccl-xml/topo_3p_pcie.xml": (16.0, 16.0),
    "rccl-xml/topo_4p1h.xml": (72.0, 12.0),
    "rccl-xml/topo_4p1h_1.xml": (72.0, 1.25),
    "rccl-xml/topo_4p2h.xml": (10.0, 10.0),
    "rccl-xml/topo_4p2h_1.xml": (10.0, 10.0),
    "rccl-xml/topo_4p3l.xml": (108.0, 0.15625),
    "rccl-xml/topo_4p3l_2h.xml": (52.0, 24.0),
    "rccl-xml/topo_4p3l_n2.xml": (92.0, 24.0),
    "rccl-xml/topo_4p3l_n2_1.xml": (64.0, 24.0),
    "rccl-xml/topo_4p4h.xml": (24.0, 30.0),
    "rccl-xml/topo_4p_940.xml": (192.0, 96.0),
    "rccl-xml/topo_8p1h.xml": (229.17, 96.0),
    "rccl-xml/topo_8p1h_1.xml": (233.33, 96.0),
    "rccl-xml/topo_8p1h_3.xml": (233.33, 96.0),
    "rccl-xml/topo_8p1h_5.xml": (233.33, 192.0),
    "rccl-xml/topo_8p1h_n1.xml": (229.17, 96.0),
    "rccl-xml/topo_8p6l.xml": (216.0, 24.0),
    "rccl-xml/topo_8p6l_1nic.xml": (216.0, 24.0),
    "rccl-xml/topo_8p6l_2nic.xml": (216.0, 48.0),
    "rccl-xml/topo_8p6l_4nic.xml": (216.0, 96.0),
    "rccl-xml/topo_8p6l_5nic.xml": (216.0, 120.0),
    "rccl-xml/topo_8p_4nics.xml": (48.0, 96.0),
    "rccl-xml/topo_8p_90a.xml": (133.33, 0.125),
    "rccl-xml/topo_8p_940.xml": (448.0, 384.0),
    "rccl-xml/topo_8p_pcie.xml": (10.0, 10.0),
    "rccl-xml/topo_8p_pcie_1.xml": (10.0, 10.0),
    "rccl-xml/topo_8p_rome.xml": (64.0, 24.0),
    "rccl-xml/topo_8p_rome_4n_1.xml": (48.0, 96.0),
    "rccl-xml/topo_8p_rome_n2.xml": (85.5, 24.0),
    "rccl-xml/topo_8p_rome_n2_1.xml": (88.0, 24.0),
    "rccl-xml/topo_8p_rome_n4.xml": (88.0, 24.0),
    "rccl-xml/topo_8p_rome_pcie.xml": (16.0, 3.0),
    "rccl-xml/topo_8p_ts1.xml": (48.0, 48.0),
    "rccl-xml/topo_8p_ts1_1.xml": (81.333, 48.0),
    "rccl-xml/topo_8p_ts1_n4.xml": (84.0, 48.0),
    "rccl-xml/topo_8p_ts1_n4_1.xml": (88.5, 48.0),
    "rccl-xml/topo_collnet_n1.xml": (64.0, 24.0),
    "rccl-xml/topo_16p_gio-1s-1rp-cascade.xml": (48.0, 0.125),
    "nvidia-smi-topo/dgx1-v100-4xmlx5.txt": (120.0, 5.0),
    "nvidia-smi-topo/synthetic-4gpu-nv1-pairs.txt": (24.0, 1.25),
    "nvidia-smi-topo/pcie-4gpu-phb.txt": (12.0, 1.25),
    "nvidia-smi-topo/synthetic-4gpu-nv12-noaffinity.txt": (240.0, 1.25),
    "nvidia-smi-topo/mle-network-0.txt": (40.0, 1.25),
    "nvidia-smi-topo/mle-network-1.txt": (12.0, 1.25),
    "nvidia-smi-topo/mle-network-2.txt": (240.0, 1.25),
    "nvidia-smi-topo/mle-perf-0.txt": (360.0, 1.25),
    "hwloc-xml/hwloc-v3-nvidiaDGX2.xml": (150.0, 1.25),
    "hwloc-xml/hwloc-v3-24em64t-2n6c2t-pci.xml": (0.2, 0.2),
    "hwloc-xml/hwloc-v3-32em64t-2n8c2t-pci-wholeio.xml": (12.0, 3.75),
    "hwloc-xml/hwloc-v3-96em64t-4n4d3ca2co-pci.xml": (24.0, 2.5),
    "hwloc-xml/hwloc-v2-nvidiaDGX2.xml": (150.0, 1.25),
    "hwloc-xml/hwloc-v2-24em64t-2n6c2t-pci.xml": (0.2, 0.2),
    "hwloc-xml/hwloc-v2-32em64t-2n8c2t-pci-wholeio.xml": (12.0, 3.75),
    "hwloc-xml/hwloc-v2-96em64t-4n4d3ca2co-pci.xml": (24.0, 2.5),
    "hwloc-xml/hwloc-v3-40intel64-2g2n4c+pcilocality.xml": (24.0, 1.25),
    "hwloc-xml/hwloc-v3-32em64t-2n8c+dax+nvme+mic+dimms.xml": (24.0, 2.5),
    "hwloc-xml/flux-corona11.xml": (12.0, 3.75),
    "hwloc-xml/flux-sierra.xml": (12.0, 7.5),
    "hwloc-xml/flux-corona-nls.xml": (0.25, 0.25),
    "hwloc-xml/flux-catalyst.xml": (24.0, 0.20833),
    "hwloc-xml/flux-sierra-004N-2.xml": (12.0, 7.5),
    "sysfs/hwloc-40intel64-2g2n4c+pcilocality.tar.bz2": (24.0, 1.25),
    "sysfs/hwloc-32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2": (24.0, 6.0),
    "sysfs/hwloc-nvidiagpunumanodes.tar.bz2": (0.1, 0.1),
    "sysfs/ghw-linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d.tar.gz": (24.0, 1.25),
    "sysfs/ghw-linux-amd64-61797caf7c0b6bca1725ad7975ed4773.tar.gz": (24.0, 5.0),
    "sysfs/ghw-linux-amd64-accel-nvidia.tar.gz": (10.0, 10.0),
    "sysfs/gpud-lspci.nn.a100.txt": (0.1, 0.1),
    "sysfs/gpud-lspci.nn.a10.txt": (0.1, 0.2),
    "nvidia-smi-xml/gpud-nvlink-status-a100.txt": (0.1, 0.1),
    "nvidia-smi-xml/qx-a100.xml": (24.0, 1.25),
    "nvidia-smi-xml/qx-gb200.xml": (20.0, 1.25),
    "nvidia-smi-xml/qx-h100.xml": (0.1, 0.1),
    "nvidia-smi-xml/qx-t4.xml": (24.0, 1.25),
    "nccl-xml/gb300-nvl72-1tray.xml": (721.8, 12.5),
    "nccl-xml/gb300-nvl72-2tray-fused.xml": (721.8, 25.0),
    "nccl-xml/gb300-nvl72-1tray.hex.xml": (721.8, 12.5),
    "nccl-xml/gb300-nvl72-2tray-fused.hex.xml": (721.8, 25.0),
    "nvidia-smi-topo/dgxa100-12hca.txt": (240.0, 10.0),
    "nvidia-smi-topo/h200-12nic.txt": (360.0, 10.0),
    "nvidia-smi-topo/power9-4xv100-nv3.txt": (24.0, 5.0),
    "nvidia-smi-topo/v100x4-1hca-sys.txt": (80.0, 1.25),
    "nvidia-smi-topo/k80x2-mlx4-soc-legend.txt": (12.0, 1.25),
    "nvidia-smi-topo/v100x8-spaces-noaffinity.txt": (120.0, 1.25),
    "nvidia-smi-topo/gb200-4gpu.txt": (360.0, 1.25),
}


def test_bandwidth_does_not_shrink(name: str) -> None:
    for copies, gbps in zip((1, 4), GBPS[name], strict=True):
        assert over(name, copies).rings.gbps >= gbps * 0.999


def test_beside_the_graphs_that_azure_gives_to_nccl() -> None:
    """NC96ads A100 v4: four A100 on PCI in two bridged pairs, AMD."""
    found = read(OTHERS / "nccl-graph/azure-ncv4-graph.xml", default_sources()).found.content
    assert isinstance(found, NcclGraphs)
    theirs = view_of_graphs(found, Machine(80, Cpu.AMD))
    assert theirs.ring is not None
    assert (theirs.ring.channels, theirs.ring.gbps_intra) == (2, 12.0)
    is_as_good(job_of(laid(bridged_pairs())), Job((4,), theirs))

"""Gigabytes a second, one way, of links whose speed their kind gives: NCCL's figures.

They are what a kernel gets out of a link, below its rate on the wire. Of AMD's, which NCCL does not
know, those of the data sheets.
"""

from distos_coll.topology.model import Gpu, Link, LinkKind, Numa, Port

LOCAL = 5000.0
_NVLINK = ((100, 40.1), (90, 20.6), (86, 12.0), (70, 20.0), (60, 18.0))
"""From this compute capability on, but for 86 alone."""
_NVLINK_OTHER = 20.0
_XGMI = {"gfx942": 64.0, "940": 64.0, "gfx950": 76.5, "910": 50.0, "gfx90a": 50.0}
_XGMI_OTHER = 36.0

_AMD, _INTEL_OLD, _SKYLAKE, _SAPPHIRE, _EMERALD = 16.0, 6.0, 10.0, 22.0, 40.0
_ZHAOXIN, _YONGFENG, _POWER9, _ARM = 6.0, 9.0, 32.0, 6.0

NVLINKS_AT_MOST = {60: 4, 70: 6, 72: 6, 75: 2, 80: 12, 86: 4, 89: 0, 90: 18, 100: 18, 103: 18}
"""By compute capability."""
_NVLINKS_UNKNOWN = 36
_XGMI_AT_MOST = 8

_NIC_AT_MOST_MBPS = 3_200_000
_NIC_UNKNOWN_MBPS = 10_000


def nvlink(sm: int | None) -> float:
    if sm is None:
        return _NVLINK_OTHER
    if sm != 86 and 80 <= sm < 90:
        return 20.0
    return next((gbps for since, gbps in _NVLINK if sm >= since), _NVLINK_OTHER)


def of_link(link: Link, gpu: Gpu | None) -> float:
    """A whole bundle, as its source end counts it."""
    count = 1 if link.count is None else link.count
    if link.gbps is not None:
        return link.gbps * count
    if link.kind is LinkKind.XGMI:
        return _XGMI.get(gpu.gcn or "" if gpu else "", _XGMI_OTHER) * count
    if link.kind is LinkKind.NVLINK:
        return nvlink(gpu.sm if gpu else None) * count
    return LOCAL


def links_at_most(gpu: Gpu) -> int:
    """How many NVLink or xGMI links a GPU can have."""
    if gpu.gcn is not None:
        return _XGMI_AT_MOST
    return NVLINKS_AT_MOST.get(gpu.sm or 0, _NVLINKS_UNKNOWN)


def port_mbps(port: Port) -> int:
    """Of a port that gives none NCCL's assumption; of one beyond any hardware what it must mean."""
    if port.mbps is None or port.mbps <= 0:
        return _NIC_UNKNOWN_MBPS
    return port.mbps // 1000 if is_kbps(port.mbps) else port.mbps


def is_kbps(mbps: int) -> bool:
    """Whether a speed in Mb/s was meant in kb/s: beyond 3.2 Tb/s."""
    return mbps > _NIC_AT_MOST_MBPS


def between_numa(numa: Numa) -> float:
    """From a NUMA node to another of its host."""
    if numa.arch == "ppc64":
        return _POWER9
    if numa.arch == "arm64":
        return _ARM
    if numa.arch != "x86_64":
        return LOCAL
    family, model = numa.family or 0, numa.model or 0
    if numa.vendor == "AuthenticAMD":
        return _AMD
    if numa.vendor == "GenuineIntel":
        return _intel(family, model)
    if numa.vendor in {"CentaurHauls", "  Shanghai  "}:
        return _YONGFENG if (family, model) == (7, 0x5B) else _ZHAOXIN
    return LOCAL


def _intel(family: int, model: int) -> float:
    if family != 6:
        return _INTEL_OLD
    if model >= 0xCF:
        return _EMERALD
    if model >= 0x8F:
        return _SAPPHIRE
    return _SKYLAKE if model >= 0x55 else _INTEL_OLD

"""CPUs and NUMA nodes of a machine, from sysfs and /proc/cpuinfo."""

import re
from dataclasses import dataclass, field, replace

from distos_coll.api import Counts, Distances, HostBuilder, Numa
from distos_coll.sources import architectures, cpu_lists
from distos_coll.sources.sysfs_files import Kernel, values

_CPUS = "devices/system/cpu"
_NODES = "devices/system/node"

_SPELLINGS = {"Shanghai": "  Shanghai  "}
"""CPUID's twelve characters, of which blanks at the ends are lost in a file."""


@dataclass
class _Threads:
    """What the files of the CPUs that are online say."""

    cpus: int = 0
    cores: int = 0
    packages: cpu_lists.Packages = field(default_factory=cpu_lists.Packages)


def read_cpus(kernel: Kernel, host: HostBuilder, machine: str | None = None) -> dict[int, int]:
    """Add NUMA nodes and counts to the host; return the indices of the nodes by their numbers.

    `machine` is the architecture, where something else than the files tells.
    """
    threads = _threads(kernel)
    host.counts = Counts(
        len(threads.packages) or None, threads.cores or None, threads.cpus.bit_count() or None
    )
    common = _processor(kernel, machine)
    found: dict[int, int] = {}
    for name in kernel.names(kernel.sys(_NODES), r"node\d{1,6}"):
        number = int(name.removeprefix("node"))
        cpus = _cpus_of(kernel, kernel.sys(f"{_NODES}/{name}"))
        package = threads.packages.of(cpus)
        found[number] = host.add(replace(common, id=number, cpus=cpus, package=package))
    if not found and threads.cpus:
        # A kernel without NUMA: the machine is one node.
        package = threads.packages.of(threads.cpus)
        host.add(replace(common, cpus=threads.cpus, package=package))
    _distances(kernel, host, list(found))
    return found


def _threads(kernel: Kernel) -> _Threads:
    found = _Threads()
    online = _list(kernel, kernel.sys(f"{_CPUS}/online"))
    cores = set[object]()
    for name in kernel.names(kernel.sys(_CPUS), r"cpu\d{1,6}"):
        number = int(name.removeprefix("cpu"))
        if number >= cpu_lists.MOST or (online is not None and not online >> number & 1):
            continue
        found.cpus |= 1 << number
        folder = kernel.sys(f"{_CPUS}/{name}/topology")
        if not kernel.tree.is_directory(folder):
            continue
        siblings = kernel.tree.text(f"{folder}/thread_siblings_list")
        siblings = siblings or kernel.tree.text(f"{folder}/thread_siblings")
        cores.add(siblings or number)
        package = kernel.number(f"{folder}/physical_package_id")
        if package is not None and package >= 0:
            found.packages.add(package, 1 << number)
    if online is not None:
        found.cpus |= online
    found.cores = len(cores)
    return found


def _list(kernel: Kernel, path: str) -> int | None:
    text = kernel.tree.text(path)
    if text is None:
        return None
    try:
        return cpu_lists.from_list(text)
    except ValueError:
        kernel.tree.find("bad-value", f"{text[:40]!r} is no list of CPUs; it was left out", path)
        return None


def _cpus_of(kernel: Kernel, folder: str) -> int | None:
    """Those of a NUMA node; dumps leave out one or the other file."""
    found = _list(kernel, f"{folder}/cpulist")
    if found is None and (mask := kernel.tree.text(f"{folder}/cpumap")):
        try:
            return cpu_lists.from_mask(mask)
        except ValueError:
            kernel.tree.find("bad-value", f"{mask[:40]!r} is no mask of CPUs", folder)
    if found is None:
        names = kernel.names(folder, r"cpu\d{1,5}")
        numbers = (int(name.removeprefix("cpu")) for name in names)
        found = sum(1 << number for number in numbers if number < cpu_lists.MOST) or None
    return found


def _processor(kernel: Kernel, machine: str | None) -> Numa:
    """What all CPUs have in common, from the first of /proc/cpuinfo."""
    told = values((kernel.proc("cpuinfo") or "").partition("\n\n")[0])
    arch = architectures.of_kernel(machine)
    if "cpu family" in told:
        arch = arch or "x86_64"
    elif "CPU implementer" in told:
        arch = arch or "arm64"
    elif "POWER" in told.get("cpu", ""):
        arch = arch or "ppc64"
    family, model = (told.get(key, "") for key in ("cpu family", "model"))
    vendor = told.get("vendor_id")
    return Numa(
        arch=arch,
        vendor=_SPELLINGS.get(vendor or "", vendor) or None,
        family=int(family) if re.fullmatch(r"\d{1,6}", family) else None,
        model=int(model) if re.fullmatch(r"\d{1,6}", model) else None,
    )


def _distances(kernel: Kernel, host: HostBuilder, numbers: list[int]) -> None:
    rows: list[float] = []
    for number in numbers:
        path = kernel.sys(f"{_NODES}/node{number}/distance")
        row = (kernel.tree.text(path) or "").split()
        if len(row) != len(numbers) or not all(re.fullmatch(r"\d{1,6}", value) for value in row):
            if row:
                message = f"{len(row)} distances, not numbers to {len(numbers)} NUMA nodes"
                kernel.tree.find("bad-value", f"{message}; they were left out", path)
            return
        rows += map(float, row)
    if rows:
        host.distances.append(Distances("NUMALatency", tuple(map(str, numbers)), tuple(rows)))

"""What Linux says of a machine in /sys and /proc: of this one, or in a dump of another.

A dump is a folder or an archive with a part of both; tools of hwloc, ghw and others write such.
"""

import os
import re
from pathlib import Path

from distos_coll.api import (
    Document,
    Found,
    HostBuilder,
    TopologySource,
    build_topology,
    hookimpl,
)
from distos_coll.sources import archives
from distos_coll.sources.file_tree import Directory, Tree
from distos_coll.sources.sysfs_cpus import read_cpus
from distos_coll.sources.sysfs_devices import read_devices
from distos_coll.sources.sysfs_files import Kernel, Layout, find_layout, values
from distos_coll.sources.sysfs_pci import Functions

_INSIDE = re.compile(r"(^|/)(sys/|class/infiniband/|bus/pci/|devices/system/)|(^|/)sys/?$")
_HEADERS = 4096
"""Of an archive that are looked at to recognise it."""


def recognise(document: Document) -> bool:
    if document.root is not None:
        return find_layout(Directory(document.root)) is not None
    if archives.is_ttar(document.head):
        return True
    if not archives.is_tar(document.head):
        return False
    return any(_INSIDE.search(name) for name in archives.tar_names(document.data, _HEADERS))


def parse(document: Document) -> Found:
    tree: Tree
    if document.root is not None:
        tree = Directory(document.root, document.name)
    elif archives.is_ttar(document.head):
        tree = archives.read_ttar(document)
    else:
        tree = archives.read_tar(document)
    layout = find_layout(tree)
    if layout is None:
        raise document.error("nothing of /sys in it")
    return _read(Kernel(tree, layout))


def discover() -> Found:
    """Ask this machine; what a user without rights cannot read is a finding."""
    kernel = Kernel(Directory(Path("/")), Layout("", "sys"))
    return _read(kernel, os.uname().machine)


def _read(kernel: Kernel, machine: str | None = None) -> Found:
    told = values(kernel.proc("hwloc-nofile-info"))
    name = (kernel.proc("sys/kernel/hostname") or told.get("HostName") or "").split()
    host = HostBuilder(name[0][:255] if name else "host0", made_up=not name)
    numa = read_cpus(kernel, host, machine or told.get("Architecture"))
    functions = Functions(kernel, host, numa, read_devices(kernel))
    functions.read()
    facts = {
        "packages": host.counts.packages,
        "cores": host.counts.cores,
        "threads": host.counts.threads,
        "pci_functions": functions.total,
        "pci_bridges": functions.bridges,
    }
    return Found(build_topology([host]), tuple(kernel.tree.findings), facts)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "sysfs",
            "Linux's /sys and /proc: this machine's, a folder, tar or ttar.",
            recognise,
            parse,
            discover=discover,
            max_bytes=1 << 28,
        )
    ]

"""What makes a node of one template the same as a node of another: its key.

A PCI function is its bus id, a NUMA node its number, a port its name; a GPU is the function that
carries it. Keys need no other template, so it does not matter in which order templates are compared
or merged. What has no such name is told apart by its place.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from distos_coll.topology import pci
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    HostTemplate,
    LinkKind,
    Nic,
    Node,
    Numa,
    NvSwitch,
    Pci,
    Port,
)
from distos_coll.topology.names import natural

Key: TypeAlias = tuple[str, ...]
"""Kind, then what tells it apart, then its number among those of the same key."""

UNSEEN_SWITCHES = frozenset({"fffffff:ff:ff.0", "ffff:ff:ff.0"})
"""NVLink switches that a host only knows to exist, as NCCL and nvidia-smi see them."""
TO_CPU: Key = ("CPU",)
"""The end of a link to the CPU that its source hangs under, wherever that is."""
_ORDER = ("numa", "pci", "gpu", "nic", "port", "nvswitch")


def keys(template: HostTemplate) -> tuple[Key, ...]:
    """Return the key of each node, all different."""
    found: list[Key] = []
    counts: dict[Key, int] = {}
    for i, node in enumerate(template.nodes):
        key = _key(template, i, node, found)
        number = counts[key] = counts.get(key, -1) + 1
        found.append((*key, str(number)))
    return tuple(found)


def _key(template: HostTemplate, i: int, node: Node, above: list[Key]) -> Key:
    if isinstance(node, Numa):
        # Without a number it is known by its CPUs, or by its place.
        mark = () if node.cpus is None else (cpus_mark(node),)
        return ("numa", "", *mark) if node.id is None else ("numa", str(node.id))
    if isinstance(node, Pci):
        return ("pci", node.bus_id)
    if isinstance(node, NvSwitch):
        return ("nvswitch", node.bus_id)
    parent = template.nodes[node.parent] if node.parent != NOWHERE else None
    if isinstance(node, Gpu):
        if isinstance(parent, Pci):
            return ("gpu", parent.bus_id, "" if node.partition is None else str(node.partition))
        return ("gpu", "", "" if node.dev is None else str(node.dev))
    if isinstance(node, Nic):
        if isinstance(parent, Pci):
            return ("nic", parent.bus_id)
        # By the first of its ports: there is nothing else.
        ports = (template.nodes[child] for child in template.children[i])
        first = next((port for port in ports if isinstance(port, Port)), None)
        return ("nic", "", *(port_key(first) if first else ()))
    own = port_key(node)
    # Without a name it is a port of its adapter.
    return own if node.name or node.parent == NOWHERE else (*own, *above[node.parent])


def cpus_mark(numa: Numa) -> str:
    """Its CPUs as a text; not in decimals, which Python refuses to write of large ones."""
    return f"{numa.cpus or 0:x}"


def port_key(port: Port) -> Key:
    """Sources that do not number the port of an adapter with one mean the first."""
    return ("port", port.kind, port.name, str(port.port or 1))


def has_numbers_alone(template: HostTemplate) -> bool:
    """Whether a GPU of it has no address."""
    parents = (template.nodes[i].parent for i in template.gpus)
    return any(up == NOWHERE or not isinstance(template.nodes[up], Pci) for up in parents)


def is_placeholder(key: Key) -> bool:
    """Whether it stands for what its source does not know: an adapter without a PCI function, a
    NUMA node without a number, switches that are only known to exist.
    """
    if key[0] == "numa":
        return key[1] == "" or key[1].startswith("-")
    return key[:2] == ("nic", "") or (key[0] == "nvswitch" and key[1] in UNSEEN_SWITCHES)


def order(key: Key) -> tuple[Any, ...]:
    """Put nodes into the order of their kinds, names and numbers."""
    kind, *names = key
    if kind in {"numa", "port"}:
        return (_ORDER.index(kind), *map(natural, names))
    # Bus ids are hexadecimal, in columns.
    return (_ORDER.index(kind), *((len(name), name) for name in names))


class LinkKey(NamedTuple):
    """What one end says of its links of a kind to another."""

    kind: str
    source: Key
    end: Key
    number: int
    """Among those of the same ends."""


def link_keys(template: HostTemplate, own: Sequence[Key]) -> tuple[LinkKey, ...]:
    """Return the key of each link, all different; `own` are the nodes' keys."""
    counts: Counter[tuple[str, Key, Key]] = Counter()
    found = []
    for link in template.links:
        if link.kind is LinkKind.C2C or link.named_class == pci.NVLINK_TO_CPU:
            end = TO_CPU
        elif link.target == NOWHERE:
            end = (pci.bus_id(link.named) or link.named,)
        else:
            end = end_of(own[link.target])
        key = (link.kind.value, own[link.source], end)
        found.append(LinkKey(*key, counts[key]))
        counts[key] += 1
    return tuple(found)


def end_of(key: Key) -> Key:
    """Return what links call a node: its bus id, if it has one."""
    has_address = key[0] in {"pci", "gpu", "nic", "nvswitch"} and key[1]
    return (key[1],) if has_address else key


def shown(key: Key) -> str:
    """Name a node for people."""
    kind, *names, number = key
    again = f" ({int(number) + 1})" if number != "0" else ""
    if kind == "numa":
        return f"NUMA node {names[0] or '?'}{again}"
    if kind == "port":
        port = f" port {names[2]}" if names[2] != "1" else ""
        use = f" ({names[0]})" if names[0] not in {"net", "netdev"} else ""
        return f"{names[1] or 'port'}{port}{use}{again}"
    if kind == "gpu":
        if not names[0]:
            return f"GPU{names[1] or '?'}{again}"
        return f"{names[0]}{f' partition {names[1]}' if names[1] else ''}{again}"
    if kind == "nic" and not names[0]:
        return f"adapter of {names[3] if len(names) > 3 else '?'}{again}"
    return f"{names[0]}{again}"

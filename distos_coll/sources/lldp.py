"""LLDP: who is at the other end of an Ethernet cable, as lldpd's `lldpcli -f json` tells.

One file is one system's view, or the views of many: then both ends of a cable are heard. A system
is told by its name; by its chassis id where it has none, or where several have the same name.
"""

import re
from dataclasses import dataclass, field

from distos_coll.api import (
    Attributes,
    Cable,
    Document,
    End,
    EndKind,
    Fabric,
    Found,
    HostBuilder,
    Notes,
    Switch,
    TopologySource,
    build_topology,
    hookimpl,
    recognise_fabric,
)
from distos_coll.sources.lldp_json import Neighbour, Report, Reports, System

MAX_BYTES = 1 << 24
LOCAL = "local"
"""The system whose report it is, where the report does not say."""

_SWITCH_PORT = re.compile(
    r"swp\d.*|Ethernet\d+(/\d+)*|Eth\d+(/\d+)+|(et|xe|ge)-\d.*|Po\d+|TenGig.*"
)
_SWITCH_SYSTEM = re.compile(
    r"cumulus|sonic|arista|\beos\b|cisco|nx-os|junos|juniper|onyx|mlnx-os|nvos|switch|procurve",
    re.I,
)
# Not Debian: switches run it too, and say so.
_HOST_SYSTEM = re.compile(
    r"ubuntu|red hat|rhel|centos|rocky|almalinux|fedora|suse|amazon linux|oracle linux", re.I
)
_FORWARDS = {"Bridge", "Router"}
_HEAD = re.compile(rb'"(?:lldp|lldp_loc_chassis|local-chassis)"\s*:')
_POLLED = re.compile(rb'"cmd"\s*:\s*"[^"\n]*lldp')


@dataclass
class _Systems:
    """Which of what is said belongs to the same system."""

    notes: Notes
    ids: dict[str, dict[str, None]] = field(default_factory=dict)
    """Chassis ids by name."""
    names: dict[str, dict[str, None]] = field(default_factory=dict)
    short: dict[str, dict[str, None]] = field(default_factory=dict)
    """Names by their part before the first dot."""

    def hear(self, system: System) -> None:
        if system.name is not None:
            self.ids.setdefault(system.name, {})
            self.short.setdefault(system.name.partition(".")[0], {})[system.name] = None
            if system.id is not None:
                self.ids[system.name][system.id] = None
        if system.id is not None:
            self.names.setdefault(system.id, {})
            if system.name is not None:
                self.names[system.id][system.name] = None

    def tell(self) -> None:
        for name, ids in self.ids.items():
            if len(ids) > 1:
                shown = ", ".join(list(ids)[:4])
                message = f"{len(ids)} systems are called {name}: {shown}; told apart by these"
                self.notes.add("name-twice", message)
        for id_, names in self.names.items():
            if len(names) > 1:
                shown = ", ".join(list(names)[:4])
                message = f"{len(names)} systems have the chassis id {id_}: {shown}; told apart by"
                self.notes.add("chassis-id-twice", f"{message} these")

    def key(self, system: System) -> str:
        names = self.names.get(system.id or "", {})
        name = system.name
        if name is None and len(names) == 1:
            (name,) = names
        if name is None:
            own = system.id or "unknown"
            return f"{own} (no name)" if names else own
        if len(self.ids.get(name, ())) > 1 and system.id is not None:
            return f"{name} {system.id}"
        return name

    def own_key(self, report: Report) -> str:
        """Of the system whose report it is."""
        if report.name is None:
            return LOCAL if report.system is None else self.key(report.system)
        if report.name not in self.ids:
            full = self.short.get(report.name, {})
            if len(full) == 1:
                return next(iter(full))
        return report.name


@dataclass
class _Node:
    systems: list[System] = field(default_factory=list)
    ports: dict[str, None] = field(default_factory=dict)
    reports: bool = False

    @property
    def is_switch(self) -> bool:
        """By the names of its ports, its description, what it says it can do: in this order, for
        servers with containers bridge and route too.
        """
        if any(_SWITCH_PORT.fullmatch(port) for port in self.ports):
            return True
        descriptions = " ".join(system.description for system in self.systems)
        if _SWITCH_SYSTEM.search(descriptions):
            return True
        if _HOST_SYSTEM.search(descriptions):
            return False
        return any(_FORWARDS.intersection(system.capabilities) for system in self.systems)


@dataclass
class _Reader:
    document: Document
    notes: Notes

    def read(self) -> Found:
        reports = Reports(self.document, self.notes)
        reports.read()
        self.reports = reports.reports
        self.unknown = any(report.is_unknown for report in self.reports)
        self.systems = _Systems(self.notes)
        for report in self.reports:
            for system in self.heard(report):
                self.systems.hear(system)
        self.systems.tell()
        self.nodes: dict[str, _Node] = {}
        for report in self.reports:
            self.know(report)
        cables, confirmed = self.cables()
        switches = [name for name, node in self.nodes.items() if node.is_switch]
        hosts = [name for name, node in self.nodes.items() if not node.is_switch]
        made = tuple(self.switch(name) for name in switches)
        fabric = recognise_fabric(Fabric(made, (), tuple(cables)))
        builders = [HostBuilder(name, made_up=self.is_made_up(name)) for name in hosts]
        content = build_topology(builders, fabric)
        return Found(content, self.notes.warnings, self.facts(confirmed, reports.text_only))

    def heard(self, report: Report) -> list[System]:
        return [each.system for each in report.neighbours] + (
            [report.system] if report.system else []
        )

    def know(self, report: Report) -> None:
        own = self.nodes.setdefault(self.systems.own_key(report), _Node())
        if own.reports:
            name = self.systems.own_key(report)
            self.notes.add("report-twice", f"two reports of {name}; what they say adds up")
        own.reports = True
        own.systems += [report.system] if report.system else []
        for each in report.neighbours:
            own.ports[each.port] = None
            far = self.nodes.setdefault(self.systems.key(each.system), _Node())
            if each.system not in far.systems[-1:]:
                far.systems.append(each.system)
            if each.port_id is not None and each.port_id_type != "mac":
                far.ports[each.port_id] = None

    def cables(self) -> tuple[list[Cable], int]:
        """Each once; those that both ends tell of, and how many these are."""
        told: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
        for report in self.reports:
            own = self.systems.own_key(report)
            for each in report.neighbours:
                name = self.systems.key(each.system)
                told.setdefault((own, each.port), {})[name, self.port_of(name, each)] = None
        cables = []
        confirmed = 0
        done: set[tuple[tuple[str, str], tuple[str, str]]] = set()
        for near, fars in told.items():
            for far in fars:
                both = near in told.get(far, ())
                if (far, near) in done:
                    continue
                done.add((near, far))
                confirmed += both
                if not both and self.nodes[far[0]].reports:
                    message = f"port {near[1]} of {near[0]} hears port {far[1]} of {far[0]}"
                    self.notes.add("cable-one-sided", f"{message}, which does not hear it")
                cables.append(Cable(self.end(*near), self.end(*far), seen_by_both=both))
        return cables, confirmed

    def port_of(self, far: str, each: Neighbour) -> str:
        """The other port as its own system calls it, if that reports."""
        own = self.nodes[far].ports
        said = [each.port_id or "", each.port_description or ""]
        if each.port_id_type == "mac":
            said.reverse()
        known = (text for text in said if text in own)
        return next(known, next(filter(None, said), "unknown"))

    def end(self, name: str, port: str) -> End:
        kind = EndKind.SWITCH if self.nodes[name].is_switch else EndKind.HOST
        return End(kind, name, port)

    def switch(self, name: str) -> Switch:
        node = self.nodes[name]
        extra: Attributes = ()
        for system in node.systems[:1]:
            extra += (("lldp:chassis", f"{system.id_type} {system.id}"),) if system.id else ()
            extra += (("lldp:description", system.description),) if system.description else ()
            extra += tuple(("lldp:address", address) for address in system.addresses)
        own = next((system.name for system in node.systems if system.name), None)
        shown = own or ("" if node.systems else name)
        made_up = self.is_made_up(name)
        return Switch(name, shown, "ethernet", extra=extra, made_up=made_up)

    def is_made_up(self, name: str) -> bool:
        return self.unknown and name == LOCAL and LOCAL not in self.systems.ids

    def facts(self, confirmed: int, text_only: list[str]) -> dict[str, object]:
        neighbours = [each for report in self.reports for each in report.neighbours]
        names = {each.system.name for each in neighbours}
        types: dict[str, int] = {}
        for each in neighbours:
            types[str(each.port_id_type)] = types.get(str(each.port_id_type), 0) + 1
        found: dict[str, object] = {
            "reports": len(self.reports),
            "neighbours": len(neighbours),
            "neighbour_names": sorted(names, key=lambda name: (name is not None, name or "")),
            "port_id_types": types,
            "confirmed_cables": confirmed,
        }
        if text_only:
            found["text_only"] = text_only
        return found


def read_lldp(document: Document) -> Found:
    return _Reader(document, Notes(document)).read()


def recognise_lldp(document: Document) -> bool:
    head = document.head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.startswith((b"{", b"[")):
        return False
    return _HEAD.search(head) is not None or _POLLED.search(head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "lldp",
            "Neighbours of Ethernet ports, as lldpcli's JSON tells them.",
            recognise_lldp,
            read_lldp,
            max_bytes=MAX_BYTES,
        )
    ]

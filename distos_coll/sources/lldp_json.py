"""What lldpd's JSON says of neighbours, whichever of its spellings a file has.

`lldpcli -f json0` writes every value as a list; `-f json` leaves out lists of one, and names
interfaces and systems by keys. Reports of many hosts come as one mapping, or as a poller's records
with the text of each (suzieq).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from distos_coll.api import Data, Document, Notes, TopologyError, parse_json


class System(NamedTuple):
    """A chassis, as it calls itself."""

    id: str | None = None
    id_type: str | None = None
    name: str | None = None
    description: str = ""
    capabilities: tuple[str, ...] = ()
    """Those that are enabled: Bridge, Router, Station."""
    addresses: tuple[str, ...] = ()


class Neighbour(NamedTuple):
    """Who is at the other end of a port's cable."""

    port: str
    """The own one's name."""
    system: System
    port_id: str | None = None
    port_id_type: str | None = None
    port_description: str | None = None


@dataclass
class Report:
    """What one system says."""

    name: str | None = None
    """Where the document says whose report it is."""
    system: System | None = None
    neighbours: list[Neighbour] = field(default_factory=list)

    @property
    def is_unknown(self) -> bool:
        return self.name is None and self.system is None


def many(data: Data | None) -> Iterator[Data]:
    """A list's values, or the value itself, which stands for a list of one."""
    if data is None:
        return
    if data.is_list:
        yield from data.items()
    else:
        yield data


def first(data: Data | None) -> Data | None:
    return next(many(data), None)


def text_of(data: Data | None) -> str | None:
    """Of "x", {"value": "x"} or [{"value": "x"}]."""
    found = first(data)
    if found is not None and found.is_mapping:
        found = found.get("value")
    return None if found is None or found.is_list or found.is_mapping else found.text()


def _id(data: Data | None) -> tuple[str | None, str | None]:
    found = first(data)
    if found is None:
        return None, None
    return text_of(found), text_of(found.get("type")) if found.is_mapping else None


def _system(data: Data | None) -> System | None:
    """Of {"id": .., "name": ..}, or of {NAME: {"id": ..}}."""
    found = first(data)
    if found is None or not found.is_mapping:
        return None
    own = first(found.get("id"))
    name = text_of(found.get("name"))
    if name is None and (own is None or not own.is_mapping or own.get("type") is None):
        # The only key is its name.
        named = next(found.entries(), None)
        if named is None or not named[1].is_mapping:
            return System()
        name, found = named
    capabilities = tuple(
        text_of(each.get("type")) or ""
        for each in many(found.get("capability"))
        if each.is_mapping and (enabled := each.get("enabled")) is not None and enabled.is_true()
    )
    addresses = (text_of(each) for each in many(found.get("mgmt-ip")))
    return System(
        *_id(found.get("id")),
        name,
        text_of(found.get("descr")) or "",
        capabilities,
        tuple(each for each in addresses if each),
    )


def _interfaces(lldp: Data | None) -> Iterator[tuple[str, Data]]:
    """Names and what they say, one for each neighbour."""
    for part in many(lldp):
        for entry in many(part.get("interface")):
            name = entry.get("name")
            if name is not None and not name.is_mapping and not name.is_list:
                yield name.text(), entry
                continue
            for key, said in entry.entries():
                for each in many(said):
                    yield key, each


def report_of(data: Data, name: str | None = None) -> Report:
    """One system's report: its neighbours, and itself where that is told."""
    report = Report(name)
    for key in ("local-chassis", "lldp_loc_chassis"):
        found = first(data.get(key))
        inner = first(found.get("local-chassis")) if found is not None else None
        chosen = inner or found
        if chosen is not None:
            report.system = _system(chosen.get("chassis")) or report.system
    for port, said in _interfaces(data.get("lldp")):
        system = _system(said.get("chassis")) or System()
        if said.get("via") is None and said.get("rid") is None:
            # `show interfaces`: the own chassis, at every interface.
            report.system = report.system or system
            continue
        far = first(said.get("port"))
        port_id, kind = _id(far.get("id")) if far is not None else (None, None)
        description = text_of(far.get("descr")) if far is not None else None
        report.neighbours.append(Neighbour(port, system, port_id, kind, description))
    return report


@dataclass
class Reports:
    """All reports of a document."""

    document: Document
    notes: Notes
    reports: list[Report] = field(default_factory=list)
    chassis_alone: bool = False
    """The last text was a chassis without its neighbours."""
    text_only: list[str] = field(default_factory=list)
    """Systems whose report is lldpcli's text for people, which is not read."""

    def read(self) -> None:
        for data in parse_json(self.document):
            self.one(data)
        if self.text_only:
            shown = ", ".join(self.text_only[:8])
            more = "" if len(self.text_only) <= 8 else f" and {len(self.text_only) - 8} more"
            self.notes.add("text-only", f"no JSON, and left out: the reports of {shown}{more}")

    def one(self, data: Data) -> None:
        if data.is_list:
            for record in data.items():
                self.one(record)
        elif data.get("hosts") is not None:
            for name, said in data.required("hosts").entries():
                self.reports.append(report_of(said, name))
            texts = data.get("text_only_hosts")
            self.text_only += [name for name, _ in texts.entries()] if texts is not None else []
        elif data.get("hostname") is not None and data.get("data") is not None:
            self.polled(data)
        elif any(
            data.get(key) is not None for key in ("lldp", "local-chassis", "lldp_loc_chassis")
        ):
            self.add(report_of(data), has_neighbours=data.get("lldp") is not None)
        else:
            raise data.error("no report of lldpcli's: it has neither neighbours nor a chassis")

    def add(self, report: Report, *, has_neighbours: bool) -> None:
        """`show chassis` and `show neighbors` one after the other are one report."""
        if not has_neighbours and self.reports and self.reports[-1].is_unknown:
            self.reports[-1].system = report.system
        elif has_neighbours and report.is_unknown and self.chassis_alone:
            self.reports[-1].neighbours = report.neighbours
        else:
            self.reports.append(report)
        self.chassis_alone = not has_neighbours

    def polled(self, record: Data) -> None:
        """A poller's record: the host, and its report as text."""
        name, text = record.required("hostname").text(), record.required("data").text()
        try:
            (said,) = parse_json(Document(self.document.name, text.encode()))
        except (TopologyError, ValueError):
            self.text_only.append(name)
            return
        self.reports.append(report_of(said, name))

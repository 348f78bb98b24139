"""Several documents into one model: read one by one, told apart or joined by their hosts' names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distos_coll.errors import TopologyError
from distos_coll.topology import checks, reading
from distos_coll.topology.findings import Finding, summed_up
from distos_coll.topology.infiniband import is_shared_name
from distos_coll.topology.merge import Part, merge
from distos_coll.topology.model import Topology
from distos_coll.topology.renaming import renamed
from distos_coll.topology.source import TopologySource
from distos_coll.topology.text import told


@dataclass(frozen=True)
class Wanted:
    """A document to import, and whose it is, where that was said."""

    path: Path
    host: str | None = None

    @classmethod
    def of(cls, argument: str) -> "Wanted":
        """Read FILE or NAME=FILE."""
        name, equals, path = argument.partition("=")
        if equals and name and not Path(argument).exists():
            return cls(Path(path), told(name))
        return cls(Path(argument))


@dataclass(frozen=True)
class Imported:
    topology: Topology
    findings: tuple[Finding, ...]
    """Of documents, of their merging, and of what was merged."""
    documents: tuple[tuple[str, str], ...]
    """Name and format of each."""
    named: tuple[tuple[str, str], ...] = ()
    """Documents that do not tell their host's name, and what it is called after them."""


def import_documents(
    wanted: Iterable[Wanted], sources: Sequence[TopologySource], *, short_names: bool = False
) -> Imported:
    """Read and merge documents; with `short_names` hosts are called so up to the first dot."""
    reader = _Reader(sources, short_names)
    merged = merge(reader.parts(wanted))
    topology = merged.topology
    contradictions = checks.contradictions(topology)
    findings = summed_up([*reader.findings, *merged.findings, *contradictions])
    return Imported(topology, findings, tuple(reader.documents), tuple(reader.named))


@dataclass
class _Reader:
    sources: Sequence[TopologySource]
    short_names: bool
    findings: list[Finding] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    named: list[tuple[str, str]] = field(default_factory=list)
    _files: dict[tuple[str, str], str] = field(default_factory=dict)

    def parts(self, wanted: Iterable[Wanted]) -> Iterator[Part]:
        for each in wanted:
            document = reading.open_document(each.path)
            source, found = reading.understood(document, self.sources)
            if not isinstance(found.content, Topology):
                raise document.error(
                    f"{source.name} says nothing of hosts or networks that could be merged"
                )
            self.findings += found.warnings
            self.documents.append((document.name, source.name))
            topology = self.with_names(found.content, each, source.name)
            yield Part(document.name, shortened(topology) if self.short_names else topology)

    def with_names(self, topology: Topology, wanted: Wanted, format_name: str) -> Topology:
        """Give what its document has no name for the user's, or the file's."""
        hosts = [each.name for each in topology.hosts if each.made_up or is_shared_name(each.name)]
        switches = [switch.id for switch in topology.fabric.switches if switch.made_up]
        own = told(wanted.path.name.partition(".")[0] or wanted.path.name or str(wanted.path))
        if wanted.path == reading.STANDARD_INPUT:
            own = "stdin"
        if wanted.host is not None:
            own = wanted.host
            hosts = hosts if hosts or switches else [host.name for host in topology.hosts]
            if len(hosts) + len(switches) != 1:
                raise TopologyError(
                    f"{wanted.path}: has {len(topology.hosts):,} hosts; NAME=FILE is for files of "
                    "one, and for those that do not tell one's name"
                )
        elif hosts or switches:
            self._take(wanted.path, own, format_name)
        # Of many hosts the one called localhost is not whose document it is.
        whole = wanted.host is not None or len(topology.hosts) == 1
        alone = len(hosts) + len(switches) == 1 and (whole or not any(map(is_shared_name, hosts)))
        names = {name: own if alone else f"{own}/{name}" for name in (*hosts, *switches)}
        of_hosts = {name: names[name] for name in hosts}
        if not names:
            return topology
        found = renamed(
            topology,
            lambda name: of_hosts.get(name, name),
            {name: names[name] for name in switches},
        )
        called = (
            replace(after, made_up=False) if before.name in of_hosts else after
            for before, after in zip(topology.hosts, found.hosts, strict=True)
        )
        return replace(found, hosts=tuple(called))

    def _take(self, path: Path, name: str, format_name: str) -> None:
        """Two formats of one name may tell of one host; one format tells of two."""
        other = self._files.setdefault((name, format_name), str(path))
        if other != str(path):
            raise TopologyError(
                f"{other} and {path}: neither tells its host's name, and both files have the name "
                f"{name}; say NAME=FILE"
            )
        self.named.append((told(str(path)), name))


def shortened(topology: Topology) -> Topology:
    """Call all hosts so up to the first dot of their names."""
    return renamed(topology, _short)


def _short(name: str) -> str:
    first = name.partition(".")[0]
    # An address is no name with a domain.
    return name if not first or first.isdecimal() else first

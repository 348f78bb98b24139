"""Several documents into one model: read one by one, told apart or joined by their hosts' names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distos_coll.errors import TopologyError
from distos_coll.topology import checks, reading
from distos_coll.topology.fabric import Adapter, Block, Cable, End, EndKind, Rail
from distos_coll.topology.fabric_kinds import recognise_fabric
from distos_coll.topology.findings import Finding, summed_up
from distos_coll.topology.merge import Part, merge
from distos_coll.topology.model import Host, Topology
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
    if reader.networks > 1:
        # Each document was looked at by itself, and what they are together is something else.
        fabric = recognise_fabric(replace(topology.fabric, recognised=()))
        topology = replace(topology, fabric=fabric)
    contradictions = checks.contradictions(topology)
    findings = summed_up([*reader.findings, *merged.findings, *contradictions])
    return Imported(topology, findings, tuple(reader.documents), tuple(reader.named))


@dataclass
class _Reader:
    sources: Sequence[TopologySource]
    short_names: bool
    findings: list[Finding] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    networks: int = 0
    """Documents whose network has been given a name."""
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
            self.networks += bool(found.content.fabric.recognised)
            self.documents.append((document.name, source.name))
            topology = self.with_names(found.content, each, source.name)
            yield Part(document.name, shortened(topology) if self.short_names else topology)

    def with_names(self, topology: Topology, wanted: Wanted, format_name: str) -> Topology:
        """Give hosts names that their document does not tell: the user's, or the file's."""
        if wanted.host is not None:
            if len(topology.hosts) != 1:
                count = len(topology.hosts)
                raise TopologyError(
                    f"{wanted.path}: has {count:,} hosts; NAME=FILE is for files of one"
                )
            host = replace(topology.hosts[0], name=wanted.host, made_up=False)
            return replace(topology, hosts=(host,))
        if not any(host.made_up for host in topology.hosts):
            return topology
        own = told(wanted.path.name.partition(".")[0] or wanted.path.name or str(wanted.path))
        if wanted.path == reading.STANDARD_INPUT:
            own = "stdin"
        alone = len(topology.hosts) == 1
        hosts = tuple(
            self._after_file(host, own if alone else f"{own}/{host.name}") if host.made_up else host
            for host in topology.hosts
        )
        self._take(wanted.path, own, format_name)
        return replace(topology, hosts=hosts)

    @staticmethod
    def _after_file(host: Host, name: str) -> Host:
        return replace(host, name=name, made_up=False)

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
    fabric = topology.fabric
    return replace(
        topology,
        hosts=tuple(
            replace(host, name=_short(host.name), aliases=tuple(map(_short, host.aliases)))
            for host in topology.hosts
        ),
        fabric=replace(
            fabric,
            adapters=tuple(map(_short_adapter, fabric.adapters)),
            cables=tuple(map(_short_cable, fabric.cables)),
            rails=tuple(map(_short_rail, fabric.rails)),
        ),
        blocks=tuple(map(_short_block, topology.blocks)),
    )


def _short(name: str) -> str:
    first = name.partition(".")[0]
    # An address is no name with a domain.
    return name if not first or first.isdecimal() else first


def _short_end(end: End) -> End:
    return replace(end, id=_short(end.id)) if end.kind is EndKind.HOST else end


def _short_adapter(adapter: Adapter) -> Adapter:
    return adapter if adapter.host is None else replace(adapter, host=_short(adapter.host))


def _short_cable(cable: Cable) -> Cable:
    return replace(cable, a=_short_end(cable.a), b=_short_end(cable.b))


def _short_rail(rail: Rail) -> Rail:
    return replace(rail, members=tuple(map(_short_end, rail.members)))


def _short_block(block: Block) -> Block:
    return replace(block, hosts=tuple(map(_short, block.hosts)))

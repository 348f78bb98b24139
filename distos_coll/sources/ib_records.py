"""What InfiniBand's tools print: nodes, and for each port who is at the other end of its cable.

Both ends of a cable have a line. Here they are put together, and compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from distos_coll.api import (
    Adapter,
    Attributes,
    Cable,
    End,
    EndKind,
    Fabric,
    Notes,
    Switch,
    ib_described,
    ib_is_aggregation,
    ib_mbps,
    ib_rate,
    recognise_fabric,
)


class PortRecord(NamedTuple):
    """What a node says of one of its ports."""

    line: int
    port: int
    peer: str
    """As the document calls the other node: S-98039b030096aa24."""
    peer_port: int
    rate: str = ""  # 4xHDR
    peer_lid: int | None = None
    more: str = ""
    """What else the line has, word by word."""


def by_name(extra: Sequence[tuple[str, str]]) -> Attributes:
    """Texts of one name beside each other, as JSON has them: a node may be told of twice, and a
    file may have two sweeps.
    """
    place: dict[str, int] = {}
    for name, _ in extra:
        place.setdefault(name, len(place))
    return tuple(sorted(extra, key=lambda pair: place[pair[0]]))


@dataclass(slots=True)
class NodeRecord:
    kind: EndKind
    key: str
    """As the document calls it."""
    id: str
    """As the model does."""
    ports: int
    name: str
    line: int
    lid: int | None = None
    """Of a switch."""
    lids: dict[int, int] = field(default_factory=dict)
    """Of an adapter's ports."""
    device_id: int | None = None
    extra: list[tuple[str, str]] = field(default_factory=list)
    records: dict[int, PortRecord] = field(default_factory=dict)

    @property
    def own_lids(self) -> Iterator[int]:
        if self.lid is not None:
            yield self.lid
        yield from self.lids.values()

    def says_the_same(self, other: "NodeRecord") -> bool:
        """Apart from lines."""
        ours = {port: record[2:] for port, record in self.records.items()}
        theirs = {port: record[2:] for port, record in other.records.items()}
        own, far = ((n.kind, n.name, n.ports, n.lid, n.lids) for n in (self, other))
        return own == far and ours == theirs

    def end(self, port: int) -> End:
        return End(self.kind, self.id, port)


class FabricRecords:
    """All nodes of a document."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.nodes: dict[str, NodeRecord] = {}
        self.again: list[NodeRecord] = []
        """Described once more; `ibnetdiscover -g` does that with the switches of a chassis."""

    def add(self, node: NodeRecord) -> None:
        """Of two nodes of one name the first counts; the other had better say the same."""
        if node.key in self.nodes:
            self.again.append(node)
        else:
            self.nodes[node.key] = node

    def record(self, node: NodeRecord, record: PortRecord) -> None:
        if not 0 < record.port <= node.ports:
            message = f"port {record.port} of {node.key}, which has {node.ports}"
            self.notes.add("port-number", message, record.line)
        if record.port in node.records:
            message = f"port {record.port} of {node.key} has two lines; the first counts"
            self.notes.add("port-twice", message, record.line)
        else:
            node.records[record.port] = record

    def fabric(self, extra: Attributes = ()) -> Fabric:
        """Put the two ends of each cable together and recognise what they make."""
        for node in self.again:
            other = self.nodes[node.key]
            if not other.says_the_same(node):
                message = f"{node.key} was described otherwise in line {other.line}; left out here"
                self.notes.add("node-twice", message, node.line)
        # In the order of the model, so that what is written and read again has the same ends.
        order = (EndKind.SWITCH, EndKind.ADAPTER, EndKind.ROUTER)
        self.nodes = dict(sorted(self.nodes.items(), key=lambda item: order.index(item[1].kind)))
        self._lids()
        nodes = self.nodes.values()
        return recognise_fabric(
            Fabric(
                tuple(_switch(node) for node in nodes if node.kind is EndKind.SWITCH),
                tuple(_adapter(node) for node in nodes if node.kind is EndKind.ADAPTER),
                tuple(self._cables()),
                extra=extra,
                routers=tuple(_adapter(node) for node in nodes if node.kind is EndKind.ROUTER),
            )
        )

    def _cables(self) -> Iterator[Cable]:
        done: set[tuple[str, int]] = set()
        named = {record.peer for node in self.nodes.values() for record in node.records.values()}
        for node in self.nodes.values():
            if not node.records and node.key not in named:
                self.notes.add("isolated", f"{node.key} has no cable", node.line)
            for record in node.records.values():
                if (node.key, record.port) in done:
                    continue
                back = self._back(node, record)
                if back is not None:
                    done.add((record.peer, record.peer_port))
                    if back is not record:
                        yield self._cable(node, record, back)
                elif record.peer in self.nodes:
                    peer = self.nodes[record.peer]
                    ends = node.end(record.port), peer.end(record.peer_port)
                    lanes, generation, mbps = _speed(record.rate)
                    yield Cable(*ends, lanes, generation, mbps, seen_by_both=False)

    def _back(self, node: NodeRecord, record: PortRecord) -> PortRecord | None:
        """What the other end says of the cable; None where it speaks of another."""
        peer = self.nodes.get(record.peer)
        says = f"port {record.port} of {node.key} leads to port {record.peer_port} of {record.peer}"
        if peer is None:
            self.notes.add("peer-unknown", f"{says}, which is not described", record.line)
            return None
        back = peer.records.get(record.peer_port)
        if back is record:
            self.notes.add("cable-to-itself", f"{says}: to itself; left out", record.line)
        elif back is None:
            self.notes.add("cable-one-sided", f"{says}, which says nothing of it", record.line)
        elif (back.peer, back.peer_port) != (node.key, record.port):
            other = f"port {back.peer_port} of {back.peer} (line {back.line})"
            self.notes.add("cable-one-sided", f"{says}, which leads to {other}", record.line)
            return None
        return back

    def _cable(self, node: NodeRecord, record: PortRecord, back: PortRecord) -> Cable:
        peer = self.nodes[record.peer]
        said = [rate for rate in (record.rate, back.rate) if rate]
        slower = min(said, key=_slowness, default="")
        extra: list[tuple[str, str]] = []
        if record.rate != back.rate:
            extra += [("ib:rate-a", record.rate), ("ib:rate-b", back.rate)]
        if len(set(said)) > 1:
            self.notes.add(
                "cable-speed",
                f"the ends of a cable, here and in line {back.line}, say {said[0]} and {said[1]}; "
                f"counted as {slower}",
                record.line,
            )
        extra += [("ib:more-a", record.more)] if record.more else []
        extra += [("ib:more-b", back.more)] if back.more else []
        ends = node.end(record.port), peer.end(record.peer_port)
        lanes, generation, mbps = _speed(slower)
        return Cable(*ends, lanes, generation, mbps, extra=tuple(extra))

    def _lids(self) -> None:
        """A LID is one node's, and both ends of a cable call it the same."""
        owner: dict[int, NodeRecord] = {}
        for node in self.nodes.values():
            for lid in filter(None, node.own_lids):
                other = owner.setdefault(lid, node)
                if other is not node:
                    message = f"LID {lid} is that of {other.key} too (line {other.line})"
                    self.notes.add("lid-twice", message, node.line)
        for node in self.nodes.values():
            for record in node.records.values():
                peer = self.nodes.get(record.peer)
                own = None if peer is None else peer.lids.get(record.peer_port, peer.lid)
                if peer and None not in {own, record.peer_lid} and own != record.peer_lid:
                    message = f"LID {record.peer_lid} of {record.peer}, which calls itself {own}"
                    self.notes.add("lid-differs", f"{message} in line {peer.line}", record.line)


def _speed(rate: str) -> tuple[int | None, str | None, int | None]:
    """Lanes, generation and Mb/s of "4xHDR"; what is no rate is kept as a generation."""
    known = ib_rate(rate)
    if known is None:
        return None, rate or None, None
    lanes, generation = known
    return lanes, generation or None, ib_mbps(lanes, generation)


def _slowness(rate: str) -> tuple[bool, int]:
    """Orders rates; those of no known generation come last."""
    lanes, _, mbps = _speed(rate)
    return mbps is None, mbps or lanes or 0


def _switch(node: NodeRecord) -> Switch:
    extra = by_name(node.extra)
    return Switch(node.id, node.name, "infiniband", node.ports, node.lid, extra=extra)


def _adapter(node: NodeRecord) -> Adapter:
    aggregation = ib_is_aggregation(node.name, node.device_id)
    is_host = node.kind is EndKind.ADAPTER and not aggregation
    said = ib_described(node.name) if is_host else None
    return Adapter(
        node.id,
        node.name,
        said.host if said else None,
        said.device if said else None,
        "infiniband",
        node.ports,
        tuple(lid for _, lid in sorted(node.lids.items())),
        aggregation,
        extra=by_name(node.extra),
        shared_name=said.shared_name if said else None,
    )

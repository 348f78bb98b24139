"""`nvidia-smi topo -m`, and -mp, which leaves out NVLink: a matrix of how devices reach each other.

It names no addresses: GPUs are numbers, adapters their names in the legend, and a NUMA node is what
GPUs with the same affinity share. Captures have a shell's prompt before, tabs made into blanks,
colours, no legend; drivers before 2017 say SOC for SYS.
"""

import re
from dataclasses import dataclass, field

from distos_coll.api import (
    NOWHERE,
    PCI_NVSWITCH,
    Document,
    Finding,
    Found,
    Gpu,
    HostBuilder,
    Link,
    LinkKind,
    Nic,
    Numa,
    Port,
    Relation,
    TopologyError,
    TopologySource,
    build_topology,
    hookimpl,
)
from distos_coll.sources import cpu_lists

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_GPU = re.compile(r"GPU(\d{1,4})")
_CELL = re.compile(r"X|NV(\d{1,2})|SYS|SOC|NODE|PHB|PXB|PIX|PSB")
_DEVICE = re.compile(r"[A-Za-z][\w.-]{0,60}\d\w{0,8}")
_OLD_WORDS = {"SOC": "SYS", "PSB": "PIX"}
_AFFINITY = re.compile(r"\s(CPU Affinity|NUMA Affinity|GPU NUMA ID)")
_NIC_LEGEND = re.compile(r"\s*(NIC\d{1,4}):\s*(\S{1,64})\s*")
_LEGEND = re.compile(r"\s*([A-Z#]{1,6}\d{0,2})\s+=\s.*")

MOST_DEVICES = 1024
_LINKS_AT_MOST = 18
"""Of any GPU. Where a row has more in all, each cell counts the links of the GPU to switches."""
_UNSEEN_SWITCH = "fffffff:ff:ff.0"
"""NCCL's name for one that the machine does not show."""
_LINES_LOOKED_AT = 200
_LONGEST = 1 << 14
"""Characters of a line."""


@dataclass
class _Row:
    line: int
    cells: list[str]
    affinity: list[str]


@dataclass
class _Matrix:
    line: int
    names: list[str]
    affinities: list[str]
    rows: dict[str, _Row] = field(default_factory=dict)
    nic_names: dict[str, str] = field(default_factory=dict)
    legend: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.column = {name: i for i, name in enumerate(self.names)}
        self.gpus = [name for name in self.names if _GPU.fullmatch(name)]
        self.nics = [name for name in self.names if not _GPU.fullmatch(name)]

    def cell(self, row: str, column: str) -> str | None:
        found = self.rows.get(row)
        if found is None:
            return None
        cell = found.cells[self.column[column]]
        return _OLD_WORDS.get(cell, cell)


def _header(line: str) -> tuple[list[str], list[str]] | None:
    """Names of the devices and of the columns after them; None if it is no header."""
    first = _AFFINITY.search(line)
    names = (line[: first.start()] if first else line).split()
    if not names or not _GPU.fullmatch(names[0]) or (len(names) > 1 and _CELL.fullmatch(names[1])):
        return None
    return (names, _AFFINITY.findall(line)) if all(map(_DEVICE.fullmatch, names)) else None


def _fields(line: str, devices: int) -> list[str]:
    """Split a row; by tabs, where it has them, because an affinity may be empty."""
    fields = [field.strip() for field in line.lstrip().split("\t")]
    if len(fields) > devices and all(map(_CELL.fullmatch, fields[1 : devices + 1])):
        return fields
    return line.split()


def recognise(document: Document) -> bool:
    header = False
    for raw in document.head.decode("utf-8-sig", "replace").splitlines()[:_LINES_LOOKED_AT]:
        line = _COLOURS.sub("", raw[:_LONGEST])
        words = line.split()
        if header and len(words) > 1 and _GPU.fullmatch(words[0]) and _CELL.fullmatch(words[1]):
            return True
        header = header or _header(line) is not None
    return False


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings: list[Finding] = []
        self.matrix: _Matrix | None = None

    def error(self, what: str, line: int) -> TopologyError:
        return self.document.error(what, line)

    def find(self, code: str, message: str, line: int) -> None:
        self.findings.append(Finding(code, message, f"{self.document.name}:{line}"))

    def read(self) -> _Matrix:
        text = self.document.data.decode("utf-8-sig", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            self.line(number, _COLOURS.sub("", line[:_LONGEST]))
        matrix = self.matrix
        if matrix is None:
            raise self.error("no line with the names of GPUs: no matrix of nvidia-smi topo", 0)
        for name in matrix.names:
            if name in matrix.rows:
                continue
            if _GPU.fullmatch(name):
                raise self.error(f"cut off: there is no row of {name}", matrix.line)
            self.find("row-missing", f"there is no row of {name}", matrix.line)
        return matrix

    def line(self, number: int, line: str) -> None:
        words = line.split()
        if not words:
            return
        if self.matrix is None:
            self.start(number, line)
        elif words[0] in self.matrix.column:
            self.row(self.matrix, number, _fields(line, len(self.matrix.names)))
        elif match := _NIC_LEGEND.fullmatch(line):
            self.matrix.nic_names[match[1]] = match[2]
        elif match := _LEGEND.fullmatch(line):
            self.matrix.legend.add(match[1])

    def start(self, number: int, line: str) -> None:
        header = _header(line)
        if header is None:
            return
        names, affinities = header
        if len(names) > MOST_DEVICES:
            raise self.error(f"{len(names):,} devices in one host", number)
        if len(set(names)) < len(names):
            raise self.error("a device is named twice in the header", number)
        self.matrix = _Matrix(number, names, affinities)

    def row(self, matrix: _Matrix, number: int, words: list[str]) -> None:
        name, cells = words[0], words[1 : 1 + len(matrix.names)]
        if len(cells) < len(matrix.names):
            raise self.error(
                f"cut off: the row of {name} has {len(cells)} of {len(matrix.names)} cells", number
            )
        for cell in cells:
            if not _CELL.fullmatch(cell):
                raise self.error(
                    f"{cell[:20]!r} in the row of {name}: expected X, NV and a number, SYS, NODE, "
                    "PHB, PXB or PIX",
                    number,
                )
        if name in matrix.rows:
            self.find("row-twice", f"the row of {name} occurs twice; the first counts", number)
            return
        matrix.rows[name] = _Row(number, cells, words[1 + len(matrix.names) :])


class _Maker:
    """Makes the host of a matrix."""

    def __init__(self, reader: _Reader, matrix: _Matrix) -> None:
        self.reader = reader
        self.matrix = matrix
        self.host = HostBuilder("host0", made_up=True)
        self.node: dict[str, int] = {}
        self.numa: dict[tuple[str, str], int] = {}

    def make(self) -> Found:
        for name in self.matrix.gpus:
            self.gpu(name)
        for name in self.matrix.nics:
            self.nic(name)
        self.links()
        self.relations()
        legend = self.matrix.legend
        facts = {"nvlink_shown": not legend or any(word.startswith("NV") for word in legend)}
        return Found(build_topology([self.host]), tuple(self.reader.findings), facts)

    def gpu(self, name: str) -> None:
        row = self.matrix.rows[name]
        told = dict(zip(self.matrix.affinities, row.affinity, strict=False))
        cpus, numa = (told.get(f"{kind} Affinity", "") for kind in ("CPU", "NUMA"))
        parent = self.numa_node(cpus, numa, row.line)
        number = _GPU.fullmatch(name)
        self.node[name] = self.host.add_gpu(Gpu(parent, dev=int(number[1]) if number else None))

    def numa_node(self, cpus: str, numa: str, line: int) -> int:
        """Of the affinities' words; a new one for each pair of them."""
        if cpus in {"", "N/A"} and numa in {"", "N/A"}:
            return NOWHERE
        key = (cpus, numa)
        if key not in self.numa:
            number = int(numa) if re.fullmatch(r"\d{1,6}", numa) else None
            known = self.cpus(cpus, line)
            extra = [("nvidia-smi:cpu_affinity", cpus[:200])] if known is None else []
            extra += [("nvidia-smi:numa_affinity", numa[:200])] if number is None else []
            node = Numa(id=number, cpus=known, extra=tuple(each for each in extra if each[1]))
            self.numa[key] = self.host.add(node)
        return self.numa[key]

    def cpus(self, text: str, line: int) -> int | None:
        """None if the list is one that nvidia-smi has cut to the width of its column."""
        if text in {"", "N/A"}:
            return None
        try:
            found = cpu_lists.from_list(text)
        except ValueError:
            message = f"the CPU list {text[:40]!r} is cut off or none; it was left out"
            self.reader.find("cpu-list", message, line)
            return None
        if re.fullmatch(r"\d+(,\d+){4,}", text):
            message = f"the CPU list {text[:40]!r} may be cut off by nvidia-smi; it was left out"
            self.reader.find("cpu-list", message, line)
            return None
        return found

    def nic(self, name: str) -> None:
        own = self.matrix.nic_names.get(name, name)
        extra = (("nvidia-smi:column", name),) if own != name else ()
        nic = self.host.add(Nic(NOWHERE))
        self.node[name] = self.host.add_port(Port(nic, own, extra=extra))

    def links(self) -> None:
        """NVLinks of each GPU: to switches, or to others, as each row counts them."""
        counts = {name: self.nvlinks(name) for name in self.matrix.gpus}
        switched = {name for name, row in counts.items() if sum(row.values()) > _LINKS_AT_MOST}
        for name, row in counts.items():
            if name in switched:
                # One link lost shows in the GPU's own row, and in the others' cells to it.
                link = Link(
                    LinkKind.NVLINK,
                    self.node[name],
                    count=max(row.values()),
                    named=_UNSEEN_SWITCH,
                    named_class=PCI_NVSWITCH,
                )
                self.host.link(link)
                self.check_switched(name, set(row), switched)
                continue
            for other, count in row.items():
                target = self.node[other]
                self.host.link(Link(LinkKind.NVLINK, self.node[name], target, count, named=other))

    def nvlinks(self, name: str) -> dict[str, int]:
        found = {}
        row = self.matrix.rows[name]
        for other, cell in zip(self.matrix.names, row.cells, strict=True):
            match = _CELL.fullmatch(cell)
            if match and match[1] and other in self.matrix.gpus:
                found[other] = int(match[1])
        return found

    def check_switched(self, name: str, reached: set[str], switched: set[str]) -> None:
        missing = sorted(switched - reached - {name})
        if missing:
            message = f"{name} is on NVLink switches, and its row has no NVLink to {missing[0]}"
            self.reader.find("nvlink-switch", message, self.matrix.rows[name].line)

    def relations(self) -> None:
        """Each pair once; where the two halves of the matrix differ, the upper one counts."""
        matrix = self.matrix
        for i, a in enumerate(matrix.names):
            line = matrix.rows[a].line if a in matrix.rows else matrix.line
            if matrix.cell(a, a) not in {"X", None}:
                self.reader.find("self", f"{matrix.cell(a, a)!r} between {a} and itself", line)
            for b in matrix.names[i + 1 :]:
                there, back = matrix.cell(a, b), matrix.cell(b, a)
                path = there or back
                if path is None:
                    continue
                if there is not None and back is not None and there != back:
                    message = f"{a} to {b} is {there}, and {b} to {a} is {back}"
                    self.reader.find("not-symmetric", message, line)
                if path != "X" and not path.startswith("NV"):
                    self.host.relations.append(Relation(self.node[a], self.node[b], path))


def parse(document: Document) -> Found:
    reader = _Reader(document)
    return _Maker(reader, reader.read()).make()


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "nvidia-smi-topo",
            "The matrix of nvidia-smi topo -m.",
            recognise,
            parse,
            max_bytes=1 << 24,
        )
    ]

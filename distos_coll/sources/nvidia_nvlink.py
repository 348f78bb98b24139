"""`nvidia-smi nvlink --status`: how many links of a GPU are up, how fast; not where they lead."""

import re
from collections import Counter
from dataclasses import dataclass, field

from distos_coll.api import (
    MAX_HOST_GPUS,
    NOWHERE,
    Document,
    Finding,
    Found,
    Gpu,
    GpuId,
    HostBuilder,
    Link,
    LinkKind,
    TopologySource,
    build_topology,
    hookimpl,
)

_GPU = re.compile(r"GPU (\d{1,4}): (.{1,200}?)(?: \(UUID: ([\w-]{1,64})\))?")
_LINK = re.compile(r"Link (\d{1,3}): (.{1,80})")
_BELOW = re.compile(r"^[ \t]+Link \d{1,3}: (\d|<?inactive)|\bNVLink\b", re.M)
_RATE = re.compile(r"(\d{1,4}(?:\.\d{1,6})?) GB/s")
_INACTIVE = re.compile(r"<?inactive>?", re.I)
_LONGEST = 400
"""Characters of a line that are looked at."""

_PAYLOAD = {"19.926": 20.0, "25.781": 25.0, "26.562": 25.0, "53.125": 50.0}
"""Of the rates on the wire that it prints what data have of them, as NVIDIA's data sheets say."""


@dataclass
class _Listed:
    line: int
    number: int
    name: str
    uuid: str | None
    links: dict[int, str] = field(default_factory=dict)


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings: list[Finding] = []
        self.gpus: list[_Listed] = []

    def read(self) -> Found:
        text = self.document.data.decode("utf-8-sig", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            self.line(number, line[:_LONGEST].strip())
        if not self.gpus:
            raise self.document.error("no line of a GPU: not the status of nvidia-smi nvlink")
        host = HostBuilder("host0", made_up=True)
        active = sum([self.add(host, listed) for listed in self.gpus])
        facts = {"nvlinks_active": active}
        return Found(build_topology([host]), tuple(self.findings), facts)

    def line(self, number: int, line: str) -> None:
        if match := _GPU.fullmatch(line):
            if len(self.gpus) >= MAX_HOST_GPUS:
                raise self.document.error(f"more than {MAX_HOST_GPUS:,} GPUs in one host", number)
            self.gpus.append(_Listed(number, int(match[1]), match[2], match[3]))
        elif self.gpus and (match := _LINK.fullmatch(line)):
            self.gpus[-1].links.setdefault(int(match[1]), match[2])

    def find(self, code: str, message: str, listed: _Listed) -> None:
        where = f"{self.document.name}:{listed.line}: GPU {listed.number}"
        self.findings.append(Finding(code, message, where))

    def add(self, host: HostBuilder, listed: _Listed) -> int:
        """Add a GPU and its links; return how many are active."""
        gpu = Gpu(NOWHERE, dev=listed.number, name=listed.name)
        node = host.add_gpu(gpu, GpuId(listed.uuid))
        rates: Counter[str] = Counter()
        down = []
        for number, told in sorted(listed.links.items()):
            if match := _RATE.fullmatch(told):
                rates[match[1]] += 1
            elif _INACTIVE.fullmatch(told):
                down.append(number)
            else:
                self.find("bad-value", f"link {number} says {told[:40]!r}; left out", listed)
        if down:
            self.find("nvlink-down", f"NVLinks {down} are inactive", listed)
        for rate, count in rates.items():
            link = Link(
                LinkKind.NVLINK,
                node,
                count=count,
                gbps=_PAYLOAD.get(rate, float(rate)),
                extra=(("nvidia-smi:rate", f"{rate} GB/s"),),
            )
            host.link(link)
        return rates.total()


def parse(document: Document) -> Found:
    return _Reader(document).read()


def recognise(document: Document) -> bool:
    """By the line of a GPU and that of a link below it, or that there are none."""
    head = document.head.decode("utf-8-sig", "replace")
    gpu = re.search(r"^GPU \d{1,4}: ", head, re.M)
    return gpu is not None and _BELOW.search(head, gpu.end()) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "nvidia-smi-nvlink",
            "The links of nvidia-smi nvlink --status.",
            recognise,
            parse,
            max_bytes=1 << 24,
        )
    ]

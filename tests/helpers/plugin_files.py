"""Plugins for tests, written as modules, or as installed distributions without pip."""

from pathlib import Path

STAR = '''
from distos_coll.api import AlgorithmSpec, Collective, CostInput, ProgramBuilder, hookimpl


def build():
    """Everybody sends to rank 0, which answers everybody."""
    p = ProgramBuilder("{name}", Collective.ALL_REDUCE)
    p.copy((p.output, 0), (p.input, 0), p.count)
    center = p.rank.eq(0)
    with p.when(center):
        for r in p.loop(1, p.size):
            p.recv_reduce(r, (p.output, 0), (p.output, 0), p.count)
        p.finalize(p.output, 0, p.count)
        for r in p.loop(1, p.size):
            p.send(r, p.output, 0, p.count)
    with p.when(1 - center):
        p.send(0, p.input, 0, p.count)
        p.recv(0, p.output, 0, p.count)
    return p.build()


def cost(c: CostInput) -> float:
    return {cost} + 2 * (c.size - 1) * c.hop_us(c.bytes)


@hookimpl
def distos_coll_algorithms():
    return [AlgorithmSpec("{name}", Collective.ALL_REDUCE, build, cost, doc="a star")]
'''


def star(name: str = "star", cost: str = "1e9") -> str:
    """The text of a plugin with one algorithm, which wins nowhere unless its cost is low."""
    return STAR.replace("{name}", name).replace("{cost}", cost)


def install(folder: Path, name: str, version: str, module: str, code: str) -> None:
    """Lay out a distribution with an entry point as pip would."""
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[distos_coll]\n{name} = {module}\n", encoding="utf-8")

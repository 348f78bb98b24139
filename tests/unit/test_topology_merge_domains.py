"""Merging NVLink domains, what only a PCI class tells, and what is too deep together."""

import pytest
from error_page import raises
from models import GPU

from distos_coll.api import (
    NOWHERE,
    Gpu,
    GpuId,
    Host,
    HostTemplate,
    Numa,
    Pci,
    Topology,
    local_nvlink_domain,
)
from distos_coll.topology.merge import Part, merge


def domain_names(*said: tuple[str, ...]) -> list[str | None]:
    """What GPUs of which documents say these domains, one each, are called in the end."""
    template = HostTemplate(tuple(Gpu(NOWHERE, i) for i in range(len(said))))
    parts = []
    for number in range(max(map(len, said))):
        own = (each[number] if number < len(each) else None for each in said)
        gpus = tuple(GpuId(nvlink_domain=name) for name in own)
        parts.append(Part(str(number), Topology((Host("n", template, gpus),))))
    (found,) = merge(parts).topology.hosts
    return [own.nvlink_domain for own in found.gpus]


def test_domains_that_others_know_stay_two() -> None:
    """Though one document, which sees no more than that there are switches, calls them one."""
    local = local_nvlink_domain("n")
    assert domain_names(("u.1", local), ("u.2", local)) == ["u.1", "u.2"]


def test_many_names_of_one_domain() -> None:
    names = [local_nvlink_domain(f"{i:04}") for i in range(1000)]
    chain = list(zip(names[1:], names[:-1], strict=True))
    assert set(domain_names(*chain)) == {names[0]}
    assert set(domain_names(*chain, (names[-1], "u.1"))) == {"u.1"}


def is_implied(*said: bool) -> bool:
    """Whether a GPU is in the end of which documents say so, or not."""
    parts = []
    for number, own in enumerate(said):
        # NUMA nodes, so that templates differ and are fused.
        nodes = (Pci(NOWHERE, "0000:01:00.0", GPU), Gpu(0, implied=own), Numa(id=number))
        parts.append(Part(str(number), Topology((Host("n", HostTemplate(nodes), (GpuId(),)),))))
    (found,) = merge(parts).topology.hosts
    node = found.template.nodes[found.template.gpus[0]]
    assert isinstance(node, Gpu)
    return node.implied


def test_a_gpu_is_implied_where_nobody_states_it() -> None:
    assert is_implied(True, True)
    assert not is_implied(True, False)
    assert not is_implied(False, True)


def functions(first: int, last: int) -> Topology:
    """PCI functions below each other."""
    nodes = tuple(Pci(i - 1, f"{first + i:04x}:00:00.0") for i in range(last - first))
    return Topology((Host("n", HostTemplate(nodes)),))


@pytest.mark.parametrize(("last", "fits"), [(100, True), (101, False)])
def test_what_is_too_deep_together(last: int, fits: bool) -> None:
    parts = [Part("a", functions(0, 60)), Part("b", functions(59, last))]
    if fits:
        assert len(merge(parts).topology.hosts[0].template.nodes) == last
        return
    with raises("model-depth", r"n: nodes\[100\]"):
        merge(parts)

"""Every built-in program is verified for 1 to 17 ranks."""

import random

import pytest

from distos_coll._vocabulary import Collective, Need
from distos_coll.errors import PlanError
from distos_coll.plugins.manager import Algorithm, built_in_registry
from distos_coll.program.contract import REDUCING
from distos_coll.program.layout import Orders
from distos_coll.program.verify import verify

REGISTRY = built_in_registry()
SMALL = range(1, 9)
LARGE = range(9, 18)


def name_of(algorithm: Algorithm) -> str:
    spec = algorithm.spec
    return f"{spec.collective.name.lower()}-{spec.key.replace('/', '-')}"


def partitions(size: int, one_domain: bool) -> list[tuple[int, ...]]:
    """One domain; one uneven split, interleaved; every rank for itself."""
    if one_domain:
        return [(0,) * size]
    draw = random.Random(size)
    uneven = tuple(draw.randrange(max(1, (size + 1) // 3)) for _ in range(size))
    return list(dict.fromkeys([(0,) * size, uneven, tuple(range(size))]))


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
def test_small_groups(algorithm: Algorithm) -> None:
    for size in SMALL:
        for domain_of in partitions(size, Need.ONE_DOMAIN in algorithm.spec.needs):
            verify(REGISTRY.program(algorithm), size, domain_of=domain_of)


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
def test_larger_groups(algorithm: Algorithm) -> None:
    one_domain = Need.ONE_DOMAIN in algorithm.spec.needs
    for size in LARGE:
        # One partition each: small groups have seen the combinations.
        options = partitions(size, one_domain)
        domain_of = options[size % len(options)]
        verify(REGISTRY.program(algorithm), size, domain_of=domain_of)


BETWEEN_DOMAINS = [a for a in REGISTRY.algorithms if Need.ONE_DOMAIN not in a.spec.needs]


@pytest.mark.parametrize("algorithm", BETWEEN_DOMAINS, ids=name_of)
def test_domains_in_any_order(algorithm: Algorithm) -> None:
    draw = random.Random(7)
    for size in (3, 5, 8):
        for domain_of in partitions(size, False)[1:]:
            domains = range(len(set(domain_of)))
            orders = Orders(*(tuple(draw.sample(domains, len(domains))) for _ in range(2)))
            verify(REGISTRY.program(algorithm), size, domain_of=domain_of, orders=orders)


REDUCING_ALGORITHMS = [a for a in REGISTRY.algorithms if a.spec.collective in REDUCING]


@pytest.mark.parametrize("algorithm", REDUCING_ALGORITHMS, ids=name_of)
def test_what_reduces_at_once_does_so_in_the_order_of_ranks(algorithm: Algorithm) -> None:
    program = REGISTRY.program(algorithm)
    for size in (*SMALL, 17):
        for domain_of in partitions(size, Need.ONE_DOMAIN in algorithm.spec.needs):
            if program.reduces_at_once:
                verify(program, size, domain_of=domain_of, in_rank_order=True)
            else:
                with pytest.raises(PlanError, match="reduces in parts"):
                    verify(program, size, domain_of=domain_of, in_rank_order=True)


@pytest.mark.parametrize("collective", sorted(REDUCING))
def test_every_reduction_has_a_program_in_the_order_of_ranks(collective: Collective) -> None:
    programs = [REGISTRY.program(a) for a in REGISTRY.of(collective)]
    assert any(p.reduces_at_once and p.needs == Need(0) for p in programs)


@pytest.mark.parametrize("collective", list(Collective))
def test_every_collective_runs_anywhere(collective: Collective) -> None:
    assert any(a.spec.needs == Need(0) for a in REGISTRY.of(collective))

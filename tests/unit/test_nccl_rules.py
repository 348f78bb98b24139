"""Which of NCCL's candidates may run, what lists allow, and with how many channels and threads."""

import pytest
from error_page import raises
from nccl_jobs import KIB, MIB, ONE_NODE, TWO_NODES, ask, changed, graph, tree_graph

from distos_coll.api import (
    Collective,
    DType,
    Estimate,
    Job,
    NcclView,
    Operation,
    PathType,
    PlanError,
    ReduceOp,
    cheapest,
)
from distos_coll.plugins.manager import load_cost_models

C = Collective

EVERYTHING = NcclView(
    90,
    ring=graph(8, 40),
    tree=tree_graph(8, 40),
    collnet_chain=graph(8, 40),
    collnet_direct=graph(8, 40),
    nvls=graph(8, 40),
    nvswitch=True,
    collnet_heads=8,
)
ALL = Job((8,) * 4, EVERYTHING)


def able(found: dict[str, Estimate]) -> set[str]:
    return {name for name, each in found.items() if each.may_run}


def three(*algorithms: str) -> set[str]:
    return {f"{a}/{p}" for a in algorithms for p in ("ll", "ll128", "simple")}


def simple(*algorithms: str) -> set[str]:
    return {f"{a}/simple" for a in algorithms}


def test_the_matrix() -> None:
    assert able(ask(ALL)) == three("tree", "ring") | simple(
        "collnetdirect", "collnetchain", "nvls", "nvlstree"
    )
    for collective in (C.ALL_GATHER, C.REDUCE_SCATTER):
        found = ask(ALL, collective=collective)
        assert able(found) == three("ring") | simple("collnetdirect", "nvls")
        assert "one rank per node" in found["pat/simple"].reason
        single = Job((1,) * 4, EVERYTHING)
        assert "pat/simple" in able(ask(single, collective=collective))
    for collective in (C.BROADCAST, C.REDUCE):
        assert able(ask(ALL, collective=collective)) == three("ring")


def test_every_candidate_has_a_time_or_a_reason() -> None:
    for collective in C:
        found = ask(ALL, collective=collective)
        assert len(found) == 21
        for each in found.values():
            assert bool(each.reason) is not each.may_run, each
            numbers = (each.time_us, each.fixed_us, each.latency_us, each.gbps, each.channels)
            assert all((number is None) is not each.may_run for number in numbers), each


@pytest.mark.parametrize(
    "collective", [C.ALL_TO_ALL, C.GATHER, C.SCATTER, C.BARRIER, C.ALL_TO_ALL_V, C.ALL_GATHER_V]
)
def test_what_nccl_makes_of_sends_has_no_time(collective: Collective) -> None:
    found = ask(ALL, collective=collective)
    assert able(found) == set()
    assert all("sends and receives" in each.reason for each in found.values())


def test_types_and_operations_that_nccl_has_not() -> None:
    assert "no int16" in ask(ALL, dtype=DType.INT16)["ring/ll"].reason
    assert "no complex64" in ask(ALL, dtype=DType.COMPLEX64)["ring/ll"].reason
    assert "by bxor" in ask(ALL, dtype=DType.INT32, op=ReduceOp.BXOR)["ring/ll"].reason
    # A broadcast does not reduce.
    assert "ring/ll" in able(ask(ALL, collective=C.BROADCAST, op=ReduceOp.BXOR))


def test_one_rank() -> None:
    found = ask(Job((1,), EVERYTHING))
    assert able(found) == {"ring/simple"}
    assert found["ring/simple"].time_us == 0
    assert "nobody" in found["tree/ll"].reason


def test_without_channels() -> None:
    view = NcclView(90, ring=graph(8, 40), nvswitch=True, collnet_heads=8)
    found = ask(Job((8,) * 4, view))
    assert able(found) == three("ring")
    for name in ("tree/ll", "collnetdirect/simple", "collnetchain/simple", "nvls/simple"):
        assert "no channels of its kind" in found[name].reason


def why(name: str, job: Job = ALL, **operation: object) -> str:
    return ask(job, **operation)[name].reason  # type: ignore[arg-type]


def test_two_nodes_are_enough_for_the_network_to_reduce() -> None:
    two = Job((8,) * 2, EVERYTHING)
    assert able(ask(two)) == able(ask(ALL))
    dark = changed(two, collnet_heads=0)
    assert able(ask(dark)) == three("tree", "ring") | simple("nvlstree")
    few = changed(two, collnet_heads=7)
    assert able(ask(few, collective=C.ALL_GATHER)) == three("ring")


def test_what_collnet_needs() -> None:
    for name in ("collnetdirect/simple", "collnetchain/simple"):
        assert "NCCL_COLLNET_ENABLE" in why(name, changed(ALL, collnet_heads=0))
        assert "one node" in why(name, Job((8,), EVERYTHING))
        assert "at most 8 ranks of a node, not 9" in why(name, Job((9,) * 4, EVERYTHING))
    without = changed(ALL, nvswitch=False)
    assert "NVSwitch" in why("collnetdirect/simple", without)
    assert not why("collnetchain/simple", without)
    few = changed(ALL, collnet_heads=4)
    assert "collnetdirect/simple" in able(ask(few))
    for name in ("collnetdirect/simple", "nvls/simple"):
        assert "NIC for each of 8 ranks of a node, and has 4" in why(
            name, few, collective=C.ALL_GATHER
        )


def test_what_nvls_needs() -> None:
    for name in ("nvls/simple", "nvlstree/simple"):
        assert "NVSwitch" in why(name, changed(ALL, nvswitch=False))
        old = changed(ALL, compute_capability=80, max_compute_capability=80)
        assert "Hopper" in why(name, old)
        assert "2 channels" in why(name, changed(ALL, nvls=graph(1, 40)))
        assert not why(name, changed(ALL, nvls=graph(2, 40)))
    assert "one node" in why("nvlstree/simple", Job((8,), EVERYTHING))
    assert not why("nvls/simple", Job((8,), EVERYTHING))
    dark = changed(ALL, collnet_heads=0)
    assert "NCCL_COLLNET_ENABLE" in why("nvls/simple", dark)
    assert not why("nvlstree/simple", dark)
    # A GPU of the oldest generation decides.
    mixed = changed(ALL, compute_capability=80, max_compute_capability=90)
    assert "Hopper" in why("nvls/simple", mixed)
    wide = Job((36,), EVERYTHING)
    assert "at most 32 ranks of a node, not 36" in why("nvls/simple", wide, collective=C.ALL_GATHER)
    assert not why("nvls/simple", wide)
    assert not why("nvls/simple", Job((32,), EVERYTHING), collective=C.ALL_GATHER)


@pytest.mark.parametrize(
    ("dtype", "ops"),
    [
        (DType.INT32, "SUM MIN MAX"),
        (DType.INT64, "SUM MIN MAX"),
        (DType.FLOAT16, "SUM MIN MAX"),
        (DType.BFLOAT16, "SUM MIN MAX"),
        (DType.FLOAT32, "SUM"),
        (DType.FLOAT64, "SUM"),
        (DType.INT8, ""),
        (DType.FLOAT8_E4M3, ""),
    ],
)
def test_what_nvswitches_reduce(dtype: DType, ops: str) -> None:
    job = Job((8,), EVERYTHING)
    for op in (ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX, ReduceOp.AVERAGE):
        for collective in (C.ALL_REDUCE, C.REDUCE_SCATTER):
            reason = why("nvls/simple", job, collective=collective, dtype=dtype, op=op)
            assert ("NVSwitches do not reduce" in reason) is (op.name not in ops.split())
        assert not why("nvls/simple", job, collective=C.ALL_GATHER, dtype=dtype, op=op)


def test_what_pat_needs() -> None:
    single = Job((1,) * 4, EVERYTHING)
    assert "60" in why(
        "pat/simple",
        changed(single, compute_capability=52, max_compute_capability=52),
        collective=C.ALL_GATHER,
    )
    pascal = changed(single, compute_capability=60, max_compute_capability=60)
    assert not why("pat/simple", pascal, collective=C.ALL_GATHER)
    two_each = why("pat/simple", Job((2,) * 4, EVERYTHING), collective=C.ALL_GATHER)
    assert "one rank per node" in two_each
    average = {"op": ReduceOp.AVERAGE}
    assert "average" in why("pat/simple", single, collective=C.REDUCE_SCATTER, **average)
    assert not why("pat/simple", single, collective=C.ALL_GATHER, **average)


@pytest.mark.parametrize(
    ("lowest", "highest", "intra", "inter", "c2c", "expected"),
    [
        (90, 90, "NVL", "PIX", True, ""),
        (90, 90, "NVB", "PXB", True, ""),
        (90, 90, "NVL", "P2C", True, ""),
        (90, 90, "NVL", "PXN", True, ""),
        (90, 90, "NVL", "PHB", True, "no further away than PXN, not PHB"),
        (90, 90, "NVL", "PXN", False, "no further away than PXB, not PXN"),
        (80, 80, "NVL", "PXB", True, ""),
        (80, 80, "NVL", "PXN", True, "no further away than PXB, not PXN"),
        (90, 90, "PIX", "PIX", True, "needs NVLink between GPUs, not PIX"),
        (60, 60, "NVL", "PIX", True, "compute capability 70"),
        (70, 70, "NVL", "PIX", True, ""),
        (70, 80, "NVL", "PIX", True, "alike, not 70 beside 80"),
        (80, 90, "NVL", "PIX", True, "alike, not 80 beside 90"),
        (90, 100, "NVL", "PIX", True, ""),
    ],
)
def test_what_ll128_needs(
    lowest: int, highest: int, intra: str, inter: str, c2c: bool, expected: str
) -> None:
    kind = {"type_intra": PathType[intra], "type_inter": PathType[inter]}
    job = changed(
        TWO_NODES,
        compute_capability=lowest,
        max_compute_capability=highest,
        ll128_c2c=c2c,
        ring=graph(8, 40, **kind),
    )
    found = ask(job)
    assert expected in found["ring/ll128"].reason
    assert found["ring/ll128"].may_run is not bool(expected)
    assert found["ring/ll"].may_run
    # Who names it gets it.
    assert ask(changed(job, proto="LL128"))["ring/ll128"].may_run
    assert ask(changed(job, proto="^LL"))["ring/ll128"].may_run
    # A list of another collective's says nothing.
    assert ask(changed(job, proto="broadcast:ll"))["ring/ll128"].may_run is not bool(expected)


# Lists


@pytest.mark.parametrize(
    ("algo", "proto", "expected"),
    [
        ("Ring", "", three("ring")),
        ("^ring", "", three("tree")),
        ("ring, tree", "Simple", simple("ring", "tree")),
        ("", "^simple,LL128", {"ring/ll", "tree/ll"}),
        ("ring;allreduce:tree", "", three("tree")),
        ("tree;broadcast:ring", "LL;reduce:simple", {"tree/ll"}),
        ("AllReduce:^tree", "", three("ring")),
        ("allreduce:tree;allreduce:ring", "", three("ring")),
        ("ring;", "", three("ring")),
    ],
)
def test_lists(algo: str, proto: str, expected: set[str]) -> None:
    found = ask(changed(TWO_NODES, algo=algo, proto=proto))
    assert able(found) == expected
    left_out = [found[name].reason for name in three("tree", "ring") - expected]
    assert all(
        reason in (f"left out by NCCL_ALGO={algo}", f"left out by NCCL_PROTO={proto}")
        for reason in left_out
    )


def test_a_list_that_leaves_nothing_is_an_error_for_whoever_chooses() -> None:
    found = ask(changed(TWO_NODES, algo="tree"), collective=C.BROADCAST)
    with pytest.raises(PlanError, match="left out by NCCL_ALGO=tree"):
        cheapest(found.values())


def test_lists_that_cannot_be_read() -> None:
    with raises("nccl-list-unknown", "NCCL_ALGO: unknown name 'rings', did you mean 'ring'"):
        ask(changed(TWO_NODES, algo="rings"))
    with raises("nccl-list-unknown", "NCCL_PROTO: unknown collective 'alltoall'"):
        ask(changed(TWO_NODES, proto="alltoall:ll"))
    with raises("nccl-list-for-none", "'tree' names no collective"):
        ask(changed(TWO_NODES, algo="allreduce:ring;tree"))
    with raises("nccl-list-empty", "NCCL_ALGO"):
        ask(changed(TWO_NODES, algo="allreduce:"))


def test_a_job_without_what_nccl_knows() -> None:
    with raises("model-view", "'nccl' needs Job.nccl"):
        load_cost_models().estimate("nccl", Job((8,)), Operation(C.ALL_REDUCE, 1))


# Operations that are launched together; float8


@pytest.mark.parametrize(("operations", "batches"), [(1, 1), (8, 1), (9, 2), (17, 3)])
def test_a_batch_pays_one_latency_but_on_rings(operations: int, batches: int) -> None:
    one, many = ask(ONE_NODE, MIB), ask(ONE_NODE, MIB, pipe_ops=operations)
    for name, times in (("ring/ll", operations), ("tree/ll", batches), ("tree/simple", batches)):
        a, b = one[name], many[name]
        assert a.latency_us is not None
        assert a.time_us is not None
        assert b.latency_us == a.latency_us
        assert b.fixed_us == pytest.approx(times * a.latency_us)
        assert b.time_us == pytest.approx(a.time_us + (times - 1) * a.latency_us)


def test_deep_rings_of_float8_come_last() -> None:
    for dtype in (DType.FLOAT8_E4M3, DType.FLOAT8_E5M2):
        plain, found = ask(TWO_NODES), ask(TWO_NODES, dtype=dtype)
        for name in three("ring"):
            assert found[name].time_us == pytest.approx(1024 * (plain[name].time_us or 0))
            assert "float8" in found[name].reason
        assert found["tree/ll"] == plain["tree/ll"]
        assert cheapest(found.values()).algorithm == "tree"
        # Eight ranks are not too many.
        assert ask(ONE_NODE, dtype=dtype) == ask(ONE_NODE)


# Channels and threads


def launched(found: dict[str, Estimate], name: str) -> tuple[int | None, int | None]:
    return found[name].channels, found[name].threads


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        # LL: 8 bytes of each of 512 threads, of each of 8 ranks on a ring: 32 KiB a channel.
        ("ring/ll", 24 * 32 * KIB, (24, 512)),
        ("ring/ll", 24 * 32 * KIB - 1, (23, 512)),
        ("ring/ll", 32 * KIB, (1, 512)),
        ("ring/ll", 32 * KIB - 1, (1, 256)),
        ("ring/ll", 16 * KIB, (1, 256)),
        ("ring/ll", 8 * KIB, (1, 128)),
        # 64 threads are two warps; three is the least.
        ("ring/ll", 1, (1, 96)),
        # LL128: 640 * 8 = 5120.
        ("ring/ll128", 24 * 5120, (24, 640)),
        ("ring/ll128", 2 * 5120 - 1, (1, 640)),
        # 640, 320: 320 is no multiple of 128.
        ("ring/ll128", 1, (1, 320)),
        # Simple: 512 * 64 = 32 KiB; a warp more to synchronise.
        ("ring/simple", 24 * 32 * KIB, (24, 544)),
        ("ring/simple", 24 * 32 * KIB - 1, (23, 544)),
        ("ring/simple", 1, (1, 96)),
        # Trees use all threads.
        ("tree/ll", 24 * 4 * KIB - 1, (23, 640)),
        ("tree/simple", 1, (1, 640)),
    ],
)
def test_fewer_channels_then_fewer_threads(name: str, size: int, expected: tuple[int, int]) -> None:
    assert launched(ask(ONE_NODE, size), name) == expected


def test_slow_rings_have_fewer_threads() -> None:
    slow = changed(ONE_NODE, ring=graph(1, 12), channels=2)
    assert launched(ask(slow, MIB), "ring/simple") == (2, 288)
    fast = changed(ONE_NODE, ring=graph(1, 12.5), channels=2)
    assert launched(ask(fast, MIB), "ring/simple") == (2, 544)


def test_launches_that_follow_other_rules() -> None:
    small, large = ask(ALL, 1), ask(ALL, 1024 * MIB)
    for found in (small, large):
        # NVLS has its own channels, at most the communicator's between nodes.
        assert launched(found, "nvls/simple") == (8, 640)
        assert launched(found, "nvlstree/simple") == (8, 640)
    own = ask(changed(ALL, nvls_channels=24, channels=16), 1)
    assert launched(own, "nvls/simple") == (16, 640)
    assert launched(own, "nvlstree/simple") == (24, 640)
    for nodes, expected in ((2, 16), (1, 24)):
        job = changed(Job((8,) * nodes, EVERYTHING), nvls_channels=24, channels=16)
        assert launched(ask(job, 1), "nvls/simple") == (expected, 640)
    single = ask(Job((1,) * 4, EVERYTHING), 1, C.ALL_GATHER)
    assert launched(single, "pat/simple") == (16, 640)
    # 512 bytes of each of 640 threads: 320 KiB a channel.
    assert launched(ask(ALL, 16 * 320 * KIB), "collnetchain/simple") == (16, 640)
    assert launched(ask(ALL, 16 * 320 * KIB - 1), "collnetchain/simple") == (15, 640)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # 8 heads * 640 threads * 512 bytes: 2.5 MiB a channel.
        (32 * 2560 * KIB, 32),
        (30 * 2560 * KIB, 30),
        # From 24 channels on half of that is asked for: 1.25 MiB ...
        (24 * 2560 * KIB - 1, 23),
        (20 * 1280 * KIB, 20),
        # ... from 12 on a quarter, from 6 on an eighth, 3 a sixteenth: 160 KiB.
        (12 * 1280 * KIB - 1, 11),
        (10 * 640 * KIB, 10),
        (6 * 640 * KIB - 1, 5),
        (3 * 320 * KIB - 1, 2),
        (1, 1),
    ],
)
def test_collnet_direct_asks_for_less_with_fewer_channels(size: int, expected: int) -> None:
    job = changed(ALL, channels=32)
    assert launched(ask(job, size), "collnetdirect/simple") == (expected, 640)


def test_the_first_of_equals_in_the_order_of_nccls_table() -> None:
    expected = ["tree", "ring", "collnetdirect", "collnetchain", "nvls", "nvlstree", "pat"]
    assert list(ask(ALL)) == [f"{a}/{p}" for a in expected for p in ("ll", "ll128", "simple")]

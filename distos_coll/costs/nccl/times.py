"""How long an operation takes: latency and bandwidth, with what NCCL corrects for its size."""

from distos_coll.api import DType, log2_floor
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.case import Case
from distos_coll.costs.nccl.tables import Algorithm, Generation, Protocol

_LONG_RING = (Algorithm.RING, Protocol.SIMPLE)
_FP8 = (DType.FLOAT8_E4M3, DType.FLOAT8_E5M2)
PENALTY = f"times {tables.DEEP_FP8_PENALTY:.0f}: a float8 ring of so many ranks loses precision"


def fixed_us(case: Case, algorithm: Algorithm, protocol: Protocol, latency_us: float) -> float:
    """Return what does not grow with bytes, of all operations that are launched together."""
    plateau = _plateau(case) if (algorithm, protocol) == _LONG_RING else 1.0
    return latency_us * plateau * latencies(case, algorithm)


def latencies(case: Case, algorithm: Algorithm) -> int:
    """Return how often the latency is paid: but on rings a batch of operations shares one."""
    operations = case.operation.pipe_ops
    if algorithm is Algorithm.RING:
        return operations
    return -(-operations // tables.BATCH_OPERATIONS)


def bytes_us(case: Case, algorithm: Algorithm, protocol: Protocol, gbps: float) -> float:
    return case.operation.bytes / (1000 * gbps * _correction(case, algorithm, protocol))


def penalty(case: Case, algorithm: Algorithm) -> float:
    """Return a factor on the time that keeps deep float8 rings from being chosen."""
    deep = case.job.size > tables.DEEP_FP8_RANKS and algorithm is Algorithm.RING
    return tables.DEEP_FP8_PENALTY if deep and case.operation.dtype in _FP8 else 1.0


def _plateau(case: Case) -> float:
    """Of a Simple ring: between nodes latency is more once channels are full."""
    if case.job.nodes == 1 or not case.all_reduce:
        return 1.0
    share = case.view.channels_of_communicator() * case.job.size
    if case.operation.bytes // share < tables.PLATEAU_BYTES:
        return 1.0
    old = case.generation is Generation.VOLTA
    return tables.RING_PLATEAU_VOLTA if old else tables.RING_PLATEAU


def _correction(case: Case, algorithm: Algorithm, protocol: Protocol) -> float:
    if not case.all_reduce:
        return 1.0
    sizes = 0
    if algorithm is Algorithm.TREE:
        sizes = tables.CORRECTED_TREE_SIZES
    elif algorithm is Algorithm.NVLS_TREE:
        corrected = case.generation is Generation.BLACKWELL and case.view.cpu.is_x86
        sizes = tables.CORRECTED_NVLS_TREE_SIZES if corrected else 0
    index = log2_floor(case.operation.bytes // 64)
    return tables.TREE_CORRECTION[protocol][index] if 0 <= index < sizes else 1.0

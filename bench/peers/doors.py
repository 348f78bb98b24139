"""How a rank calls each library: the same buffers, the same forms, no more than the call itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
Call = Callable[[], object]

_BITS = {"float32": np.uint32, "bfloat16": np.uint16, "float16": np.uint16}
_MPI_TYPES = {"float32": "FLOAT", "bfloat16": "BFLOAT16_T", "float16": "FLOAT16_T"}


def pattern(dtype: str, value: float) -> Any:
    """Return the bits of a number that every type holds exactly, such as a small integer."""
    if dtype == "float16":
        return np.float16(value).view(np.uint16)
    bits = np.float32(value).view(np.uint32)
    return np.uint16(bits >> np.uint32(16)) if dtype == "bfloat16" else bits


class Door(Protocol):
    """A library's group of ranks, as one rank has it."""

    title: str
    rank: int
    ranks: int
    computes: bool  # whether the results are results

    def empty(self, count: int, dtype: str) -> Array:
        """Return memory for elements of this type, as unsigned integers of the same size."""

    def bind(self, collective: str, x: Array, out: Array, dtype: str) -> Call:
        """Return the blocking call on these arrays, float sums, root 0; an error if there is none.

        In place, `x` and `out` are one array.
        """

    def barrier(self) -> None: ...

    def close(self) -> None: ...


def _private(count: int, dtype: str) -> Array:
    return np.empty(count, _BITS[dtype])


class NumpyDoor:
    """distos on numpy arrays; `registered`: in memory that the group itself allocates."""

    computes = True

    def __init__(self, rank: int, ranks: int, rendezvous: str, *, registered: bool) -> None:
        import distos_coll

        self.rank, self.ranks, self._registered = rank, ranks, registered
        self._group = distos_coll.init(rank=rank, size=ranks, rendezvous=rendezvous, timeout=60)
        self.title = f"distos_coll {distos_coll.__version__}, numpy"

    def empty(self, count: int, dtype: str) -> Array:
        if self._registered:
            return self._group.empty(count, _BITS[dtype])
        return _private(count, dtype)

    def bind(self, collective: str, x: Array, out: Array, dtype: str) -> Call:
        group = self._group
        source, target = self._typed(x, dtype), self._typed(out, dtype)
        if collective == "all_gather":
            target = target.reshape(self.ranks, -1)
        calls: dict[str, Call] = {
            "all_reduce": partial(group.all_reduce, source),
            "reduce": partial(group.reduce, source),
            "broadcast": partial(group.broadcast, source),
            "reduce_scatter": partial(group.reduce_scatter, source, "sum", target),
            "all_gather": partial(group.all_gather, source, target),
            "all_to_all": partial(group.all_to_all, source, target),
            "barrier": group.barrier,
        }
        return calls[collective]

    @staticmethod
    def _typed(array: Array, dtype: str) -> Array:
        if dtype == "bfloat16":
            return array.view(importlib.import_module("ml_dtypes").bfloat16)
        return array.view(dtype)

    def barrier(self) -> None:
        self._group.barrier()

    def close(self) -> None:
        self._group.close()


class MpiDoor:
    """Whatever MPI mpi4py finds, which is the launcher's: MPI4PY_LIBMPI says where it is."""

    computes = True

    def __init__(self, ranks: int) -> None:
        from mpi4py import MPI

        self._mpi, self._world = MPI, MPI.COMM_WORLD
        self.rank, self.ranks = self._world.Get_rank(), self._world.Get_size()
        if self.ranks != ranks:
            raise RuntimeError(
                f"mpi4py sees {self.ranks} ranks, the launcher started {ranks}: it loaded another "
                "MPI than the launcher's; set MPI4PY_LIBMPI"
            )
        self.title = MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\0 ")

    def empty(self, count: int, dtype: str) -> Array:
        return _private(count, dtype)

    def bind(self, collective: str, x: Array, out: Array, dtype: str) -> Call:
        world, in_place, root = self._world, self._mpi.IN_PLACE, self.rank == 0
        kind = getattr(self._mpi, _MPI_TYPES[dtype], self._mpi.DATATYPE_NULL)
        if kind == self._mpi.DATATYPE_NULL:
            raise TypeError(f"this MPI, or this mpi4py, has no {dtype}")
        # With its type an array costs mpi4py less than alone.
        source, target = (x, kind), (out, kind)
        calls: dict[str, Call] = {
            "all_reduce": partial(world.Allreduce, in_place, source),
            "reduce": partial(world.Reduce, in_place, source)
            if root
            else partial(world.Reduce, source, None),
            "broadcast": partial(world.Bcast, source),
            "reduce_scatter": partial(world.Reduce_scatter_block, source, target),
            "all_gather": partial(world.Allgather, source, target),
            "all_to_all": partial(world.Alltoall, source, target),
            "barrier": world.Barrier,
        }
        return calls[collective]

    def barrier(self) -> None:
        self._world.Barrier()

    def close(self) -> None:
        self._mpi.Finalize()


class TorchDoor:
    """torch.distributed with one of its backends."""

    def __init__(self, rank: int, ranks: int, store: str, backend: str, noop: str) -> None:
        import torch
        import torch.distributed as dist

        torch.set_num_threads(1)
        if backend == "noop":
            from bench.peers import noop_backend

            noop_backend.register(noop)
        elif backend == "commux":
            importlib.import_module("commux").register()
        self._torch, self._dist = torch, dist
        self.rank, self.ranks, self.computes = rank, ranks, backend != "noop"
        timeout = timedelta(seconds=60)
        meeting = dist.FileStore(store, ranks)
        dist.init_process_group(
            backend, store=meeting, rank=rank, world_size=ranks, timeout=timeout
        )
        self.title = f"torch {torch.__version__}, backend {backend}"

    def empty(self, count: int, dtype: str) -> Array:
        return _private(count, dtype)

    def bind(self, collective: str, x: Array, out: Array, dtype: str) -> Call:
        dist = self._dist
        source, target = self._tensor(x, dtype), self._tensor(out, dtype)
        calls: dict[str, Call] = {
            "all_reduce": partial(dist.all_reduce, source),
            "reduce": partial(dist.reduce, source, 0),
            "broadcast": partial(dist.broadcast, source, 0),
            "reduce_scatter": partial(dist.reduce_scatter_tensor, target, source),
            "all_gather": partial(dist.all_gather_into_tensor, target, source),
            "all_to_all": partial(dist.all_to_all_single, target, source),
            "barrier": dist.barrier,
        }
        return calls[collective]

    def _tensor(self, array: Array, dtype: str) -> Any:
        signed = array.view(f"i{array.itemsize}")
        return self._torch.from_numpy(signed).view(getattr(self._torch, dtype))

    def barrier(self) -> None:
        self._dist.barrier()

    def close(self) -> None:
        self._dist.destroy_process_group()

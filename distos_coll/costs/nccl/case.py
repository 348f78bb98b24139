"""One question to NCCL's tuning: a job, an operation, and what follows from them for all
candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from distos_coll.api import ChannelGraph, Collective, Cpu, InvalidArgument, Job, NcclView, Operation
from distos_coll.costs.nccl.tables import Algorithm, ByNodes, Generation

_SCATTERING = (Collective.ALL_GATHER, Collective.REDUCE_SCATTER)
_OLDEST = ((100, Generation.BLACKWELL), (90, Generation.HOPPER), (80, Generation.AMPERE))


def view_of(job: Job, model: str) -> NcclView:
    if job.nccl is None:
        raise InvalidArgument(
            f"the cost model {model!r} needs Job.nccl: what NCCL knows of GPUs and channels"
        )
    return job.nccl


@dataclass(frozen=True)
class Case:
    job: Job
    view: NcclView
    operation: Operation

    @property
    def all_reduce(self) -> bool:
        return self.operation.collective is Collective.ALL_REDUCE

    @property
    def scattering(self) -> bool:
        """Each rank gives, or gets, a part of the whole."""
        return self.operation.collective in _SCATTERING

    @cached_property
    def generation(self) -> Generation:
        capability = self.view.compute_capability
        return next((g for oldest, g in _OLDEST if capability >= oldest), Generation.VOLTA)

    @cached_property
    def ranks_per_node(self) -> float:
        """On the average."""
        return self.job.size / self.job.nodes

    @cached_property
    def steps(self) -> int:
        """Of a ring."""
        return ring_steps(self.operation.collective, self.job.size)

    def graph(self, algorithm: Algorithm) -> ChannelGraph | None:
        view = self.view
        return {
            Algorithm.RING: view.ring,
            Algorithm.COLLNET_DIRECT: view.collnet_direct,
            Algorithm.COLLNET_CHAIN: view.collnet_chain,
            Algorithm.NVLS: view.nvls,
            Algorithm.NVLS_TREE: view.nvls,
        }.get(algorithm, view.tree)

    def cap(self, table: Sequence[ByNodes]) -> float:
        """Return what a table says for the generation of the GPUs."""
        return self._column(table[self.generation])

    def ll_cap(self, table: Sequence[ByNodes]) -> float:
        """Return what a table of LL says: between nodes the processor decides, not the GPU."""
        if self.job.nodes == 1:
            return self.cap(table)
        return self._column(table[1 if self.view.cpu in (Cpu.AMD, Cpu.MIXED) else 0])

    def _column(self, row: ByNodes) -> float:
        return row[min(self.job.nodes, 3) - 1]


def ring_steps(collective: Collective, size: int) -> int:
    if collective is Collective.ALL_REDUCE:
        return 2 * (size - 1)
    return size - 1 if collective in _SCATTERING else size

"""The cost model `nccl`: which algorithm and protocol NCCL 2.30 would choose, and its predicted
time.

From the facts of its published tuning (src/graph/tuning.cc and src/enqueue.cc of 2.30.7). It says
what NCCL believes, so that a plan can be compared with NCCL's own; nothing here was measured.
"""

from distos_coll.api import CostModelSpec, hookimpl
from distos_coll.costs.nccl.model import predict


@hookimpl
def distos_coll_cost_models() -> list[CostModelSpec]:
    return [CostModelSpec("nccl", predict, "NCCL's algorithms and protocols, as NCCL 2.30 tunes")]

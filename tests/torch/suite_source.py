"""Makes the copy of torch's own distributed tests that torch_suite.py runs.

The copy is made from the installed wheel, in a temporary folder, and never kept: torch itself is
not patched. It differs from the original in three ways: gates that let a test run for gloo or mpi
by name let it run for our backend too; the ranks of a test are forked from a server that has
imported torch, instead of each importing it again; and they leave through their exit handlers.
"""

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

MODULE = "torch.testing._internal.distributed.distributed_test"
ORIGINAL_CLASS = "_DistTestBase"
SUITE_CLASS = "TorchSuite"
GPU_DECORATORS = frozenset({"skip_if_no_gpu", "skip_if_lt_x_gpu"})
MPI_ONLY_DECORATORS = frozenset({"skip_if_small_worldsize"})

_GATES: tuple[tuple[str, str], ...] = (
    (r'BACKEND != "(gloo|mpi)"', r'BACKEND not in ("\1", "{backend}")'),
    (r'BACKEND == "mpi" or BACKEND == "gloo"', r'BACKEND in ("mpi", "gloo", "{backend}")'),
    (
        r'require_backend_is_available\(\{"gloo"\}\)',
        r'require_backend_is_available({{"gloo", BACKEND}})',
    ),
    # The lists of backends whose profiling is tested.
    (r"(?m)^    dist\.Backend\.GLOO,$", r"    dist.Backend.GLOO,\n    BACKEND_UNDER_TEST,"),
)

_HEADER = """
# ---- added by tests/torch/suite_source.py
import os as _os
BACKEND_UNDER_TEST = _os.environ["BACKEND"]
from torch.testing._internal.common_distributed import DistTestCases as _cases
# Sets that list gloo by name. "gpu" also gates tests that use none: those of object collectives.
for _feature in ("plugin", "gpu", "cuda", "ddp", "subgroup"):
    _cases.backend_feature[_feature].add(BACKEND_UNDER_TEST)
# Lets mpi by name into a world of fewer than eight; the tests themselves need three ranks.
def skip_if_small_worldsize(func):
    enough = int(_os.environ["WORLD_SIZE"]) >= 3
    return unittest.skipIf(not enough, "Needs three ranks.")(func)
# ----
"""

_FOOTER = '''

# ---- added by tests/torch/suite_source.py
import atexit as _atexit
import multiprocessing as _multiprocessing


def _enter(environment, log, target, args, kwargs):
    """A rank: forked from the server, so it takes over what spawn would have inherited."""
    os.environ.clear()
    os.environ.update(environment)
    # Read when the module was imported, which for a spawned rank was after its test had set it.
    global INIT_METHOD
    INIT_METHOD = os.environ["INIT_METHOD"]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        target(*args, **kwargs)
    finally:
        # multiprocessing leaves forked children by os._exit(), spawned ones by sys.exit().
        _atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


class {suite}(TestDistBackend, DistributedTest._DistTestBase):
    def setUp(self):
        super().setUp()
        self._spawn_processes()

    def _spawn_processes(self):
        context = _multiprocessing.get_context("forkserver")
        log = os.environ["SUITE_LOG"]

        def process(target, name, args, kwargs):
            return context.Process(
                target=_enter, name=name, args=(dict(os.environ), log, target, args, kwargs)
            )

        self._start_processes(process)
'''


@dataclass(frozen=True)
class SuiteSource:
    text: str
    needs_gpu: frozenset[str]
    """Tests that ask for a GPU by decorator, whatever the backend."""
    mpi_only: frozenset[str]
    """Tests that torch lets mpi alone, by name, run with fewer than eight ranks."""


def read_suite(backend: str) -> SuiteSource:
    """Raise RuntimeError when a gate of torch's file is not written as expected any more."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"this torch has no {MODULE}")
    original = Path(spec.origin).read_text(encoding="utf-8")
    return SuiteSource(
        _rewritten(original, backend),
        _decorated(original, GPU_DECORATORS),
        _decorated(original, MPI_ONLY_DECORATORS),
    )


def _rewritten(original: str, backend: str) -> str:
    text = original
    for pattern, replacement in _GATES:
        text, count = re.subn(pattern, replacement.format(backend=backend), text)
        if count == 0:
            raise RuntimeError(f"torch's distributed_test.py has no gate like {pattern!r} any more")
    # After the imports that must come first (__future__), before anything that reads the lists.
    marker = "\nclass NetWithBuffers(nn.Module):"
    if text.count(marker) != 1:
        raise RuntimeError("torch's distributed_test.py does not begin as expected any more")
    return text.replace(marker, _HEADER + marker) + _FOOTER.replace("{suite}", SUITE_CLASS)


def _decorated(source: str, decorators: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == ORIGINAL_CLASS:
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and _has(function, decorators):
                    found.add(function.name)
    return frozenset(found)


def _has(function: ast.FunctionDef, decorators: frozenset[str]) -> bool:
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(target, ast.Name) and target.id in decorators:
            return True
    return False

"""`distos-coll bench`: measure and check collectives as nccl-tests does.

distos_coll.bench, which needs numpy and the native library, is imported when it is used: the other
commands need neither.
"""

import importlib.util
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from distos_coll import launch
from distos_coll.errors import DistosError
from distos_coll.launch import Launch

if TYPE_CHECKING:
    from distos_coll.bench.options import Options

RANKS = 2
"""Without a launcher, -t and --ranks."""


class Command(typer.core.TyperCommand):
    """Says why an option of nccl-tests is not taken."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if importlib.util.find_spec("numpy") is None:
            raise DistosError("bench needs numpy; run: pip install numpy")
        from distos_coll.bench import options as read

        why = read.refusal(args)
        if why:
            raise typer.BadParameter(why)
        return super().parse_args(ctx, args)


Names = Annotated[
    list[str] | None, typer.Argument(metavar="[COLLECTIVE...|all]", help="all_reduce, ...")
]
Ranks = Annotated[
    int, typer.Option(min=0, max=1024, help="Processes to start here.", show_default=str(RANKS))
]
Backend = Annotated[str, typer.Option(help="A backend of torch.distributed: gloo, distos, ...")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
Threads = Annotated[int, typer.Option("-t", "--nthreads", min=1, max=256, help="Threads as ranks.")]
Gpus = Annotated[int, typer.Option("-g", "--ngpus", help="1: CUDA tensors are not moved yet.")]
MinBytes = Annotated[str, typer.Option("-b", "--minbytes", help="Smallest size: 8, 64K, 1M, 1G.")]
MaxBytes = Annotated[str, typer.Option("-e", "--maxbytes", help="Largest size.")]
StepBytes = Annotated[
    str, typer.Option("-i", "--stepbytes", help="From size to size add this.  [default: 1M]")
]
StepFactor = Annotated[
    int, typer.Option("-f", "--stepfactor", min=1, help="From size to size multiply by this.")
]
Iterations = Annotated[int, typer.Option("-n", "--iters", min=1, help="Timed calls.")]
WarmUps = Annotated[int, typer.Option("-w", "--warmup_iters", min=0, help="Calls before them.")]
Together = Annotated[int, typer.Option("-m", "--agg_iters", min=1, help="Calls in one group().")]
Cycles = Annotated[
    int, typer.Option("-N", "--run_cycles", min=1, help="Run and print all of it so often.")
]
Checks = Annotated[int, typer.Option("-c", "--check", min=0, help="Checked calls; 0: none.")]
Ops = Annotated[
    str, typer.Option("-o", "--op", help="sum, prod, min, max, avg, band, bor, bxor, all.")
]
Types = Annotated[
    str, typer.Option("-d", "--datatype", help="float, half, bfloat16, int8, ..., all.")
]
Root = Annotated[str, typer.Option("-r", "--root", help="A rank, or all.")]
Blocking = Annotated[
    int, typer.Option("-z", "--blocking", min=0, max=2, help="1: a barrier after each call.")
]
Average = Annotated[
    int,
    typer.Option(
        "-a", "--average", min=0, max=3, help="Time: 0 rank 0's, 1 mean, 2 least, 3 largest."
    ),
]
Unalign = Annotated[
    int, typer.Option("-u", "--unalign", min=0, help="Start buffers this many elements off.")
]
Stamps = Annotated[
    int, typer.Option("-S", "--report_timestamps", min=0, max=1, help="1: the time of each line.")
]
Timeout = Annotated[
    float, typer.Option("-T", "--timeout", min=0, help="Seconds to join and for a call; 0: 1800.")
]
Calibrate = Annotated[
    bool, typer.Option("--calibrate", help="Measure links, kernels and all candidates instead.")
]
CheckPlan = Annotated[
    bool, typer.Option("--check-plan", help="Measure all candidates: was the fastest chosen?")
]
File = Annotated[str, typer.Option("-J", "--output_file", help="Write JSON to this file.")]


def bench(
    ctx: typer.Context,
    collectives: Names = None,
    ranks: Ranks = 0,
    nthreads: Threads = 1,
    ngpus: Gpus = 1,
    minbytes: MinBytes = "32M",
    maxbytes: MaxBytes = "32M",
    stepbytes: StepBytes = "",
    stepfactor: StepFactor = 1,
    iters: Iterations = 20,
    warmup_iters: WarmUps = 1,
    agg_iters: Together = 1,
    run_cycles: Cycles = 1,
    check: Checks = 1,
    op: Ops = "sum",
    datatype: Types = "float",
    root: Root = "0",
    blocking: Blocking = 0,
    average: Average = 1,
    unalign: Unalign = 0,
    report_timestamps: Stamps = 0,
    timeout: Timeout = 0,
    backend: Backend = "",
    calibrate: Calibrate = False,
    check_plan: CheckPlan = False,
    output_file: File = "",
    as_json: Json = False,
) -> None:
    """Measure collectives and check every element of their results, as nccl-tests does.

    Alone it starts --ranks processes; under torchrun, mpirun or srun it is one rank of theirs.
    """
    from distos_coll.bench import options as read

    if ngpus != 1:
        raise typer.BadParameter("-g: CUDA tensors are not moved yet, so 1 (a CPU) is all there is")
    if stepbytes and stepfactor > 1:
        raise typer.BadParameter("-i and -f exclude each other")
    try:
        step = read.parse_size(stepbytes or "1M")
        low, high = read.parse_size(minbytes), read.parse_size(maxbytes)
        options = read.Options(
            collectives=read.parse_collectives(collectives or []),
            sizes=read.sizes(low, high, factor=stepfactor, step=step),
            span=(low, high),
            step=("factor", stepfactor) if stepfactor > 1 else ("bytes", step),
            types=read.parse_types(datatype),
            ops=read.parse_ops(op),
            root=read.parse_root(root),
            iterations=iters,
            warm_ups=warmup_iters,
            together=agg_iters,
            cycles=run_cycles,
            checks=check,
            blocking=blocking,
            average=average,
            unalign=unalign,
            timestamps=bool(report_timestamps),
            threads=max(nthreads, 1),
            timeout=timeout,
            backend=backend,
            json_file=output_file,
            json_only=as_json,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    options = _with_purpose(options, ctx, calibrate=calibrate, check_plan=check_plan)
    if not _run(options, launch.detect(os.environ), ranks):
        raise typer.Exit(1)


def _with_purpose(
    options: "Options", ctx: typer.Context, *, calibrate: bool, check_plan: bool
) -> "Options":
    """Say what --calibrate and --check-plan measure, where nobody else did."""
    if not calibrate and not check_plan:
        return options
    from distos_coll import profiles, settings
    from distos_coll.bench import findings
    from distos_coll.bench import options as read

    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    if given & {"nthreads", "backend"}:
        raise typer.BadParameter("--calibrate and --check-plan start processes of distos_coll only")
    if not given & {"minbytes", "maxbytes", "stepfactor", "stepbytes"}:
        options = replace(options, sizes=read.sizes(4, 64 << 20, factor=4, step=0))
    if "iters" not in given:
        options = replace(options, iterations=findings.REPEATS)
    if "collectives" not in given:
        options = replace(options, collectives=read.parse_collectives([read.ALL]))
    return replace(
        options,
        purpose=findings.CHECK if check_plan else findings.CALIBRATE,
        profile_file=str(profiles.path_of(settings.load())),
    )


def _run(options: "Options", found: Launch, ranks: int) -> bool:
    """Run where the ranks are: in a launcher's job, in threads, or in processes of our own."""
    from distos_coll.bench.calibrate import run_here
    from distos_coll.bench.local import run_local
    from distos_coll.bench.report import free_name
    from distos_coll.bench.worker import run_launched, run_threaded

    launched = found != launch.explicit(0, 1)
    if options.purpose and not launched:
        if ranks == 1:
            raise typer.BadParameter("--ranks 1: there is nothing to choose; give 2 or more")
        return run_here(options, ranks, print)
    if options.threads > 1:
        if launched or ranks:
            raise typer.BadParameter("-t: threads are ranks of one process without a launcher")
        if options.backend:
            raise typer.BadParameter("-t: torch.distributed has one rank a process; use --ranks")
    if options.backend and options.together > 1:
        raise typer.BadParameter("-m needs group(), which torch.distributed has for few calls only")
    if not launched:
        _check_root(options, options.threads if options.threads > 1 else ranks or RANKS)
        if options.json_file:
            free_name(options.json_file)  # told by this process, not by each rank
        if options.threads > 1:
            return run_threaded(options)
        return run_local(options, ranks or RANKS)
    if ranks not in {0, found.size}:
        raise typer.BadParameter(f"--ranks: {found.launcher} started {found.size}; leave it out")
    if options.backend and found.launcher != "torchrun":
        raise typer.BadParameter(
            f"--backend runs under torchrun, or with --ranks: {found.launcher}"
            " does not tell torch where its ranks meet"
        )
    _check_root(options, found.size)
    return run_launched(options)


def _check_root(options: "Options", ranks: int) -> None:
    if options.root >= ranks:
        raise typer.BadParameter(f"-r {options.root}: the ranks are 0 to {ranks - 1}")

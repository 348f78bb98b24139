"""`distos-coll demo`: train with distos and with gloo, and compare."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from distos_coll.cli import choices
from distos_coll.cli.demo_run import run_ranks
from distos_coll.cli.demo_worker import STEPS_PER_EPOCH, TEST_SAMPLES, Job, Result
from distos_coll.errors import DistosError

OURS, THEIRS = "distos", "gloo"


@dataclass(frozen=True)
class Outcome:
    """Both trainings, side by side: results by rank."""

    ours: list[Result]
    theirs: list[Result]

    @property
    def ranks(self) -> int:
        """How many took part."""
        return len(self.ours)

    @property
    def losses_equal(self) -> bool:
        """Whether every loss of every rank is the same bits with both backends."""
        return [rank.losses for rank in self.ours] == [rank.losses for rank in self.theirs]

    @property
    def speed_up(self) -> float:
        """How many times as long their step takes."""
        return self.theirs[0].step_us / self.ours[0].step_us

    def complaint(self) -> str:
        """Return what must not be, or "".

        With two ranks each sum has two terms, so every backend has to give the same bits. With
        more, the order of a sum may differ, which may move one sample across a decision boundary.
        """
        if self.ranks <= 2 and not self.losses_equal:
            return f"the losses differ from {THEIRS}'s, though two ranks leave no room for rounding"
        ours, theirs = self.ours[0].correct, self.theirs[0].correct
        if abs(ours - theirs) > 1:
            return f"{ours} samples are right, {theirs} with {THEIRS}: more than one apart"
        return ""

    def as_json(self) -> dict[str, Any]:
        """Return the outcome for programs; times are microseconds."""
        backends = {
            result.backend: {
                "accuracy": result.correct / TEST_SAMPLES,
                "correct": result.correct,
                "samples": TEST_SAMPLES,
                "step_us": round(result.step_us, 1),
                "final_loss": float.fromhex(result.losses[-1]),
                "steps": len(result.losses),
            }
            for result in (self.ours[0], self.theirs[0])
        }
        return {
            "ranks": self.ranks,
            "gradient_bytes": self.ours[0].gradient_bytes,
            "backends": backends,
            "losses_equal": self.losses_equal,
            "speed_up": round(self.speed_up, 3),
            "choices": self.ours[0].choices,
        }


def demo(
    ranks: Annotated[int, typer.Option(min=1, max=64, help="Processes on this machine.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Passes over the data.")] = 12,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds until it gives up.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Train on handwritten digits with distos and with gloo, and compare.

    The data (load_digits, 1797 images) ship with scikit-learn; nothing is downloaded.
    """
    _require("torch", "sklearn")
    outcome = _train(ranks, epochs, timeout, quiet=as_json)
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        _show(outcome)
    complaint = outcome.complaint()
    if complaint:
        raise DistosError(complaint)


def _require(*modules: str) -> None:
    import importlib.util

    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise DistosError(
            f"the demo needs {' and '.join(missing)}; run: pip install 'distos-coll[demo]'"
        )


def _train(ranks: int, epochs: int, timeout_s: int, *, quiet: bool) -> Outcome:
    job = Job((OURS, THEIRS), 0, ranks, epochs, port=0, listen_fd=-1, timeout_s=timeout_s)
    steps = epochs * STEPS_PER_EPOCH * len(job.backends)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(f"Training, {OURS} and {THEIRS} in turns: steps", total=steps)
        ours, theirs = run_ranks(job, lambda done: progress.update(task, completed=done))
    return Outcome(ours, theirs)


def _show(outcome: Outcome) -> None:
    console = Console()
    table = Table(title=f"Handwritten digits, {outcome.ranks} ranks")
    for column in ("", "accuracy", "final loss", "step, median"):
        table.add_column(column, justify="right" if column else "left")
    for name, data in outcome.as_json()["backends"].items():
        accuracy = f"{data['accuracy']:.2%} ({data['correct']} of {data['samples']})"
        table.add_row(
            name, accuracy, f"{data['final_loss']:.6f}", f"{data['step_us'] / 1000:.2f} ms"
        )
    console.print(table)
    equal = "equal to the last bit"
    if not outcome.losses_equal:
        equal = "differ in their last bits: a sum of more than two terms rounds by its order"
    console.print(f"Losses of all steps and ranks: {equal}.")
    ratio = f"{outcome.speed_up:.2f} times as long as with {OURS}"
    console.print(f"A step with {THEIRS} takes {ratio}; the backends took turns.")
    ours = outcome.ours[0]
    if ours.choices:
        console.print(f"\nall_reduce with {OURS}, by size of the message:")
        choices.show(console, ours.choices)
        serving = next(row for row in ours.choices if ours.gradient_bytes <= row["up_to_bytes"])
        size = f"{ours.gradient_bytes:,} bytes"
        console.print(f"The model's gradients, {size}, took {choices.name_of(serving)}.")

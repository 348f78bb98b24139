"""The command's frame: options of all sub-commands, and how an error ends."""

import errno
import os
import sys
from typing import Annotated

import typer

from distos_coll._version import __version__
from distos_coll.cli import (
    bench,
    demo,
    doctor,
    flight,
    plan,
    plan_share,
    plan_verify,
    plugins,
    topo,
)
from distos_coll.cli.say import complain
from distos_coll.errors import DistosError

app = typer.Typer(
    name="distos-coll",
    help="Collective communication that understands the network it runs on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(cls=bench.Command)(bench.bench)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(flight.flight)
plan.app.command()(plan_verify.verify)
plan.app.command(no_args_is_help=True)(plan_share.share)
app.add_typer(plan.app, name="plan")
app.add_typer(plugins.app, name="plugins")
app.add_typer(topo.app, name="topo")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"distos-coll {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line; what the package raises on purpose, and what the operating system
    refuses, becomes one line and exit code 1.
    """
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except (DistosError, OSError) as error:
        complain(error)
        code = 1
    sys.exit(_flushed(code))  # type: ignore[arg-type]


def _flushed(code: object) -> object:
    """Print what is left, here where a full disk can be told of; return the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not code:
            code = 1
            if error.errno != errno.EPIPE:
                complain(OSError(f"standard output: {error}"))
        # Python itself would try once more, and complain with an exit code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code

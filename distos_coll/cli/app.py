"""The command's frame: options of all sub-commands, and how an error ends."""

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
    """Run the command line; what the package raises on purpose becomes one line and exit code 1."""
    try:
        app()
    except DistosError as error:
        complain(error)
        sys.exit(1)

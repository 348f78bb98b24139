"""Files that commands read: named on the command line, `-` for standard input."""

from pathlib import Path
from typing import Annotated

import typer

from distos_coll.topology.reading import STANDARD_INPUT
from distos_coll.topology.text import told


def there(path: Path) -> Path:
    # typer's own check takes `-` for a file's name, whatever its allow_dash says.
    if path != STANDARD_INPUT and not path.exists():
        raise typer.BadParameter(f"{told(str(path))} does not exist")
    return path


Input = Annotated[
    Path, typer.Argument(callback=there, help="A file, a directory, or - for standard input.")
]

"""`distos-coll plugins new`: an installable project with one plugin, which passes its kit."""

import re
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from distos_coll._version import __version__
from distos_coll.errors import InvalidArgument


class PluginKind(str, Enum):
    """What the command line calls the kinds."""

    ALGORITHM = "algorithm"
    TOPOLOGY_SOURCE = "topology-source"
    COST_MODEL = "cost-model"


_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_DIRECTORY = Annotated[
    Path | None, typer.Option("--dir", help="Where to put it; a new or an empty folder. NAME.")
]


def files_of(kind: PluginKind, name: str) -> dict[str, str]:
    """Return the project's files: path and text."""
    module = name.replace("-", "_")
    templates = resources.files("distos_coll.cli") / "plugin_templates"
    words = {
        "@name@": name,
        "@module@": module,
        "@kind@": kind.value,
        "@version@": ".".join(__version__.split(".")[:2]),
    }
    paths = {
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        f"src/{module}/__init__.py": f"{kind.value}.py.in",
        f"tests/test_{module}.py": f"test-{kind.value}.py.in",
    }
    if kind is PluginKind.TOPOLOGY_SOURCE:
        paths["tests/sample.txt"] = "sample.txt.in"
    found = {}
    for path, template in paths.items():
        text = (templates / template).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        found[path] = text
    return found


def new(
    kind: Annotated[PluginKind, typer.Argument(help="What it adds.")],
    name: Annotated[str, typer.Argument(help="Of the distribution: lower case, with hyphens.")],
    directory: _DIRECTORY = None,
) -> None:
    """Write an installable project with a small plugin that works and its tests."""
    if not _NAME.fullmatch(name) or name.startswith("distos-coll"):
        raise InvalidArgument(
            f"{name!r} cannot be the name of a plugin: lower-case letters, digits and single "
            "hyphens, beginning with a letter; names with distos-coll are the library's own"
        )
    folder = directory or Path(name)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InvalidArgument(f"{folder} is not empty; name another folder with --dir")
        for path, text in files_of(kind, name).items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(
            f"the project cannot be written: {error}; name another folder with --dir"
        ) from None
    module = name.replace("-", "_")
    console = Console(highlight=False)
    console.print(f"{folder}: a plugin that works. Next:", markup=False)
    for line in (
        f"pip install -e {folder}",
        f"pytest {folder}",
        f"distos-coll plugins check {name}",
        f"edit {folder}/src/{module}/__init__.py",
    ):
        console.print(f"  {line}", markup=False, soft_wrap=True)

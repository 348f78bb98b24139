import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import typer.testing

from distos_coll import __version__
from distos_coll.cli.app import app
from distos_coll.topology.artifacts import ARTIFACTS
from distos_coll.topology.merge_fields import Conflict
from distos_coll.topology.merge_same import UNCLEAR

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_of(text: str) -> list[str]:
    """Return every line of code blocks and every inline code span."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line.strip() for block in blocks for line in block.splitlines()] + spans


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z -]*):", read("Makefile"), re.M))
    known = {name for line in targets for name in line.split()}
    used = {m[1] for code in code_of(read(document)) if (m := re.match(r"make ([a-z-]+)", code))}
    assert used <= known
    if document == "README.md":
        assert {"demo", "test"} <= used


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    paths = [
        code.rstrip("/")
        for code in code_of(read(document))
        if re.fullmatch(r"[\w.]+(/[\w.]+)+/?|[\w.]+/", code) and not code.startswith("torch/")
    ]
    paths += re.findall(r"\]\(([\w./]+)\)", read(document))
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("document", "least"),
    [
        ("README.md", {("demo",), ("plan", "explain"), ("plugins", "list"), ("doctor",)}),
        (
            "docs/plugins/index.md",
            {("plugins", "new"), ("plugins", "list"), ("plugins", "check")},
        ),
        ("docs/plugins/algorithm.md", {("plan", "explain")}),
        ("docs/plugins/topology-source.md", {("plugins", "check"), ("topo", "export")}),
        ("docs/topology.md", {("topo", "import"), ("topo", "diff"), ("topo", "show")}),
    ],
)
def test_commands_of_documents_exist(document: str, least: set[tuple[str, ...]]) -> None:
    runner = typer.testing.CliRunner()
    commands = [code.split() for code in code_of(read(document)) if code.startswith("distos-coll ")]
    named = {tuple(w for w in words[1:3] if re.fullmatch("[a-z]+", w)) for words in commands}
    assert named >= least
    for words in named:
        result = runner.invoke(app, [*words, "--help"])
        assert result.exit_code == 0, (words, result.output)


def test_the_settings_page_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "tools/settings_table.py"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    message = "run: python tools/settings_table.py >docs/settings.md"
    assert done.stdout == read("docs/settings.md"), message


def test_the_schemas_of_topologies_are_fresh() -> None:
    """A change of the model is a change of the format: raise its version."""
    tool = runpy.run_path(str(ROOT / "tools/topology_schemas.py"))
    for name in ARTIFACTS:
        own = read(f"distos_coll/sources/schemas/{name}.schema.json")
        assert own == tool["text"](name), "run: python tools/topology_schemas.py"


def finding_codes() -> set[str]:
    """Those of the model, whatever format it came from, and what conflicts are told as."""
    found = {Conflict("", "", (), "").code, *UNCLEAR.values(), "name-unclear"}
    for path in (ROOT / "distos_coll/topology").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            code = node.args[0]
            if name in {"Finding", "find", "_twice"} and isinstance(code, ast.Constant):
                found |= set(re.findall("^[a-z]+(?:-[a-z]+)+$", str(code.value)))
    return found


def test_the_page_of_topologies_has_every_artifact_and_finding() -> None:
    page = read("docs/topology.md")
    assert all(f"`{name}.json`" in page for name in ARTIFACTS)
    rows = re.findall(
        r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", page[page.index("# What findings") :], re.M
    )
    assert set(re.findall("[a-z-]+", " ".join(rows))) == finding_codes()


def test_the_changelog_has_the_version() -> None:
    assert f"## [{__version__}]" in read("CHANGELOG.md")


def test_the_examples_of_the_readme_are_short_and_compile() -> None:
    examples = re.findall(r"```python\n(.*?)```", read("README.md"), re.S)
    assert len(examples) == 2
    for example in examples:
        compile(example, "README.md", "exec")
        assert len([line for line in example.splitlines() if line.strip()]) <= 30


def test_the_array_example_of_the_readme_runs() -> None:
    example = next(
        text
        for text in re.findall(r"```python\n(.*?)```", read("README.md"), re.S)
        if "distos_coll.init()" in text
    )
    subprocess.run([sys.executable, "-c", example], check=True, timeout=100)


def test_no_document_names_a_marker_that_pytest_does_not_know() -> None:
    config = read("pyproject.toml")
    assert all(f'"{name}:' in config for name in ("slow", "netns"))

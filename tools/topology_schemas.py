"""Write the JSON Schemas of the topology's documents; with --check only say whether they are fresh.

They are made of the classes that read the documents, and described in the words of the model's own
comments. A change of a schema is a change of the format: raise its VERSION.
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from distos_coll.sources import cluster_model, json_records, scheduler_views

FOLDER = Path(__file__).resolve().parent.parent / "distos_coll/sources/schemas"
DOCUMENTS = {
    cluster_model.FORMAT: (cluster_model.Model, cluster_model.VERSION),
    scheduler_views.DOMAINS: (scheduler_views.DomainMap, scheduler_views.VERSION),
    scheduler_views.RAILS: (scheduler_views.Assignments, scheduler_views.VERSION),
}


def described_fields(model: type) -> Iterator[tuple[str, str]]:
    """Yield the names of fields and the texts that stand below them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        text = below.value if isinstance(below, ast.Expr) else None
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield field.target.id, inspect.cleandoc(text.value).replace("\n", " ")


def schema(name: str) -> dict[str, Any]:
    struct, version = DOCUMENTS[name]
    made: dict[str, Any] = msgspec.json.schema(struct)
    definitions = made["$defs"]
    for record in json_records.all_records():
        own = definitions.get(record.model.__name__)
        if own is not None:
            _describe(record.model, own)
    top = definitions.pop(struct.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:distos-coll:{name}:{version}",
        **top,
        "title": name,
        "$defs": dict(sorted(definitions.items())),
    }


def _describe(model: type, own: dict[str, Any]) -> None:
    doc = model.__doc__ or ""
    if doc and not doc.startswith(f"{model.__name__}("):
        own["description"] = inspect.cleandoc(doc).replace("\n", " ")
    properties: Mapping[str, dict[str, Any]] = own["properties"]
    for field, text in described_fields(model):
        if field in properties:
            properties[field]["description"] = text


def text(name: str) -> str:
    return json.dumps(schema(name), indent=2) + "\n"


def path(name: str) -> Path:
    return FOLDER / f"{name}.schema.json"


def main() -> int:
    stale = [
        name
        for name in DOCUMENTS
        if not path(name).exists() or path(name).read_text() != text(name)
    ]
    if "--check" in sys.argv:
        print("\n".join(f"{path(name)} is stale" for name in stale) or "Schemas: fresh.")
        return bool(stale)
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        path(name).write_text(text(name))
        print(f"wrote {path(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What `import torch` runs, and what stands between a wrong torch and an undefined symbol."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from error_page import raises

from distos_coll.torch import loader


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_registering_loads_nothing() -> None:
    text = python(
        "import sys, torch, distos_coll.torch as door\n"
        "door.register(); door.register()\n"
        "import torch.distributed as dist\n"
        "print(dist.is_backend_available('distos'), 'distos_coll.torch._c10d' in sys.modules, "
        "'distos_coll.settings' in sys.modules, dist.Backend.default_device_backend_map['cpu'])"
    )
    assert text == "True False False gloo"


def test_registering_never_raises() -> None:
    code = (
        "import torch.distributed as dist, distos_coll.torch as door\n"
        "def broken(*a, **k): raise RuntimeError('broken')\n"
        "dist.Backend.register_backend = broken\n"
        "door.register(); print('fine')"
    )
    assert python(code) == "fine"


def test_the_library_does_not_import_torch() -> None:
    assert python("import sys, distos_coll; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("built", "running", "fits"),
    [
        ("2.13.0", "2.13.0", True),
        ("2.13.0+cpu", "2.13.0+cu130", True),
        ("2.13.0", "2.13.1", False),
        ("2.11.0+cpu", "2.13.0+cpu", False),
        ("2.14.0a0+git1234", "2.14.0", False),
        ("2.14.0.dev20260101", "2.14.0.dev20260102", False),
    ],
)
def test_versions(built: str, running: str, fits: bool) -> None:
    if fits:
        loader.check_versions(built, running)
        return
    with raises("torch-other-version", torch=True) as caught:
        loader.check_versions(built, running)
    for part in (built, running, loader.MEND):
        assert part in str(caught.value)


def test_not_built(tmp_path: Path) -> None:
    assert loader.built_for(tmp_path / "none.json") is None
    (tmp_path / "bad.json").write_text("[]")
    assert loader.built_for(tmp_path / "bad.json") is None
    (tmp_path / "good.json").write_text(json.dumps({"torch": "2.13.0"}))
    assert loader.built_for(tmp_path / "good.json") == "2.13.0"
    with raises("torch-not-built", "pip install", torch=True):
        loader.check_versions(None, "2.13.0")


def test_a_wrong_torch_is_an_error_at_first_use() -> None:
    code = (
        "import torch, torch.distributed as dist, distos_coll.torch as door, sys\n"
        "from distos_coll.torch import loader\n"
        "door.register(); loader.built_for = lambda: '2.0.1'\n"
        "try:\n"
        "    dist.init_process_group('distos', store=dist.HashStore(), rank=0, world_size=1)\n"
        "except RuntimeError as error:\n"
        "    print(error, 'distos_coll.torch._c10d' in sys.modules)\n"
    )
    text = python(code)
    assert "built against torch 2.0.1" in text
    assert text.endswith("False")

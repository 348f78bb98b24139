"""Where sysfs lies in a tree of files, and how its values are spelt."""

import re
from dataclasses import dataclass

from distos_coll.sources.file_tree import Tree

BUS_ID = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_SIGNS = (
    "devices/system/cpu",
    "devices/system/node",
    "bus/pci/devices",
    "class/infiniband",
    "class/net",
)
_LOOKED_INTO = 256
_DEVICES = 64
NOWHERE = "\0"
"""No file is called so."""


@dataclass(frozen=True)
class Layout:
    """What of /sys and /proc is there; a dump may hold a part only."""

    base: str = ""
    """Where / of the machine is."""
    sys: str | None = None
    infiniband: str | None = None
    """Where /sys/class/infiniband is, of a dump of nothing else."""


def find_layout(tree: Tree) -> Layout | None:
    """Look for /sys at the root and in the folders of two levels."""
    folders = [""]
    for start in (0, 1):
        for folder in folders[start:]:
            inside = tree.names(folder)[: max(0, _LOOKED_INTO - len(folders))]
            folders += [_join(folder, name) for name in inside if name not in {"proc", "sys"}]
    for folder in folders:
        for path in (_join(folder, "sys"), folder):
            if any(tree.is_directory(_join(path, sign)) for sign in _SIGNS):
                return Layout(path.rpartition("/")[0] if path else "", path)
    for folder in folders:
        devices = tree.names(folder)[:_DEVICES]
        if any(tree.is_directory(_join(folder, f"{name}/ports/1")) for name in devices):
            return Layout(folder, infiniband=folder)
    return None


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


class Kernel:
    """Values of /sys and /proc, by their paths there."""

    def __init__(self, tree: Tree, layout: Layout) -> None:
        self.tree = tree
        self.layout = layout
        tree.base = layout.base

    def sys(self, path: str) -> str:
        return _join(NOWHERE if self.layout.sys is None else self.layout.sys, path)

    def proc(self, path: str) -> str | None:
        return self.tree.text(_join(self.layout.base, f"proc/{path}"))

    @property
    def infiniband(self) -> str:
        found = self.layout.infiniband
        return self.sys("class/infiniband") if found is None else found

    def names(self, path: str, pattern: str = ".+") -> list[str]:
        """Names that are as they should be: cpu10 after cpu9."""
        found = (name for name in self.tree.names(path) if re.fullmatch(pattern, name))
        return sorted(found, key=by_number)

    def number(self, path: str, base: int = 10, *, expected: bool = False) -> int | None:
        """A whole number at the start of a file; a finding, and None, if it is none."""
        text = self.tree.text(path, expected=expected)
        if text is None:
            return None
        digits = "[0-9a-fA-F]{1,15}" if base == 16 else r"-?\d{1,18}"
        match = re.match(rf"(?:0x)?({digits})\b", text)
        if match is None:
            self.tree.find("bad-value", f"{text[:40]!r} is no number; it was left out", path)
            return None
        return int(match[1], base)


def by_number(name: str) -> tuple[tuple[str, int], ...]:
    """Sort mlx5_10 after mlx5_9; all digits are compared as numbers."""
    parts = re.findall(r"(\D*)(\d{0,18})", name[:256])
    return tuple((letters, int(digits or -1)) for letters, digits in parts)


def values(text: str | None) -> dict[str, str]:
    """Lines NAME : VALUE, the first of each name."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def shown(name: str) -> str:
    """A file's name without what is no UTF-8 in it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

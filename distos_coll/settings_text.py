"""How values of settings read as text."""

import re
from collections.abc import Callable

_PLUGIN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")


def parse_bool(text: str) -> bool:
    """Read a switch: 1/0, true/false, yes/no, on/off."""
    lowered = text.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise ValueError("expected 1 or 0")


def parse_bytes(text: str) -> int:
    """Read a size: a whole number, with K, M or G (also KiB, MiB, GiB) for powers of 1024."""
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    shift = {"k": 10, "m": 20, "g": 30}.get(number[-1:], 0)
    digits = number[:-1].rstrip() if shift else number
    if not digits.isascii() or not digits.isdigit():
        raise ValueError("expected a number of bytes, such as 65536, 64K or 1M")
    return int(digits) << shift


def within(parse: Callable[[str], int], low: int, high: int) -> Callable[[str], int]:
    def parse_within(text: str) -> int:
        value = parse(text)
        if not low <= value <= high:
            raise ValueError(f"expected {low} to {high}")
        return value

    return parse_within


def parse_int(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise ValueError("expected a whole number") from None


def choice(*names: str) -> Callable[[str], str]:
    def parse_choice(text: str) -> str:
        for name in names:
            if text.strip().lower() == name.lower():
                return name
        raise ValueError(f"expected one of {', '.join(name or 'nothing' for name in names)}")

    return parse_choice


def parse_name(text: str) -> str:
    """Read text that crosses to the core on one line."""
    if not text.isprintable():
        raise ValueError("expected printable text on one line")
    return text.strip()


def parse_plugins(text: str) -> str:
    """Read modules, or module:attribute, with commas between."""
    names = [name.strip() for name in text.split(",")]
    if not all(_PLUGIN.fullmatch(name) for name in names):
        raise ValueError("expected modules or module:attribute, with commas between")
    return ",".join(names)


def short(count: int) -> str:
    for shift, unit in ((30, "G"), (20, "M"), (10, "K")):
        if count and count % (1 << shift) == 0:
            return f"{count >> shift}{unit}"
    return str(count)

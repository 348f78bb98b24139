"""Contradictions: facts that cannot all be true. They are told, never settled in silence."""

from dataclasses import dataclass

from distos_coll.errors import shown as shown  # names of strangers


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    """Stable, for programs: "nvlink-to-itself"."""
    message: str
    """What cannot be, and what was made of it."""
    where: str = ""
    """File and line, host, or device."""

    def __str__(self) -> str:
        return shown(f"{self.where}: {self.message}" if self.where else self.message)


def summed_up(findings: list[Finding], most: int = 200) -> tuple[Finding, ...]:
    """Each once, at most so many: a broken file can contradict itself in every line."""
    unique = tuple(dict.fromkeys(findings))
    if len(unique) <= most:
        return unique
    left_out = len(unique) - most
    return (*unique[:most], Finding("more", f"and {left_out} more contradictions"))

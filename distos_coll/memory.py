"""What a group holds."""

from typing import NamedTuple


class Memory(NamedTuple):
    """The bytes that a group holds in this process; docs/memory.md has the bounds."""

    window: int
    """Shared memory reserved for the other ranks of the domain."""
    window_touched: int
    """Of which pages exist, because operations used them."""
    scratch: int
    """Temporary copies, kept for the next operation."""
    queued: int
    """What arrived and no operation has taken yet."""
    registered: int
    """Of the whole process: registered memory, in use or kept for the next `empty()`."""

    def __str__(self) -> str:
        return (
            f"memory: {self.window_touched} of a window's {self.window} bytes touched, "
            f"{self.scratch} of temporary copies, {self.queued} queued, {self.registered} "
            "registered"
        )

"""The torch.distributed backend "distos".

torch finds `register` by its `torch.backends` entry point at every `import torch`, so registering
loads nothing and never raises: an exception there would break every `import torch`. The native part
is loaded when the first group is made.
"""

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["explain", "options", "register"]

BACKEND = "distos"


def register() -> None:
    """Make `init_process_group("distos")` work. Idempotent; never raises."""
    # A torch built without distributed has no such module; then there is nothing to register with.
    with contextlib.suppress(Exception):
        from torch.distributed import Backend

        from distos_coll.torch.creator import create_backend

        # Devices for which the backend is offered. Registering does not make it anybody's default:
        # torch keeps gloo and nccl for `init_process_group()` without a name.
        Backend.register_backend(
            BACKEND, create_backend, extended_api=True, devices=["cpu", "cuda"]
        )


def options(*, timeout: "timedelta | None" = None, float32_on_wire: bool = False) -> Any:
    """Return `pg_options` for a group.

    With `float32_on_wire`, half-precision reductions travel as float32 between hosts: twice the
    bytes, and one rounding instead of one per hop. `timeout` defaults to torch's; what is passed to
    `init_process_group` or `new_group` wins over it.
    """
    from distos_coll.torch.loader import native

    cls = native().ProcessGroupDistos.Options
    if timeout is None:
        return cls(float32_on_wire=float32_on_wire)
    return cls(timeout, float32_on_wire=float32_on_wire)


def explain(group: Any = None, collective: str = "all_reduce", nbytes: int = 4) -> str:
    """Say which algorithm a call of `nbytes` bytes on this group would run, and why."""
    from distos_coll.torch.creator import explain_choice

    return explain_choice(group, collective, nbytes)

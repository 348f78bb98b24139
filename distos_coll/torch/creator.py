"""What torch calls to make a group of the backend."""

from datetime import timedelta
from typing import Any

from distos_coll._vocabulary import Collective


def create_backend(dist_options: Any, pg_options: Any = None) -> Any:
    """Make this rank's part of a group; every rank of it calls this. For `register_backend`."""
    from distos_coll.torch.loader import native

    module = native()
    options = _options_for(module, dist_options, pg_options)
    rank, size = dist_options.group_rank, dist_options.group_size
    try:
        return module.create(dist_options.store, rank, size, options)
    except Exception as error:
        if any(step in str(error) for step in _PLANNING):
            _blame_plugins(dist_options, error)
        raise


_PLANNING = ("planning failed", "agree on the plan")
"""In messages of cpp/torch: of those who are connected, and have all come so far."""


def _blame_plugins(dist_options: Any, error: Exception) -> None:
    """Raise DistBackendError, if the ranks' plugins differ."""
    from torch.distributed import DistBackendError

    from distos_coll import manifests, settings

    name, board = str(dist_options.group_id), _TorchBoard(dist_options.store)
    meeting = manifests.Meeting(board, name, dist_options.group_rank, dist_options.group_size)
    found = manifests.why_not(meeting, manifests.own(settings.load()))
    if found:
        raise DistBackendError(f"distos could not agree on the plan: {found}") from error


class _TorchBoard:
    """torch's store, for distos_coll.manifests."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def set(self, key: str, value: bytes) -> None:
        self._store.set(key, value.decode())

    def get(self, key: str, timeout_ms: int) -> bytes | None:
        try:
            self._store.wait([key], timedelta(milliseconds=timeout_ms))
        except RuntimeError:
            return None
        return bytes(self._store.get(key))


def _options_for(module: Any, dist_options: Any, pg_options: Any) -> Any:
    cls = module.ProcessGroupDistos.Options
    if pg_options is None:
        from distos_coll import settings

        own = cls(float32_on_wire=settings.load().wide_reduce)
    elif isinstance(pg_options, cls):
        # Written to below, and the caller may use the same object for several groups.
        own = cls(float32_on_wire=pg_options.float32_on_wire)
    else:
        raise TypeError(
            f"pg_options of the distos backend are made by distos_coll.torch.options(), "
            f"not {type(pg_options).__module__}.{type(pg_options).__qualname__}"
        )
    own._timeout = _at_least_a_millisecond(dist_options.timeout)
    own.group_name = dist_options.group_id
    own.global_ranks_in_group = list(dist_options.global_ranks_in_group) or list(
        range(dist_options.group_size)
    )
    return own


def _at_least_a_millisecond(timeout: timedelta) -> timedelta:
    # The core counts milliseconds, and to it 0 means "the default".
    return max(timeout, timedelta(milliseconds=1))


def explain_choice(group: Any, collective: str, nbytes: int) -> str:
    import torch
    import torch.distributed as dist

    from distos_coll import settings
    from distos_coll.group_plan import Found, plan_for

    names = [member.name.lower() for member in Collective]
    if collective not in names:
        raise ValueError(f"collective is one of {', '.join(names)}, not {collective!r}")
    group = group or dist.group.WORLD
    if group is None:
        raise RuntimeError("there is no group yet; call init_process_group('distos') first")
    backend = group._get_backend(torch.device("cpu"))  # noqa: SLF001  torch offers no other way
    if not hasattr(backend, "choice"):
        raise RuntimeError(f"the group's CPU backend is {backend.name()}, not distos")
    _, *found = backend.topology
    plan = plan_for(settings.load(), Found(*found))
    explanation = plan.explain(collective, nbytes)
    return f"{explanation}\nthe core runs: {backend.choice(names.index(collective), nbytes)}"

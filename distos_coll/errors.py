"""Every exception of this package, in one small tree.

    DistosError
    ├── InvalidArgument     the caller's arguments are wrong                     (ValueError)
    │   ├── SettingsError   an environment variable is unknown or has a bad value
    │   ├── PlanError       a program or plan is malformed, or failed verification
    │   └── TopologyError   a description of machines or of a network cannot be read
    ├── Unsupported         valid, but not offered; the message says what to use instead
    ├── PluginError         a plugin could not be loaded, or broke its contract
    ├── TimeoutExpired      an operation's deadline passed                       (TimeoutError)
    ├── Mismatch            ranks called different operations, or with different sizes
    ├── GroupBroken         the group cannot go on; make a new one
    │   ├── PeerDied        a member's process ended without saying goodbye
    │   ├── PeerLeft        a member closed the group while others still needed it
    │   └── Aborted         abort() was called here or on another rank
    ├── SystemFailure       the operating system refused something
    └── InternalError       a bug in this library

Each message says what happened, to whom (rank, peer, address, plugin), and what to do. Inside torch
these are c10d's own exceptions instead, because that is what code written for torch catches.
"""

from collections.abc import Mapping
from types import MappingProxyType


class DistosError(Exception):
    """Anything this package raises on purpose."""


class InvalidArgument(DistosError, ValueError): ...


class SettingsError(InvalidArgument): ...


class PlanError(InvalidArgument): ...


def shown(text: str) -> str:
    """Make names of strangers safe to print: a line stays one, and a terminal gets no commands."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class TopologyError(InvalidArgument):
    def __init__(self, message: str) -> None:
        super().__init__(shown(message))


class Unsupported(DistosError): ...


class PluginError(DistosError): ...


class TimeoutExpired(DistosError, TimeoutError): ...


class Mismatch(DistosError): ...


class GroupBroken(DistosError): ...


class PeerDied(GroupBroken): ...


class PeerLeft(GroupBroken): ...


class Aborted(GroupBroken): ...


class SystemFailure(DistosError): ...


class InternalError(DistosError): ...


# The values of dc_code in cpp/include/distos_coll/c_api.h that are failures.
_BY_CODE: Mapping[int, type[DistosError]] = MappingProxyType(
    {
        2: TimeoutExpired,
        3: PeerDied,
        4: PeerLeft,
        5: Aborted,
        6: InvalidArgument,
        7: Mismatch,
        8: Unsupported,
        9: SystemFailure,
        10: InternalError,
    }
)


def from_code(code: int, text: str) -> DistosError:
    """Make the exception for a dc_code; functions return them negated, callbacks as they are.

    A code that is no failure, or that a newer core added, is an InternalError that shows it.
    """
    kind = _BY_CODE.get(abs(code))
    if kind is None:
        return InternalError(f"the core returned the unexpected code {code}: {text}")
    return kind(text)

"""What NCCL calls the architectures of CPUs."""

_NAMES = {"aarch64": "arm64", "ppc64le": "ppc64", "amd64": "x86_64"}


def of_kernel(machine: str | None) -> str | None:
    """By what `uname -m` says, or hwloc after it."""
    return _NAMES.get(machine or "", machine)

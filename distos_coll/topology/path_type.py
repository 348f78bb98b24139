"""How far apart two devices are, in NCCL's words and its order."""

from enum import IntEnum


class PathType(IntEnum):
    """From near to far."""

    LOC = 0
    """The same device."""
    NVL = 1
    """NVLink or xGMI."""
    NVB = 2
    """The same, through one GPU between them."""
    C2C = 3
    """A GPU's coherent link to its CPU."""
    PIX = 4
    """One PCI switch."""
    PXB = 5
    """Several PCI switches, no CPU."""
    P2C = 6
    """Between GPU and NIC: PCI to the CPU, then C2C."""
    PXN = 7
    """To a NIC through the GPU next to it, which NVLink reaches."""
    PHB = 8
    """Through the CPU."""
    SYS = 9
    """Through the link between CPUs."""
    NET = 10
    """Through the network."""
    DIS = 11
    """None."""

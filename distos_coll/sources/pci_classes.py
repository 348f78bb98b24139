"""What the class and vendor of a PCI function say of it, where nothing else does."""

from distos_coll.api import (
    PCI_NVSWITCH,
    Gpu,
    HostBuilder,
    Nic,
    NvSwitch,
    Pci,
    pci_is_adapter,
    pci_is_gpu,
    pci_is_nic,
)

NVIDIA = 0x10DE


def is_of_interest(pci_class: int | None) -> bool:
    """Say whether it may carry a GPU, an adapter or an NVLink switch."""
    return pci_is_gpu(pci_class) or pci_is_nic(pci_class) or pci_class == PCI_NVSWITCH


def imply(host: HostBuilder, node: int) -> None:
    """Add the device below a function, of which the source says no more."""
    function = host.nodes[node]
    if not isinstance(function, Pci) or function.pci_class is None:
        return
    if function.pci_class == PCI_NVSWITCH:
        if function.vendor == NVIDIA:
            host.add(NvSwitch(function.bus_id, node))
    elif pci_is_gpu(function.pci_class):
        host.add_gpu(Gpu(node, implied=True))
    elif pci_is_adapter(function.pci_class, function.vendor):
        host.add(Nic(node, implied=True))

"""What `distos_coll.api` hands out of this package. Apart from it, because those who only plan
need none of it, and its classes take a while to make.
"""

from distos_coll.topology.builder import Counts, HostBuilder
from distos_coll.topology.builder import bounded as check_host_size
from distos_coll.topology.builder import topology as build_topology
from distos_coll.topology.domain_map import NvlinkDomainMap, domain_map
from distos_coll.topology.fabric import (
    Adapter,
    Block,
    Cable,
    End,
    EndKind,
    Fabric,
    Rail,
    Recognised,
    Switch,
)
from distos_coll.topology.findings import Finding
from distos_coll.topology.interfaces import is_virtual as interface_is_virtual
from distos_coll.topology.model import (
    NOWHERE,
    Attributes,
    Distances,
    Gpu,
    GpuId,
    Host,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Node,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
    Relation,
    Topology,
)
from distos_coll.topology.nccl_graph import NcclGraph, NcclGraphs, Stop
from distos_coll.topology.nvlink import local_name as local_nvlink_domain
from distos_coll.topology.paths import PathType
from distos_coll.topology.pci import NVSWITCH as PCI_NVSWITCH
from distos_coll.topology.pci import bus_id as pci_bus_id
from distos_coll.topology.rail_assignments import RailAssignments, rail_assignments
from distos_coll.topology.source import Document, Found, Fragment, TopologySource
from distos_coll.topology.xml_text import render as render_xml
from distos_coll.topology.xml_tree import Element
from distos_coll.topology.xml_tree import parse as parse_xml
from distos_coll.topology.xml_tree import root_tag as xml_root

__all__ = [
    # topology: sources
    "TopologySource",
    "Document",
    "Found",
    "Fragment",
    "Finding",
    "HostBuilder",
    "Counts",
    "build_topology",
    "check_host_size",
    "interface_is_virtual",
    "local_nvlink_domain",
    "pci_bus_id",
    "PCI_NVSWITCH",
    "Element",
    "parse_xml",
    "render_xml",
    "xml_root",
    # topology: what schedulers ask
    "NvlinkDomainMap",
    "domain_map",
    "RailAssignments",
    "rail_assignments",
    # topology: plans of NCCL's
    "NcclGraph",
    "NcclGraphs",
    "Stop",
    # topology: hosts
    "NOWHERE",
    "Attributes",
    "Topology",
    "Host",
    "HostTemplate",
    "GpuId",
    "PortId",
    "Node",
    "Numa",
    "Pci",
    "Gpu",
    "Nic",
    "Port",
    "NvSwitch",
    "Link",
    "LinkKind",
    "Relation",
    "PathType",
    "Distances",
    # topology: the network
    "Fabric",
    "Switch",
    "Adapter",
    "Cable",
    "End",
    "EndKind",
    "Rail",
    "Recognised",
    "Block",
]

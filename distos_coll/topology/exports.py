"""What `distos_coll.api` hands out of this package. Apart from it, because those who only plan
need none of it, and its classes take a while to make.
"""

from distos_coll.topology.builder import MOST_OF_A_KIND as MAX_HOST_GPUS
from distos_coll.topology.builder import Counts, HostBuilder
from distos_coll.topology.builder import bounded as check_host_size
from distos_coll.topology.builder import topology as build_topology
from distos_coll.topology.data import Data, parse_json
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
from distos_coll.topology.fabric_kinds import recognise_fabric
from distos_coll.topology.findings import Finding
from distos_coll.topology.hostlist import MAX_HOSTS, TooManyHosts
from distos_coll.topology.hostlist import expand as expand_hosts
from distos_coll.topology.infiniband import LID_AT_MOST as IB_LID_AT_MOST
from distos_coll.topology.infiniband import described as ib_described
from distos_coll.topology.infiniband import guid as ib_guid
from distos_coll.topology.infiniband import is_aggregation as ib_is_aggregation
from distos_coll.topology.infiniband import is_guid as ib_is_guid
from distos_coll.topology.infiniband import mbps as ib_mbps
from distos_coll.topology.infiniband import rate as ib_rate
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
from distos_coll.topology.pci import NVSWITCH as PCI_NVSWITCH
from distos_coll.topology.pci import bus_id as pci_bus_id
from distos_coll.topology.pci import is_adapter as pci_is_adapter
from distos_coll.topology.pci import is_bridge as pci_is_bridge
from distos_coll.topology.pci import is_gpu as pci_is_gpu
from distos_coll.topology.pci import is_nic as pci_is_nic
from distos_coll.topology.rail_assignments import RailAssignments, rail_assignments
from distos_coll.topology.report import MARK as HOST_REPORT_MARK
from distos_coll.topology.report import pack as pack_hosts
from distos_coll.topology.report import unpack as unpack_hosts
from distos_coll.topology.routes import (
    Distance,
    ForwardingTable,
    ForwardingTables,
    LidAssignments,
    LidMatrix,
    PortPairs,
)
from distos_coll.topology.source import Document, Found, Fragment, TopologySource
from distos_coll.topology.text import Notes, cut_off, text_lines
from distos_coll.topology.xml_text import render as render_xml
from distos_coll.topology.xml_tree import Element
from distos_coll.topology.xml_tree import parse as parse_xml
from distos_coll.topology.xml_tree import root_tag as xml_root
from distos_coll.topology.yaml_text import MAX_BYTES as YAML_MAX_BYTES
from distos_coll.topology.yaml_text import parse_yaml

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
    "MAX_HOST_GPUS",
    "interface_is_virtual",
    "local_nvlink_domain",
    "pci_bus_id",
    "pci_is_adapter",
    "pci_is_bridge",
    "pci_is_gpu",
    "pci_is_nic",
    "PCI_NVSWITCH",
    "Element",
    "parse_xml",
    "render_xml",
    "xml_root",
    "HOST_REPORT_MARK",
    "pack_hosts",
    "unpack_hosts",
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
    "recognise_fabric",
    # topology: routes
    "ForwardingTable",
    "ForwardingTables",
    "Distance",
    "LidMatrix",
    "LidAssignments",
    "PortPairs",
    # topology: text, and what InfiniBand's tools print
    "Notes",
    "text_lines",
    "cut_off",
    "Data",
    "parse_json",
    "parse_yaml",
    "YAML_MAX_BYTES",
    "MAX_HOSTS",
    "expand_hosts",
    "TooManyHosts",
    "IB_LID_AT_MOST",
    "ib_described",
    "ib_guid",
    "ib_is_aggregation",
    "ib_is_guid",
    "ib_mbps",
    "ib_rate",
]

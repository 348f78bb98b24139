"""A little of every format that is built in, so that a new source can be shown not to take them.

Each is what its own source recognises and reads; a test keeps it so. Directories are left out.
"""

SAMPLES: dict[str, bytes] = {
    "cluster-topology-model": b'{"format": "cluster-topology-model", "schema_version": 1}\n',
    "host-report": b'{"distos_host_report":1,"gpus":[],"name":"n1","ports":[]}\n{}\n',
    "hwloc-xml": b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" gp_index="1">
    <object type="NUMANode" os_index="0" gp_index="2" local_memory="1024"/>
  </object>
</topology>
""",
    "ib-rail-assignments": b'{"format": "ib-rail-assignments", "schema_version": 1}\n',
    "ibnetdiscover": b"""#
# Topology file: generated on Tue Mar  3 10:00:00 2026
#
vendid=0x2c9
switchguid=0xa0(a0)
Switch\t4 "S-00000000000000a0"\t\t# "leaf" enhanced port 0 lid 1 lmc 0
[1]\t"H-00000000000000b0"[1](b1) \t\t# "n1 mlx5_0" lid 2 4xHDR

caguid=0xb0
Ca\t1 "H-00000000000000b0"\t\t# "n1 mlx5_0"
[1](b1) \t"S-00000000000000a0"[1]\t\t# lid 2 lmc 0 "leaf" lid 1 4xHDR
""",
    "ibsim-net": b"""Switch 4 "leaf"
[1] "n1"[1]

Hca 1 "n1"
[1] "leaf"[1]
""",
    "lldp": b"""{"lldp": {"interface": [{"eth0": {
  "chassis": {"leaf": {"id": {"type": "mac", "value": "00:00:00:00:00:01"}}},
  "port": {"id": {"type": "ifname", "value": "swp1"}}}}]}}
""",
    "lspci": b"""00:00.0 Host bridge [0600]: Intel Corporation Device [8086:09a2]
01:00.0 3D controller [0302]: NVIDIA Corporation Device [10de:2330] (rev a1)
""",
    "nccl-graph": b"""<graphs version="1">
  <graph id="0" pattern="4" crossnic="0" nchannels="1" speedintra="12" speedinter="12"
         latencyinter="0" typeintra="NVL" typeinter="PIX" samechannels="1">
    <channel><gpu dev="0"/><gpu dev="1"/></channel>
  </graph>
</graphs>
""",
    "nccl-xml": b"""<system version="1">
  <cpu numaid="0" affinity="ff" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="143">
    <pci busid="0000:01:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
      <gpu dev="0" sm="90" rank="0" gdr="1"/>
    </pci>
  </cpu>
</system>
""",
    "netq": b'[{"nodes": [{"tier": 1, "compounded_nodes": []}], "links": []}]\n',
    "nvidia-smi-nvlink": b"""GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)
\t Link 0: 26.562 GB/s
\t Link 1: 26.562 GB/s
""",
    "nvidia-smi-topo": b"""\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity
GPU0\t X \tNV18\t0-7\t0
GPU1\tNV18\t X \t0-7\t0
""",
    "nvidia-smi-xml": b"""<?xml version="1.0" ?>
<nvidia_smi_log>
  <attached_gpus>1</attached_gpus>
  <gpu id="00000000:01:00.0"><product_name>NVIDIA H100</product_name></gpu>
</nvidia_smi_log>
""",
    "nvlink-domain-map": b'{"format": "nvlink-domain-map", "schema_version": 1}\n',
    "opensm-fdbs": b"""dump_ucast_routes: Switch 0x0000000000000010
LID    : Port : Hops : Optimal
0x0001 : 000  : 00   : yes
""",
    "opensm-guid2lid": b"0x0000000000000010 0x0001 0x0001\n\n",
    "opensm-lfts": b"""Unicast lids [0-3] of switch Lid 1 guid 0x0000000000000010 ('leaf'):
0x0001 000 # Switch portguid 0x0000000000000010: 'leaf'
1 lids dumped
""",
    "opensm-lid-matrix": b"""Switch: guid 0x0000000000000010
0x0001: 00 ff # portguid 0x0000000000000010
""",
    "opensm-neighbors": b"0x0000000000000010:1 0x0000000000000021:1\n\n",
    "opensm-subnet": (
        b"{ CA Ports:01 SystemGUID:0000000000000021 NodeGUID:0000000000000021 "
        b"PortGUID:0000000000000022 VenID:000002C9 DevID:1017 Rev:00000000 "
        b"{'n1 mlx5_0'} LID:0004 PN:01 } { SW Ports:04 SystemGUID:0000000000000010 "
        b"NodeGUID:0000000000000010 PortGUID:0000000000000010 VenID:000002C9 DevID:CB84 "
        b"Rev:00000000 {'leaf'} LID:0001 PN:01 } PHY=4x LOG=ACT SPD=10\n"
    ),
    "rccl-xml": b"""<system version="2">
  <cpu numaid="0" affinity="ff" arch="x86_64" vendor="AuthenticAMD" familyid="25" modelid="1">
    <pci busid="0000:01:00.0" class="0x038000" link_speed="16.0 GT/s PCIe" link_width="16">
      <gpu dev="0" sm="94" gcn="gfx942" arch="38911" rank="0" gdr="1"/>
    </pci>
  </cpu>
</system>
""",
    "slurm-topology": b"SwitchName=leaf Nodes=n[1-2]\nSwitchName=spine Switches=leaf\n",
    "slurm-topology-yaml": b"""- topology: default
  cluster_default: true
  tree:
    switches:
      - switch: leaf
        nodes: n[1-2]
""",
    "topograph-model": b"""switches:
- name: leaf
  nodes: [n1, n2]
capacity_blocks:
- name: cb1
  type: H100
  nodes: [n1, n2]
""",
}

"""Which network interfaces have hardware of their own, by name, for sources that cannot tell."""

import re

# Bridges, ends of containers and virtual machines, tunnels, overlays of Kubernetes, loopback.
_VIRTUAL = re.compile(
    r"lo|(br|virbr|docker|lxcbr|lxdbr|cbr|cni|ovs|vmbr)[-\d].*|docker0|br\d*|ovs-system"
    r"|(veth|cali|cilium|flannel|kube|weave|vxlan|geneve|genev_sys|tunl|gre|gretap|erspan|sit|ip6tnl"
    r"|ip6gre|ip6_vti|ip_vti|tun|tap|wg|dummy|ifb|macvlan|macvtap|ipvlan|vnet|lxc|nodelocaldns"
    r"|vlan|podman|zt|tailscale|antrea|gw0|azv|eni[0-9a-f]{11}).*"
    r"|[a-z]\w*[.]\d+"  # a VLAN on another interface
)


def is_virtual(name: str) -> bool:
    return _VIRTUAL.fullmatch(name) is not None

"""What to call the nodes of a network: by their names, where those tell them apart."""

from collections import Counter

from distos_coll.topology.fabric import Adapter, Fabric, Switch


def node_names(*fabrics: Fabric) -> dict[str, str]:
    """Return a name for each id; with the id in it where several have one name, such as that of
    the product. Of several fabrics the later ones count.
    """
    found: dict[str, str] = {}
    shared: Counter[str] = Counter()
    for fabric in fabrics:
        nodes: tuple[Switch | Adapter, ...] = (
            *fabric.switches,
            *fabric.adapters,
            *fabric.routers,
        )
        own = {node.id: node.name or node.id for node in nodes}
        names = Counter(own.values())
        # One of the name in each fabric may be one node that got another id.
        shared = Counter({name: max(shared[name], names[name]) for name in shared | names})
        found |= own
    return {
        id_: f"{name} {id_}" if shared[name] > 1 and name != id_ else name
        for id_, name in found.items()
    }

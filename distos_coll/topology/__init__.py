"""What is known of a cluster: an immutable model, how sources fill it, what can be read off it.

Nothing here knows a file format; those are in `distos_coll/sources`, through the plugins' door
(docs/decisions/0010).
"""

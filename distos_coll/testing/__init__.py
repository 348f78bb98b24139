"""What authors of algorithms and transports test with."""

from distos_coll.testing.ranks import LocalWorld, Rank

__all__ = ["LocalWorld", "Rank"]

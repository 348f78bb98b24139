"""What the planner knows of a group: every rank must hold an equal view, because each plans for
itself.
"""

from dataclasses import dataclass
from functools import cached_property

from distos_coll.errors import InvalidArgument
from distos_coll.planner.lay import Layout, laid
from distos_coll.planner.links import Links
from distos_coll.planner.profile import BUILT_IN, Profile, Shape, Table
from distos_coll.program.layout import Orders, members_of, renumbered


@dataclass(frozen=True)
class ClusterView:
    size: int
    domain_of: tuple[int, ...]
    """For each rank its domain: ranks that map each other's memory. Any labels; they are
    renumbered.
    """
    single_copy: tuple[bool, ...] = ()
    """For each domain, in the order of its smallest rank: all its pairs can read each other's
    memory.
    """
    cores: tuple[int, ...] = ()
    """For each domain the cores its ranks may use; empty: enough for all."""
    slot_bytes: int = 1 << 20
    profile: Profile = BUILT_IN
    hosts: tuple[str, ...] = ()
    """For each domain what its host is called; empty: nobody knows."""

    def __post_init__(self) -> None:
        if self.size < 1 or len(self.domain_of) != self.size:
            raise InvalidArgument(
                f"a view of {self.size} ranks needs that many entries in domain_of, "
                f"not {len(self.domain_of)}"
            )
        object.__setattr__(self, "domain_of", renumbered(self.domain_of))
        domains = max(self.domain_of) + 1
        for name, values in (
            ("single_copy", self.single_copy),
            ("cores", self.cores),
            ("hosts", self.hosts),
        ):
            if values and len(values) != domains:
                raise InvalidArgument(
                    f"{name} has {len(values)} entries, but there are {domains} domains"
                )
        if self.slot_bytes < 1:
            raise InvalidArgument(f"slot_bytes is {self.slot_bytes}; it must be positive")

    @staticmethod
    def one_domain(
        size: int, *, single_copy: bool = False, slot_bytes: int = 1 << 20
    ) -> "ClusterView":
        return ClusterView(size, (0,) * size, (single_copy,), slot_bytes=slot_bytes)

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """The ranks of each domain, ascending; domains in the order of their smallest rank."""
        return members_of(self.domain_of)

    @cached_property
    def largest_domain(self) -> int:
        return max(len(ranks) for ranks in self.members)

    @property
    def all_single_copy(self) -> bool:
        """A domain of one has no pair, so it does not matter what it can do."""
        flags = self.single_copy or (False,) * len(self.members)
        return all(flag or len(ranks) == 1 for flag, ranks in zip(flags, self.members, strict=True))

    @property
    def sharing(self) -> float:
        if not self.cores:
            return 1.0
        return max(
            [1.0, *(len(r) / max(c, 1) for r, c in zip(self.members, self.cores, strict=True))]
        )

    @cached_property
    def links(self) -> Links | None:
        """Between the domains, of the first who knows all their hosts; None: all are alike."""
        if len(self.members) < 2 or not self.hosts:
            return None
        found = (links.among(self.hosts) for links in self.profile.links)
        return next((links for links in found if links is not None), None)

    @cached_property
    def layout(self) -> Layout:
        """What the links make of this group."""
        if self.links is None:
            return Layout(Orders(), (), ())
        sizes = tuple(len(ranks) for ranks in self.members)
        return laid(self.links, self.domain_of, sizes, self.profile.figures.tcp)

    @cached_property
    def measured(self) -> Table:
        """What was measured in groups of this one's shape."""
        sizes = tuple(len(ranks) for ranks in self.members)
        links = self.links.digest if self.links else ""
        return self.profile.table(
            Shape(sizes, self.all_single_copy, self.sharing, self.slot_bytes, links)
        )

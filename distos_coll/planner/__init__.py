"""The planner: topology and cost in, a plan out. Pure Python, values in and values out."""

from distos_coll.planner.explain import Explanation, Verdict
from distos_coll.planner.plan import Plan, plan
from distos_coll.planner.profile import Profile
from distos_coll.planner.view import ClusterView
from distos_coll.plugins.costs import Figures, LinkCost

__all__ = [
    "ClusterView",
    "Explanation",
    "Figures",
    "LinkCost",
    "Plan",
    "Profile",
    "Verdict",
    "plan",
]

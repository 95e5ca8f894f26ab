"""What to do about an assignment that goes wrong."""

from __future__ import annotations

from collections.abc import Mapping

from ..assignment import Assigner, MinCost

MUCH = 0.1  # a larger share than this is told


def advice(statistics: Mapping[str, float], assigner: Assigner) -> dict[str, str]:
    """A line with the remedy for each number that says that objects are badly served.

    Only :class:`MinCost` leaves room for that; other rules have their positives outside, or share
    them, on purpose or not at all.

    Args:
        statistics: see :func:`onenet.inspection.assignment.assignment_statistics`, as numbers.
        assigner: the one that has assigned.

    Returns:
        By the name of the number.
    """
    if not isinstance(assigner, MinCost):
        return {}
    lines = {}
    outside, shared = statistics["positives_outside"], statistics["shared_samples"]
    if outside > MUCH and assigner.region == "anywhere":
        lines["positives_outside"] = (
            f"{outside:.0%} of the positive samples lie outside of their object, where another "
            "place costs less than any in it. MODEL.OneNet.ASSIGNER.REGION inside keeps them in it."
        )
    if shared > MUCH and assigner.solver == "argmin":
        lines["shared_samples"] = (
            f"{shared:.0%} of the positive samples serve several objects, and can find one. "
            "MODEL.OneNet.ASSIGNER.SOLVER hungarian gives each object a sample of its own."
        )
    return lines

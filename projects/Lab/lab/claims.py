"""What is claimed of the arms of an experiment, and whether the runs bear it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import NOISE, UNKNOWN, compare

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "not shown"

Values = Mapping[str, Mapping[str, Sequence[float]]]  # label -> metric -> values of the seeds


@dataclass(frozen=True)
class Claim:
    """A metric of an arm is below or above a number, or that of another arm.

    Attributes:
        text: the claim in words.
        arm: label of an arm.
        metric: name of a metric.
        side: "below" or "above".
        bound: a number, or the label of another arm.
    """

    text: str
    arm: str
    metric: str
    side: str
    bound: float | str

    @property
    def arms(self) -> tuple[str, ...]:
        """The labels that it names."""
        return (self.arm,) if isinstance(self.bound, float) else (self.arm, self.bound)


@dataclass(frozen=True)
class Finding:
    """Whether a claim holds, and the evidence in words."""

    verdict: str
    evidence: str


def check_claim(claim: Claim, values: Values) -> Finding:
    """Check a claim.

    A number must be kept by every seed. Against another arm the rule of the tables decides, with p
    corrected as if that one were the baseline of all arms: the claim holds or does not where they
    differ; else it is not shown.

    Args:
        claim: what is claimed.
        values: of all arms of the experiment.
    """
    own = values.get(claim.arm, {}).get(claim.metric, [])
    other = _other_values(claim, values)
    if not own or not other:
        return Finding(OPEN, "runs are missing")
    if isinstance(claim.bound, float):
        return _check_number(claim, own)
    arms = {label: metrics.get(claim.metric, []) for label, metrics in values.items()}
    found = compare(arms, claim.bound)[claim.arm]
    means = f"{np.mean(own):.2f} against {np.mean(other):.2f}"
    if found.verdict == UNKNOWN:
        return Finding(OPEN, f"{means}, {UNKNOWN}")
    if found.verdict == NOISE:
        return Finding(OPEN, f"{means}, {NOISE} (p = {found.p:.2g})")
    as_claimed = (found.value < 0) == (claim.side == "below")
    return Finding(HOLDS if as_claimed else FAILS, f"{means}, p = {found.p:.2g}")


def _other_values(claim: Claim, values: Values) -> Sequence[float]:
    if isinstance(claim.bound, float):
        return [claim.bound]
    return values.get(claim.bound, {}).get(claim.metric, [])


def _check_number(claim: Claim, own: Sequence[float]) -> Finding:
    kept = [(value < claim.bound) == (claim.side == "below") for value in own]
    verdict = HOLDS if all(kept) else OPEN if any(kept) else FAILS
    spread = f"{min(own):.2f} to {max(own):.2f}" if len(own) > 1 else f"{own[0]:.2f}"
    return Finding(verdict, f"{spread}; {sum(kept)} of {len(own)} seeds")

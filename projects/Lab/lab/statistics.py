"""Several seeds: mean, standard deviation, and whether a difference is more than noise.

The rule: two arms differ in a metric if Welch's t-test over their seeds (two-sided, unequal
variances) gives p < 0.05, after Holm's correction for the number of arms that are compared with the
same one. Any other difference is inside the noise. With one seed an arm, or where no seed differs
from another, so that the noise is unknown, nothing can be told.

Sources: Welch, Biometrika 1947; Holm, Scandinavian Journal of Statistics 1979.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_ind

LEVEL = 0.05  # of p, below which a difference counts

RULE = (
    "A difference counts where Welch's t-test over the seeds (two-sided, Holm's correction for the "
    f"number of arms) gives p < {LEVEL:g}; otherwise it is inside the noise. With one seed, or "
    "seeds that do not differ, it cannot be told."
)
REAL, NOISE, UNKNOWN = "differs", "inside the noise", "noise unknown: cannot be told"


@dataclass(frozen=True)
class Summary:
    """Of the values of all seeds; ``sd`` is None below two."""

    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """Of an arm to the baseline.

    Attributes:
        value: difference of the means.
        p: of Welch's test after correction, None if it cannot be computed.
        verdict: ``REAL``, ``NOISE`` or ``UNKNOWN``.
    """

    value: float
    p: float | None
    verdict: str


def summarize(values: Sequence[float | None]) -> Summary:
    """Mean and sample standard deviation of the values that there are."""
    known = [value for value in values if value is not None]
    return Summary(
        mean=float(np.mean(known)) if known else None,
        sd=float(np.std(known, ddof=1)) if len(known) > 1 else None,
    )


def welch(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Two-sided p that both have the same mean.

    None where the noise is unknown: with fewer than two values on a side, or with two means of
    values without any spread.
    """
    if min(len(values), len(others)) < 2:
        return None
    with warnings.catch_warnings():  # values that hardly differ are no mistake
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(ttest_ind(values, others, equal_var=False).pvalue)
    if len({*values}) == len({*others}) == 1:
        return 1.0 if values[0] == others[0] else None
    return p


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for their number."""
    corrected, highest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, p * (len(p_values) - rank)))
        corrected[name] = highest
    return corrected


def compare(arms: Mapping[str, Sequence[float | None]], baseline: str) -> dict[str, Difference]:
    """Compare one metric of every other arm with the baseline.

    Args:
        arms: label -> values of all seeds.
        baseline: one of the labels.

    Returns:
        Label -> difference, for the arms that have values, as the baseline must too.
    """
    known = {label: [x for x in values if x is not None] for label, values in arms.items()}
    base = known.pop(baseline)
    known = {label: values for label, values in known.items() if values and base}
    p_values = {label: welch(values, base) for label, values in known.items()}
    corrected = holm({label: p for label, p in p_values.items() if p is not None})
    return {
        label: Difference(
            value=float(np.mean(values) - np.mean(base)),
            p=corrected.get(label),
            verdict=_verdict(corrected.get(label)),
        )
        for label, values in known.items()
    }


def _verdict(p: float | None) -> str:
    if p is None:
        return UNKNOWN
    return REAL if p < LEVEL else NOISE

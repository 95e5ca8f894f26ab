import math

import pytest
from lab.statistics import NOISE, REAL, UNKNOWN, compare, holm, summarize, welch
from scipy.stats import t


def test_mean_and_sample_standard_deviation():
    summary = summarize([1.0, None, 2.0, 6.0])
    assert summary.mean == 3.0
    assert summary.sd == pytest.approx(math.sqrt(7))
    assert summarize([5.0]).sd is None
    assert summarize([None]).mean is None


def test_welch_as_the_paper_has_it():
    a, b = [27.5, 21.0, 19.0, 23.6], [27.1, 22.0, 20.8]
    var_a, var_b = summarize(a).sd ** 2 / 4, summarize(b).sd ** 2 / 3
    statistic = (summarize(a).mean - summarize(b).mean) / math.sqrt(var_a + var_b)
    freedom = (var_a + var_b) ** 2 / (var_a**2 / 3 + var_b**2 / 2)
    assert welch(a, b) == pytest.approx(2 * t.sf(abs(statistic), freedom))


def test_values_without_spread():
    assert welch([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert (
        welch([1.0, 1.0], [2.0, 2.0]) is None
    )  # of seeds that say all the same, no noise is known
    assert 0 < welch([1.0, 1.0], [2.0, 2.1]) < 0.05
    assert welch([1.0], [2.0, 3.0]) is None


def test_holm():
    # Sorted: 0.01 * 3, 0.03 * 2, and 0.04 * 1 raised to the one before.
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


def test_verdicts():
    found = compare(
        {
            "base": [50.0, 51.0, 52.0],
            "much": [10.0, 11.0, 12.0],
            "little": [50.0, 53.0, 51.5],
            "alone": [49.0],
            "flat": [40.0, 40.0, 40.0],
            "none": [None, None],
        },
        "base",
    )
    assert {label: one.verdict for label, one in found.items()} == {
        "much": REAL,
        "little": NOISE,
        "alone": UNKNOWN,
        "flat": REAL,  # the baseline's seeds differ
    }
    assert found["much"].value == pytest.approx(-40)
    assert found["alone"].p is None


def test_equal_seeds_tell_nothing():
    found = compare({"base": [50.0, 50.0], "arm": [40.0, 40.0], "same": [50.0, 50.0]}, "base")
    assert (found["arm"].verdict, found["arm"].p) == (UNKNOWN, None)
    assert (found["same"].verdict, found["same"].value) == (NOISE, 0.0)


def test_more_arms_need_more_evidence():
    base, arm = [50.0, 50.5, 51.0], [51.5, 52.0, 52.6]
    alone = compare({"base": base, "arm": arm}, "base")["arm"]
    others = {f"other{i}": [50.1, 50.4, 51.0] for i in range(12)}
    among = compare({"base": base, "arm": arm, **others}, "base")["arm"]
    assert alone.verdict == REAL
    assert among.verdict == NOISE
    assert among.value == alone.value


def test_a_baseline_without_values():
    assert compare({"base": [], "arm": [1.0, 2.0]}, "base") == {}

import pytest
from lab.claims import FAILS, HOLDS, OPEN, Claim, check_claim
from lab.statistics import compare, welch

VALUES = {
    "high": {"AP": [50.0, 51.0, 52.0]},
    "low": {"AP": [10.0, 11.0, 12.0]},
    "near": {"AP": [50.5, 52.0, 51.2]},
    "one": {"AP": [49.0]},
    "flat": {"AP": [30.0, 30.0]},
    "flatter": {"AP": [31.0, 31.0]},
}


@pytest.mark.parametrize(
    ("arm", "side", "bound", "verdict"),
    [
        ("low", "below", 20.0, HOLDS),
        ("low", "above", 20.0, FAILS),
        ("low", "below", 11.5, OPEN),  # two of three seeds
        ("one", "above", 20.0, HOLDS),
        ("low", "below", "high", HOLDS),
        ("low", "above", "high", FAILS),
        ("near", "above", "high", OPEN),
        ("one", "below", "high", OPEN),
        ("flat", "below", "flatter", OPEN),
        ("absent", "below", 20.0, OPEN),
        ("low", "below", "absent", OPEN),
    ],
)
def test_verdict(arm, side, bound, verdict):
    assert check_claim(Claim("", arm, "AP", side, bound), VALUES).verdict == verdict


def test_evidence():
    assert check_claim(Claim("", "low", "AP", "below", 11.5), VALUES).evidence == (
        "10.00 to 12.00; 2 of 3 seeds"
    )
    evidence = check_claim(Claim("", "near", "AP", "above", "high"), VALUES).evidence
    assert evidence.startswith("51.23 against 51.00, inside the noise (p = ")
    evidence = check_claim(Claim("", "one", "AP", "above", "high"), VALUES).evidence
    assert evidence == "49.00 against 51.00, noise unknown: cannot be told"


def test_claims_have_the_p_of_the_tables():
    """Which is corrected for the number of arms."""
    values = {label: metrics["AP"] for label, metrics in VALUES.items()}
    corrected = compare(values, "high")["low"].p
    assert corrected > welch(values["low"], values["high"])
    evidence = check_claim(Claim("", "low", "AP", "below", "high"), VALUES).evidence
    assert evidence == f"11.00 against 51.00, p = {corrected:.2g}"


def test_what_more_arms_make_noise_is_not_shown():
    values = {"base": {"AP": [50.0, 50.5, 51.0]}, "arm": {"AP": [51.5, 52.0, 52.6]}}
    claim = Claim("", "arm", "AP", "above", "base")
    assert check_claim(claim, values).verdict == HOLDS
    others = {f"other{i}": {"AP": [50.1, 50.4, 51.0]} for i in range(12)}
    assert check_claim(claim, values | others).verdict == OPEN

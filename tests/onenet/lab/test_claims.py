import pytest
from onenet.lab.claims import FAILS, HOLDS, OPEN, Claim, check_claim

VALUES = {
    "high": {"AP": [50.0, 51.0, 52.0]},
    "low": {"AP": [10.0, 11.0, 12.0]},
    "near": {"AP": [50.5, 52.0, 51.2]},
    "one": {"AP": [49.0]},
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
    assert evidence.startswith("51.23 against 51.00, inside the noise (p = 0.")

import pytest
from onenet.assignment import BestScore, MinCost
from onenet.inspection.advice import MUCH, advice

GOOD = {"positives_outside": 0.0, "shared_samples": 0.0}
MORE = 2 * MUCH


@pytest.mark.parametrize(
    "name, remedy, remedied",
    [
        ("positives_outside", "MODEL.OneNet.ASSIGNER.REGION inside", {"region": "inside"}),
        ("shared_samples", "MODEL.OneNet.ASSIGNER.SOLVER hungarian", {"solver": "hungarian"}),
    ],
)
def test_a_line_has_the_share_and_the_remedy(name, remedy, remedied):
    (line,) = advice({**GOOD, name: MORE}, MinCost()).values()
    assert line.startswith("20% of the positive samples") and remedy in line
    assert advice({**GOOD, name: MUCH}, MinCost()) == {}
    assert advice({**GOOD, name: MORE}, MinCost(**remedied)) == {}


def test_other_rules_mean_what_they_do():
    assert advice(dict.fromkeys(GOOD, MORE), BestScore()) == {}

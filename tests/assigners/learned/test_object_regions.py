import pytest
import torch
from assigners.learned.object_regions import ObjectRegions
from onenet import ConfigError

from ..golden import anchor_priors, cases, ground_truth, load

DATA = load("guided_anchoring")
CASES = dict(cases(DATA))


def priors_of(case):
    squares = DATA[f"grid_s{case['octave_base_scale']}_squares"]
    return anchor_priors(squares, DATA["grid_level_hw"])


def regions(case, **options):
    """Positive and negative (R,) of one image."""
    return (x[0] for x in ObjectRegions(**options)(priors_of(case), ground_truth(case)))


@pytest.mark.parametrize("max_pairs", [0, 500])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, max_pairs):
    case = CASES[name]
    positive, negative = regions(case, conflicts="last", max_pairs=max_pairs)
    weight = torch.from_numpy(case["loc_weight"])
    assert torch.equal(positive, (torch.from_numpy(case["loc_target"]) == 1) & (weight == 1))
    assert torch.equal(negative, (weight != 0) & (weight != 1))


@pytest.mark.parametrize("name", CASES)
def test_a_centre_region_stays_positive(name):
    positive, negative = regions(CASES[name])
    assert torch.equal(positive, torch.from_numpy(CASES[name]["loc_target"]) == 1)
    assert torch.equal(negative, list(regions(CASES[name], conflicts="last"))[1])


def test_order_of_objects_does_not_matter():
    case = CASES["8_crowded"]
    backwards = {**case, **{key: case[key][::-1].copy() for key in ("gt_boxes", "gt_classes")}}
    assert all(map(torch.equal, regions(case), regions(backwards)))
    later = regions(case, conflicts="last"), regions(backwards, conflicts="last")
    assert not all(map(torch.equal, *later))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"center_ratio": 0.6}, "got CENTER_RATIO 0.6 and IGNORE_RATIO 0.5"),
        ({"ignore_ratio": 1.2}, "IGNORE_RATIO 1.2"),
        ({"conflicts": "first"}, "GUIDED_ANCHORING.CONFLICTS"),
        ({"max_pairs": -1}, "MAX_PAIRS"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        ObjectRegions(**options)

import pytest
import torch
from onenet import Assigner, Assignment, MinCost
from onenet.criterion import Criterion
from onenet.inspection.coverage import Coverage, Objects, cover, describe_objects, pool
from onenet.inspection.coverage_report import coverage_report, format_coverage
from onenet.inspection.unread import NeedsPredictions, UnreadPredictions
from onenet.structures import GroundTruth


class Inside(Assigner):
    """A sample is positive for the first object that it lies in; reads priors alone."""

    def forward(self, priors, predictions, gt):
        assert predictions.logits.shape[:2] == (len(gt.boxes), len(priors))
        low, high = gt.boxes[:, :, None].split(2, dim=-1)
        inside = ((priors.points > low) & (priors.points < high)).all(-1) & gt.valid[..., None]
        sample = torch.arange(len(priors)).expand(len(gt.boxes), -1)
        weight = inside.any(dim=1).float()
        return Assignment(sample, inside.long().argmax(dim=1), weight, torch.ones_like(weight))


def criterion(assigner):
    return Criterion(assigner=assigner, losses=())


def unread(problem):
    return UnreadPredictions(len(problem.gt.boxes), 4, problem.priors)


def objects_of(*boxes):
    boxes = torch.tensor([boxes], dtype=torch.float32)
    labels = torch.zeros(boxes.shape[:2], dtype=torch.int64)
    return GroundTruth(boxes, labels, labels == 0, torch.tensor([[96.0, 128.0]]))


def test_positives_and_what_is_lost(make_problem):
    problem = make_problem(levels=2)
    problem.priors.points[:] = 200
    problem.priors.points[[0, 1, 40]] = torch.tensor([[5.0, 5.0], [7.0, 7.0], [8.0, 8.0]])
    gt = objects_of((0, 0, 7.5, 7.5), (0, 0, 10, 10), (50, 50, 60, 60), (4, 4, 6, 6))
    coverage = cover(
        criterion(Inside()), problem.priors, UnreadPredictions(1, 4, problem.priors), gt
    )
    assert coverage.positives.tolist() == [[2, 0], [0, 1], [0, 0], [0, 0]]
    assert coverage.lost.tolist() == [0, 2, 0, 1]


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
def test_batches_are_their_images_one_by_one(make_problem, solver, monkeypatch):
    problem = make_problem(objects=(3, 0, 5))
    problem.gt.boxes[2, 1] = problem.gt.boxes[2, 0]  # they compete
    problem.gt.labels[2, 1] = problem.gt.labels[2, 0]
    rule = criterion(MinCost(solver=solver))
    monkeypatch.setattr("onenet.inspection.coverage.MAX_SCORES", 2 * 60 * 4)  # two at a time
    coverage = cover(rule, problem.priors, problem.predictions, problem.gt)
    expected = []
    for image in (0, 2):
        one = problem.image(image)
        together = rule.assign(one.priors, one.predictions, one.gt)
        for slot in one.gt.valid[0].nonzero()[:, 0]:
            gt = GroundTruth(
                one.gt.boxes[:, slot, None], one.gt.labels[:, slot, None],
                one.gt.valid[:, slot, None], one.gt.image_size,
            )  # fmt: skip
            alone = rule.assign(one.priors, one.predictions, gt).sample[0, 0]
            expected.append(int(together.sample[0, slot] != alone))
    assert coverage.positives.tolist() == [[1]] * 8
    assert coverage.lost.tolist() == expected
    assert sum(expected) == (solver == "hungarian")


def test_rules_that_need_predictions_say_so(make_problem):
    problem = make_problem()
    with pytest.raises(NeedsPredictions):
        cover(criterion(MinCost()), problem.priors, unread(problem), problem.gt)
    for use in (
        lambda predictions: predictions.boxes + 1,
        lambda predictions: predictions.logits[0],
        lambda predictions: predictions.quality,
        lambda predictions: torch.sigmoid(predictions.logits),
    ):
        with pytest.raises(NeedsPredictions):
            use(unread(problem).detach().float())


def test_what_objects_are_like(make_problem):
    problem = make_problem(levels=2)
    gt = objects_of((0, 0, 10, 40), (0, 0, 10, 20), (50, 50, 90, 60), (0, 0, 0, 0))
    gt.valid[0, 3] = False
    described = describe_objects(gt, problem.priors, [[-1, 15], [15, 1000]])
    torch.testing.assert_close(described.size, torch.tensor([20.0, 200**0.5, 20]))
    torch.testing.assert_close(described.aspect, torch.tensor([0.25, 0.5, 4]))
    torch.testing.assert_close(described.crowding, torch.tensor([0.5, 0.5, 0]))
    assert described.level.tolist() == [1, 0, 1]


OBJECTS = Objects(
    size=torch.tensor([10.0, 16, 40, 300]),
    aspect=torch.tensor([0.1, 1, 1, 1]),
    crowding=torch.tensor([0, 0.1, 0.5, 0]),
    level=torch.tensor([0, 0, 1, 1]),
)
RULES = {
    "A": Coverage(torch.tensor([[0, 0], [1, 0], [0, 6], [0, 20]]), torch.tensor([2, 0, 1, 0])),
    "B": Coverage(torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0]]), torch.tensor([0, 0, 0, 0])),
}


def test_report_counts_objects_by_their_kind():
    report = coverage_report(OBJECTS, RULES, [8, 16])
    groups = {(group["by"], group["name"]): group for group in report["groups"]}
    everything = groups["all", "all"]
    assert everything["objects"] == 4
    assert everything["rules"]["A"] == {"without": 1, "lost": 1, "positives": 6.75}
    assert everything["rules"]["B"] == {"without": 2, "lost": 0, "positives": 0.5}
    assert groups["size", "0 to 16 px"]["rules"]["A"]["without"] == 1
    assert groups["size", "16 to 32 px"]["rules"]["B"]["without"] == 1
    assert groups["level", "1 (stride 16)"]["objects"] == 2
    assert [name for by, name in groups if by == "crowding"] == [
        "none", "below 0.2", "0.5 and more",
    ]  # fmt: skip
    for by in ("size", "aspect ratio", "crowding", "level"):
        assert sum(group["objects"] for group in report["groups"] if group["by"] == by) == 4
    rule = report["rules"]["A"]
    bars = [bar for bar in rule["histogram"] if bar[2]]
    assert bars == [(0, 0, 1), (1, 1, 1), (5, 8, 1), (17, 20, 1)]
    assert (rule["levels"], rule["lost"], rule["losers"]) == ([1, 26], 3, 2)


def test_tables_have_percentages():
    lines = format_coverage(coverage_report(OBJECTS, RULES, [8, 16])).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert ["all", "4", "25.0 (25.0)", "50.0"] in cells
    assert ["aspect ratio: below 1:3", "1", "100.0 (100.0)", "100.0"] in cells
    assert ["5 to 8", "25.0", "0.0"] in cells
    assert ["1 (stride 16)", "96.3", "0.0"] in cells
    assert ["lost", "10.0", "0.0"] in cells


def test_pooling_keeps_the_order():
    assert pool([OBJECTS, OBJECTS]).level.tolist() == [0, 0, 1, 1] * 2

"""The head that finds boxes by their corners, with the rule that it is trained by."""

from dataclasses import replace

import assigners
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet import ConfigError
from onenet.criterion import build_criteria
from onenet.inspection.positives import positive_samples
from onenet.structures import CornerPredictions

from ....refused import REFUSED

RULE = "MODEL.OneNet.ASSIGNER.NAME"
LOSSES = {"loss_ce", "loss_pull", "loss_push", "loss_offset"}


@pytest.fixture
def config(tiny_cfg):
    def make(*options, rule="CornerNet"):
        cfg = tiny_cfg("CornerNet")
        assigners.add_assigners_config(cfg)
        cfg.merge_from_list([RULE, rule, "MODEL.PIXEL_STD", [64.0] * 3, *options])
        return cfg

    return make


@pytest.fixture
def build(config):
    def make(*options):
        torch.manual_seed(0)
        return build_model(config(*options))

    return make


def two_objects():
    image = torch.full((3, 64, 64), 110.0)
    image[:, 5:33, 3:40], image[0, 30:58, 41:61] = 255.0, 0.0
    instances = Instances((64, 64))
    instances.gt_boxes = Boxes(torch.tensor([[3.0, 5, 40, 33], [41, 30, 61, 58]]))
    instances.gt_classes = torch.tensor([0, 2])
    return {"image": image, "instances": instances}


def test_training_finds_the_objects(build):
    model, scene = build().train(), two_objects()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(35):
        losses = model([scene, scene])
        assert losses.keys() == LOSSES
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()([scene])[0]["instances"][:2]
    order = found.pred_classes.argsort()
    assert found.pred_classes[order].tolist() == [0, 2]
    torch.testing.assert_close(
        found.pred_boxes.tensor[order], scene["instances"].gt_boxes.tensor, rtol=0, atol=1.0
    )


def test_what_is_trained_and_what_is_detected(build, make_inputs):
    model, inputs = build().eval(), make_inputs()
    images = model.preprocess_image(inputs).tensor
    with torch.no_grad():
        (trained, priors), (found, pairs) = model.outputs(images), model.predict(images)
    corners, boxes = trained["main"], found["main"]
    assert isinstance(corners, CornerPredictions) and not isinstance(boxes, CornerPredictions)
    assert priors.shapes == ((16, 24), (16, 24)) and len(priors) == corners.logits.shape[1]
    assert pairs.level_sizes == boxes.logits.shape[1:2] == (len(pairs),)
    # The cell's square lies around the corner.
    cell = (priors.points / 4).floor()
    center = (corners.boxes[..., :2] + corners.boxes[..., 2:]) / 2
    torch.testing.assert_close(center, (cell + corners.offset) * 4)
    shown = positive_samples(model, inputs)
    assert (shown.assignment.dense_gt() >= 0).sum() == 2 * 2


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [[40.0, 40, 40, 40], [10, 10, 10, 50]],
        [[-90.0, -80, -20, -10], [300, 300, 350, 360]],
        [[30.0, 20, 60, 50]] * 3,
        [[5.0 + 2 * i, 4 + i, 40 + 3 * i, 30 + 2 * i] for i in range(15)],
    ],
    ids=["no object", "no area", "outside", "identical", "crowd"],
)
def test_any_image_trains(build, boxes):
    model, scene = build().train(), two_objects()
    instances = Instances((64, 64))
    instances.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    instances.gt_classes = torch.ones(len(boxes), dtype=torch.int64)
    losses = model([scene | {"instances": instances}] * 2)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_losses_do_not_depend_on_order_and_padding(build, make_inputs):
    model, inputs = build().train(), make_inputs((3, 1))
    branches, priors = model.outputs(model.preprocess_image(inputs).tensor)
    gt, criterion = model.ground_truth(inputs), model.criterion
    expected = criterion(priors, branches["main"], gt)
    order = torch.tensor([2, 0, 3, 1])
    fields = {name: torch.cat([value, torch.full_like(value[:, :1], filler)], dim=1)[:, order]
              for name, value, filler in (("boxes", gt.boxes, 9), ("labels", gt.labels, 1),
                                          ("valid", gt.valid, False))}  # fmt: skip
    shuffled = replace(gt, **fields)
    torch.testing.assert_close(criterion(priors, branches["main"], shuffled), expected)


def test_corners_in_ignore_regions_are_no_negatives(build, make_inputs):
    model, inputs = build().train(), make_inputs()
    branches, priors = model.outputs(model.preprocess_image(inputs).tensor)
    gt = model.ground_truth(inputs)
    everywhere = torch.tensor([[[-1e3, -1e3, 1e3, 1e3]]]).expand(2, -1, -1)
    seen = model.criterion.assign(priors, branches["main"], replace(gt, ignore_boxes=everywhere))
    assert not (seen.dense_gt() == -1).any() and (seen.dense_gt() >= 0).any()


def test_criterion_runs_without_values(build, make_inputs):
    model, inputs = build().train(), make_inputs()
    branches, priors = model.outputs(model.preprocess_image(inputs).tensor)
    gt = model.ground_truth(inputs)
    on_meta = [replace(x, **{k: v.to("meta") for k, v in vars(x).items()
                             if isinstance(v, torch.Tensor)})
               for x in (priors, branches["main"].detach(), gt)]  # fmt: skip
    on_meta[1].logits.requires_grad_()
    losses = model.criterion(*on_meta)
    losses["loss_ce"].backward()
    assert {loss.device.type for loss in losses.values()} == {"meta"}


@pytest.mark.parametrize("rule", [rule for head, rule in REFUSED if head == "CornerNet"])
def test_rules_for_boxes_are_refused(config, rule):
    with pytest.raises(ConfigError, match=REFUSED["CornerNet", rule]):
        build_criteria(config(rule=rule), ["main"])


@pytest.mark.parametrize("key", ["SELECTOR.ENABLED", "AUX.ASSIGNER"])
def test_branches_for_boxes_are_refused(config, key):
    cfg = config(f"MODEL.OneNet.{key}", True if key == "SELECTOR.ENABLED" else "MinCost")
    with pytest.raises(ConfigError, match='HEAD "CornerNet" predicts corners.*another HEAD'):
        build_model(cfg)


@pytest.mark.parametrize("head", [head for head, rule in REFUSED if rule == "CornerNet"])
def test_the_rule_is_refused_elsewhere(config, head):
    with pytest.raises(ConfigError, match=REFUSED[head, "CornerNet"]):
        build_criteria(config("MODEL.OneNet.HEAD", head), ["main"])

import pytest
import torch
from detectron2.modeling import build_model
from onenet import ConfigError, MinCost
from onenet.structures import AUX, DENSE, MAIN
from torchvision.ops import box_iou

HEADS = ("CenterNet", "FCOS", "RetinaNet")
SELECTOR = ("MODEL.OneNet.SELECTOR.ENABLED", True)
FILTERED = (*SELECTOR, "MODEL.OneNet.SELECTOR.MAX_FILTERING", True)
FROZEN = (*SELECTOR, "MODEL.OneNet.SELECTOR.FREEZE", True)
AUXILIARY = ("MODEL.OneNet.AUX.ASSIGNER", "MinCost")


def build(cfg):
    torch.manual_seed(0)
    return build_model(cfg)


def gradients(model, losses):
    """Names of the parameters that a loss reaches."""
    model.zero_grad()
    losses.backward()
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("options", [SELECTOR, FILTERED], ids=["plain", "max filtering"])
def test_each_loss_of_a_selector_reaches_its_own_part(tiny_cfg, make_inputs, head, options):
    model = build(tiny_cfg(head, *options))
    assert model.head.branches == (MAIN, DENSE)
    losses = model(make_inputs((3, 1)))
    assert losses.keys() == {
        "loss_selection",
        "loss_ce_dense",
        "loss_giou_dense",
        "loss_bbox_dense",
    }
    own = {name for name, _ in model.named_parameters() if name.startswith("head.selector.")}
    assert own and gradients(model, losses["loss_selection"]) == own
    losses = model(make_inputs((3, 1)))
    others = gradients(
        model, sum(loss for name, loss in losses.items() if name != "loss_selection")
    )
    assert not others & own
    assert "head.cls_score.weight" in others and "backbone" in " ".join(others)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("centerness", [False, True])
def test_the_score_is_the_product_in_training_and_detection(
    tiny_cfg, make_inputs, head, centerness
):
    cfg = tiny_cfg(head, *SELECTOR, "MODEL.OneNet.CENTERNESS", centerness)
    model = build(cfg).eval()
    images = model.preprocess_image(make_inputs()).tensor
    predictions = model.predict(images)[0][MAIN]
    scores = predictions.logits.sigmoid() * predictions.quality.sigmoid()[..., None]
    torch.testing.assert_close(predictions.joint().logits.sigmoid(), scores, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        model.head.selector.output.weight.zero_()
        model.head.selector.output.bias.fill_(-50)  # nothing is selected
        detections = model(make_inputs())
        assert all((x["instances"].scores < 1e-6).all() for x in detections)


@pytest.mark.parametrize("head", HEADS)
def test_a_frozen_detector_stays_as_it_is(tiny_cfg, make_inputs, head):
    model = build(tiny_cfg(head, *FROZEN))
    assert model.head.branches == (MAIN,)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == len(list(model.head.selector.parameters()))
    losses = model.train()(make_inputs((3, 1)))
    assert losses.keys() == {"loss_selection"}
    losses["loss_selection"].backward()
    torch.optim.SGD(trained, lr=0.1).step()
    changed = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
    assert changed and all(name.startswith("head.selector.") for name in changed)


def test_a_selector_adds_names_and_renames_none(tiny_cfg):
    plain = build(tiny_cfg("FCOS")).state_dict().keys()
    for options, prefix in ((SELECTOR, "head.selector."), (AUXILIARY, "head.auxiliary.")):
        more = build(tiny_cfg("FCOS", *options)).state_dict().keys()
        assert plain < more
        assert all(name.startswith(prefix) for name in more - plain)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("detach", [False, True])
def test_auxiliary_branch(tiny_cfg, make_inputs, head, detach):
    options = (*AUXILIARY, "MODEL.OneNet.AUX.DETACH", detach)
    model = build(tiny_cfg(head, *options))
    assert model.head.branches == (MAIN, AUX)
    losses = model(make_inputs((3, 1)))
    names = {f"loss_{name}" for name in ("ce", "giou", "bbox")}
    assert losses.keys() == names | {f"{name}_aux" for name in names}
    main = gradients(model, sum(losses[name] for name in names))
    assert not any(name.startswith("head.auxiliary.") for name in main)
    assert any(name.startswith("backbone.") for name in main) != detach
    losses = model(make_inputs((3, 1)))
    aux = gradients(model, sum(losses[f"{name}_aux"] for name in names))
    assert any(name.startswith("backbone.") for name in aux)
    assert "head.cls_score.weight" not in aux


def test_an_auxiliary_branch_is_not_run_in_detection(tiny_cfg, make_inputs):
    model = build(tiny_cfg("FCOS", *AUXILIARY)).eval()
    with torch.no_grad():
        expected = model(make_inputs())
        for parameter in model.head.auxiliary.parameters():
            parameter.fill_(torch.nan)
        for one, other in zip(model(make_inputs()), expected, strict=True):
            assert one["instances"].scores.equal(other["instances"].scores)


def test_a_branch_has_a_rule_and_values_of_its_own(tiny_cfg):
    opts = ["ASSIGNER.SOLVER", "hungarian", "CLASS_COST", "4.5"]
    cfg = tiny_cfg("FCOS", *AUXILIARY, "MODEL.OneNet.AUX.OPTS", opts)
    main, aux = build(cfg).criteria.values()
    assert isinstance(aux.assigner, MinCost)
    assert (aux.assigner.solver, aux.assigner.class_weight) == ("hungarian", 4.5)
    assert (main.assigner.solver, main.assigner.class_weight) == ("argmin", 2.0)
    assert main.normalizer is aux.normalizer


@pytest.mark.parametrize(
    "options, message",
    [
        ((*SELECTOR, *AUXILIARY), "exclude each other"),
        ((*AUXILIARY, "MODEL.OneNet.NUM_STAGES", 2), "NUM_STAGES must be 1"),
        ((*AUXILIARY, "MODEL.OneNet.AUX.OPTS", ["CLAS_COST", "1"]), r"AUX.OPTS .*CLAS_COST"),
        (("MODEL.OneNet.AUX.ASSIGNER", "MinCots"), 'unknown name "MinCots"'),
    ],
)
def test_what_cannot_be_is_refused(tiny_cfg, options, message):
    with pytest.raises(ConfigError, match=message):
        build(tiny_cfg("CenterNet", *options))


def test_weight_of_a_branch_changes_linearly(tiny_cfg, make_inputs):
    cfg = tiny_cfg("CenterNet", *AUXILIARY, "MODEL.OneNet.AUX.WEIGHT", [2.0, 0.5])
    model = build(cfg).eval()
    images = model.preprocess_image(make_inputs()).tensor
    gt = model.ground_truth(make_inputs())
    (predictions,), priors = model.predict(images)[0].values(), model.predict(images)[1]
    aux = model.criteria[AUX]
    totals = []
    for progress in (0.0, 0.5, 1.0):
        aux.progress = progress
        totals.append(sum(aux(priors, predictions, gt).values()).item())
    plain = sum(model.criteria[MAIN](priors, predictions, gt).values()).item()
    assert totals == pytest.approx([2 * plain, 1.25 * plain, 0.5 * plain])


@pytest.mark.parametrize("head", HEADS)
def test_the_auxiliary_branch_detects_with_nms_among_many(tiny_cfg, make_inputs, head):
    options = (*AUXILIARY, "MODEL.OneNet.AUX.TEST", True, "TEST.DETECTIONS_PER_IMAGE", 20)
    model = build(tiny_cfg(head, *options))
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        model(make_inputs())
        model.eval()
        detections = [x["instances"] for x in model(make_inputs())]
        for parameter in model.head.cls_score.parameters():
            parameter.fill_(torch.nan)  # of the main branch
        for one, other in zip(model(make_inputs()), detections, strict=True):
            assert one["instances"].scores.equal(other.scores)
    for found in detections:
        boxes, classes = found.pred_boxes.tensor, found.pred_classes
        overlap = box_iou(boxes, boxes).nan_to_num().triu(diagonal=1) * (
            classes == classes[:, None]
        )
        assert 0 < len(found) <= 20 and overlap.max() <= model.nms_threshold

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from onenet import OneNet
from onenet.export.graph import DetectionGraph

pytestmark = pytest.mark.numeric

HEADS = ("CenterNet", "FCOS", "RetinaNet")
STAGES = ("MODEL.OneNet.NUM_STAGES", 3)


def build(cfg, seed=0):
    torch.manual_seed(seed)
    return build_model(cfg)


def detector(cfg, inputs):
    """A model in evaluation mode, its batch norms as if it had been trained on the inputs."""
    model = build(cfg)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(inputs)
    return model.eval()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("init", ["prior", "published"])
@pytest.mark.parametrize("centerness", [False, True])
def test_a_training_step_reaches_every_parameter(tiny_cfg, make_inputs, head, init, centerness):
    options = ["MODEL.OneNet.HEAD_INIT", init, "MODEL.OneNet.CENTERNESS", centerness]
    model = build(tiny_cfg(head, *options))
    assert isinstance(model, OneNet) and model.training
    losses = model(make_inputs(objects=(3, 0)))
    names = {"loss_ce", "loss_giou", "loss_bbox"} | ({"loss_quality"} if centerness else set())
    assert losses.keys() == names
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("head", HEADS)
def test_training_lowers_the_loss(tiny_cfg, make_inputs, head):
    model = build(tiny_cfg(head))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    batch, totals = make_inputs(objects=(2, 1)), []
    for _ in range(5):
        total = sum(model(batch).values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.95 * totals[0]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("objects", [(0,), (0, 0)])
def test_a_batch_without_objects(tiny_cfg, make_inputs, head, objects):
    losses = build(tiny_cfg(head))(make_inputs(objects))
    assert losses["loss_giou"] == losses["loss_bbox"] == 0
    assert losses["loss_ce"].isfinite() and losses["loss_ce"] > 0
    sum(losses.values()).backward()


@pytest.mark.parametrize("head", HEADS)
def test_detections(tiny_cfg, make_inputs, head):
    cfg = tiny_cfg(head, "TEST.DETECTIONS_PER_IMAGE", 10, "MODEL.OneNet.CENTERNESS", True)
    inputs = make_inputs(size=(64, 90)) + make_inputs((1,), size=(50, 96), seed=1)
    model = detector(cfg, inputs)
    inputs[0].update(height=128, width=180)
    with torch.no_grad():
        results = [x["instances"] for x in model(inputs)]
    assert [result.image_size for result in results] == [(128, 180), (64, 90), (50, 96)]
    for result in results:
        assert 0 < len(result) <= 10
        height, width = result.image_size
        low, high = result.pred_boxes.tensor.split(2, dim=1)
        assert (low >= 0).all() and (high <= torch.tensor([width, height])).all()
        assert (result.scores.diff() <= 0).all()
        assert ((result.pred_classes >= 0) & (result.pred_classes < 3)).all()


def test_wanted_output_size_only_scales_the_boxes(tiny_cfg, make_inputs):
    (inputs,) = make_inputs((1,))
    model = detector(tiny_cfg(), [inputs])
    with torch.no_grad():
        (plain,), (scaled,) = model([inputs]), model([{**inputs, "height": 32, "width": 192}])
    factors = torch.tensor([2, 0.5, 2, 0.5])
    torch.testing.assert_close(
        scaled["instances"].pred_boxes.tensor, plain["instances"].pred_boxes.tensor * factors
    )


def test_images_are_normalised_and_padded(tiny_cfg, make_inputs):
    cfg = tiny_cfg("CenterNet", "MODEL.PIXEL_MEAN", [1.0, 2, 3], "MODEL.PIXEL_STD", [2.0, 4, 5])
    model = build(cfg)
    inputs = make_inputs((1,), size=(40, 60)) + make_inputs((0,), size=(30, 70))
    images = model.preprocess_image(inputs)
    assert images.tensor.shape == (2, 3, 64, 96)
    assert images.image_sizes == [(40, 60), (30, 70)]
    expected = (inputs[1]["image"] - torch.tensor([1.0, 2, 3])[:, None, None]) / torch.tensor(
        [2.0, 4, 5]
    )[:, None, None]
    torch.testing.assert_close(images.tensor[1, :, :30, :70], expected)
    assert (images.tensor[1, :, 30:] == 0).all() and (images.tensor[1, :, :, 70:] == 0).all()


@pytest.mark.parametrize(
    ("constraints", "shape"),
    [
        ({}, (64, 96)),
        ({"square_size": 0}, (64, 96)),
        ({"square_size": 128}, (128, 128)),
        ({"size_divisiblity": 64, "square_size": 0}, (64, 128)),  # as ViTDet spells it
        ({"size_divisibility": 64, "square_size": 96}, (192, 192)),
        ({"square_size": 64}, (64, 128)),  # one image is larger
    ],
)
def test_padding_that_a_backbone_asks_for(tiny_cfg, make_inputs, monkeypatch, constraints, shape):
    model = build(tiny_cfg()).eval()
    monkeypatch.setattr(type(model.backbone), "padding_constraints", constraints, raising=False)
    inputs = make_inputs((1,), size=(40, 60)) + make_inputs((0,), size=(30, 70))
    images = model.preprocess_image(inputs)
    assert images.tensor.shape[2:] == shape
    assert images.image_sizes == [(40, 60), (30, 70)]
    graph = DetectionGraph(model)
    assert graph.pad(torch.zeros(1, 3, 40, 70)).shape[2:] == shape
    assert model([{"image": inputs[0]["image"]}])[0]["instances"].image_size == (40, 60)


def test_score_threshold_and_nms_keys(tiny_cfg, make_inputs):
    inputs = make_inputs((1,))
    keys = "MODEL.OneNet.SCORE_THRESH_TEST", "MODEL.OneNet.NMS", "MODEL.OneNet.NMS_THRESH"
    counts = []
    with torch.no_grad():
        for threshold, nms in ((0.0, False), (0.5, False), (0.0, True)):
            options = [x for pair in zip(keys, (threshold, nms, 0.3), strict=True) for x in pair]
            model = detector(tiny_cfg("CenterNet", *options), inputs)
            counts.append(len(model(inputs)[0]["instances"]))
    assert counts[0] == 100 and counts[1] == 0 and 0 < counts[2] < 100


def test_every_stage_is_supervised_and_the_first_alone_detects(tiny_cfg, make_inputs):
    model = build(tiny_cfg("CenterNet", *STAGES))
    inputs = make_inputs((3, 1))
    losses = model(inputs)
    suffixes = ("", "_stage1", "_stage2")
    assert losses.keys() == {
        f"loss_{name}{suffix}" for name in ("ce", "giou", "bbox") for suffix in suffixes
    }
    model.eval()
    with torch.no_grad():
        expected = model(inputs)[0]["instances"].scores
        for parameter in model.head.next_stage.parameters():
            parameter.fill_(float("nan"))
        assert model(inputs)[0]["instances"].scores.equal(expected)


def test_stages_share_all_weights(tiny_cfg):
    names = dict(build(tiny_cfg()).named_parameters()).keys()
    with_stages = dict(build(tiny_cfg("CenterNet", *STAGES)).named_parameters()).keys()
    assert with_stages - names == {"head.next_stage.weight", "head.next_stage.bias"}


@pytest.mark.parametrize("head", HEADS)
def test_mixed_precision_has_losses_in_float32(tiny_cfg, make_inputs, head):
    model = build(tiny_cfg(head, "MODEL.OneNet.CENTERNESS", True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(make_inputs())
    exact = model(make_inputs())
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.05, atol=0.05)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("head", HEADS)
def test_channels_last_changes_nothing(tiny_cfg, make_inputs, head):
    inputs = make_inputs()
    model = detector(tiny_cfg(head), inputs).double()
    with torch.no_grad():
        expected = [x["instances"] for x in model(inputs)]
        model.to(memory_format=torch.channels_last)
        for result, wanted in zip(model(inputs), expected, strict=True):
            torch.testing.assert_close(result["instances"].scores, wanted.scores)


@pytest.mark.parametrize("head", HEADS)
def test_checkpoint_round_trip(tiny_cfg, make_inputs, tmp_path, head):
    cfg, inputs = tiny_cfg(head, "MODEL.OneNet.CENTERNESS", True), make_inputs()
    model = detector(cfg, inputs)
    DetectionCheckpointer(model, str(tmp_path)).save("model")
    other = build(cfg, seed=1).eval()
    DetectionCheckpointer(other).load(str(tmp_path / "model.pth"))
    with torch.no_grad():
        for result, wanted in zip(other(inputs), model(inputs), strict=True):
            assert result["instances"].scores.equal(wanted["instances"].scores)
            boxes = wanted["instances"].pred_boxes.tensor
            assert result["instances"].pred_boxes.tensor.equal(boxes)


@pytest.mark.parametrize("head", HEADS)
def test_the_default_predictor_works_unchanged(tiny_cfg, make_inputs, tmp_path, head):
    cfg = tiny_cfg(head, "INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 96)
    DetectionCheckpointer(detector(cfg, make_inputs()), str(tmp_path)).save("model")
    cfg.merge_from_list(["MODEL.WEIGHTS", str(tmp_path / "model.pth"), "DATASETS.TEST", ()])
    image = torch.randint(0, 256, (48, 60, 3), dtype=torch.uint8).numpy()
    result = DefaultPredictor(cfg)(image)["instances"]
    assert result.image_size == (48, 60)
    assert len(result) > 0

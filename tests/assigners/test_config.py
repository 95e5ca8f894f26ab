import pytest
from assigners import (
    ATSS,
    FCOS,
    OTA,
    PAA,
    POTO,
    TAL,
    ApproxMaxIoU,
    CenterNet,
    MaxIoU,
    OneToFew,
    SimOTA,
    YOLOv3,
    add_assigners_config,
)
from detectron2.config import get_cfg
from onenet import ASSIGNER_REGISTRY, add_onenet_config, build_assigner
from onenet.errors import ConfigError

from ..refused import REFUSED

PYRAMID = ["MODEL.OneNet.IN_FEATURES", ["p3", "p4", "p5", "p6", "p7"]]


def config(*options, head="CenterNet", order=(add_onenet_config, add_assigners_config)):
    cfg = get_cfg()
    for add in order:
        add(cfg)
    cfg.MODEL.OneNet.HEAD = head
    cfg.merge_from_list([*(PYRAMID if head != "CenterNet" else ()), *options])
    return cfg


def test_order_of_packages_does_not_matter():
    first = config()
    second = config(order=(add_assigners_config, add_onenet_config))
    assert first.dump() == second.dump()


NAMES = [
    *("MaxIoU", "ATSS", "FCOS", "CenterNet", "ApproxMaxIoU"),
    *("TAL", "SimOTA", "POTO", "OneToFew", "OTA", "PAA", "YOLOv3"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("head", ["CenterNet", "FCOS", "RetinaNet"])
def test_one_line_selects_or_says_what_to_do(name, head):
    cfg = config("MODEL.OneNet.ASSIGNER.NAME", name, head=head)
    if (head, name) in REFUSED:
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32, 40, 50]]
        with pytest.raises(ConfigError, match=REFUSED[head, name]):
            build_assigner(cfg)
        return
    assert isinstance(build_assigner(cfg), ASSIGNER_REGISTRY.get(name))


@pytest.mark.parametrize(
    "preset, pos, neg, low_quality, min_pos, all_ties",
    [
        ("retinanet", 0.5, 0.4, True, 0, True),
        ("ssd", 0.5, 0.5, True, 0, False),
        ("rpn", 0.7, 0.3, True, 0.3, True),
        ("rcnn", 0.5, 0.5, False, 0.5, True),
    ],
)
def test_presets(preset, pos, neg, low_quality, min_pos, all_ties):
    key = "MODEL.OneNet.ASSIGNER.MAX_IOU."
    assigner = MaxIoU(config(f"{key}PRESET", preset, head="RetinaNet"))
    assert (assigner.pos_iou, assigner.neg_iou, assigner.low_quality) == (pos, neg, low_quality)
    assert assigner.min_pos_iou == min_pos
    assert not low_quality or assigner.all_ties == all_ties


def test_key_overrides_preset():
    key = "MODEL.OneNet.ASSIGNER.MAX_IOU."
    assigner = MaxIoU(config(f"{key}PRESET", "rpn", f"{key}POS_IOU", 0.6, f"{key}ALL_TIES", False))
    assert (assigner.pos_iou, assigner.neg_iou, assigner.all_ties) == (0.6, 0.3, False)


def test_options_reach_assigners():
    key = "MODEL.OneNet.ASSIGNER."
    assert ATSS(config(f"{key}ATSS.TOPK", 4)).topk == 4
    fcos = FCOS(config(f"{key}FCOS.CENTER_SAMPLING", False, f"{key}FCOS.RADIUS", 2.0, head="FCOS"))
    assert (fcos.center_sampling, fcos.radius, len(fcos.size_ranges)) == (False, 2.0, 5)
    centernet = CenterNet(config(f"{key}CENTERNET.MIN_OVERLAP", 0.5))
    assert centernet.min_overlap == 0.5
    poto = POTO(config(f"{key}POTO.SOLVER", "argmax", f"{key}POTO.ALPHA", 0.5))
    assert (poto.solver, poto.alpha, poto.radius) == ("argmax", 0.5, 1.5)
    ota = OTA(config(f"{key}OTA.EPSILON", 0.2, f"{key}OTA.TOPK", 10))
    assert (ota.epsilon, ota.topk, ota.radius, ota.iterations) == (0.2, 10, 2.5, 50)
    approx = ApproxMaxIoU(config(f"{key}APPROX_MAX_IOU.RATIOS", [0.5, 2.0]))
    assert (len(approx.sizes), approx.neg_iou, approx.min_pos_iou) == (6, 0.4, 0.4)
    few = OneToFew(config(f"{key}ONE_TO_FEW.END", 0.1, f"{key}ONE_TO_FEW.SOFT_WEIGHT", 0.5))
    assert (few.topk, few.start, few.end, few.soft_weight) == (7, 0.6, 0.1, 0.5)


@pytest.mark.parametrize(
    "preset, topk, alpha, is_yolo, one_to_one",
    [
        ("tood", 13, 1, False, False),
        ("yolo", 10, 0.5, True, False),
        ("yolo_one", 7, 0.5, True, True),
    ],
)
def test_presets_of_tal(preset, topk, alpha, is_yolo, one_to_one):
    key = "MODEL.OneNet.ASSIGNER.TAL."
    tal = TAL(config(f"{key}PRESET", preset))
    assert (tal.topk, tal.alpha, tal.beta, tal.one_to_one) == (topk, alpha, 6, one_to_one)
    assert tal.ciou == is_yolo
    assert (tal.inside_first, tal.widen) == (is_yolo, is_yolo)
    changed = TAL(config(f"{key}PRESET", preset, f"{key}TOPK", 1, f"{key}SOFT_LABELS", False))
    assert (changed.topk, changed.alpha, changed.soft_labels) == (1, alpha, False)


@pytest.mark.parametrize("preset, radius, inside", [("mmdet", 2.5, True), ("yolox", 1.5, False)])
def test_presets_of_simota(preset, radius, inside):
    key = "MODEL.OneNet.ASSIGNER.SIMOTA."
    simota = SimOTA(config(f"{key}PRESET", preset))
    assert (simota.radius, simota.inside, simota.topk) == (radius, inside, 10)
    assert SimOTA(config(f"{key}PRESET", preset, f"{key}RADIUS", 2.0)).radius == 2


def test_presets_of_paa_and_yolov3():
    key = "MODEL.OneNet.ASSIGNER."
    assert PAA(config()).whole_prefix and PAA(config()).topk == 9
    assert not PAA(config(f"{key}PAA.PRESET", "mmdet")).whole_prefix
    yolo = YOLOv3(config(head="RetinaNet"))
    assert yolo.grid is None and yolo.ignore_iou == 0.7
    grid = YOLOv3(config(f"{key}YOLOV3.PRESET", "mmdet", head="RetinaNet")).grid
    assert grid.iou == 0.5 < grid.pos_iou < 0.5000001


@pytest.mark.parametrize(
    "name, head, options, message",
    [
        ("ATTS", "FCOS", (), 'unknown name "ATTS". Did you mean "ATSS"'),
        ("MaxIoU", "FCOS", ("MAX_IOU.PRESET", "retina"), 'Did you mean "retinanet"'),
        ("MaxIoU", "FCOS", ("MAX_IOU.NEG_IOU", 0.6), "NEG_IOU 0.6 and POS_IOU 0.5"),
        ("MaxIoU", "FCOS", ("MAX_IOU.POS_IOU", 1.5), "POS_IOU 1.5"),
        ("MaxIoU", "FCOS", ("MAX_IOU.MIN_POS_IOU", -1), "MIN_POS_IOU must be in"),
        ("MaxIoU", "CenterNet", ("MAX_IOU.PRESET", "rcnn"), "MODEL.OneNet.HEAD RetinaNet"),
        ("TAL", "FCOS", ("TAL.PRESET", "yolo1"), 'Did you mean "yolo"'),
        ("TAL", "FCOS", ("TAL.TOPK", 0), "TAL.TOPK must be positive, got 0"),
        ("TAL", "FCOS", ("TAL.ALPHA", -1.0), "got ALPHA -1.0 and BETA 6.0"),
        ("SimOTA", "FCOS", ("SIMOTA.RADIUS", 0.0), "SIMOTA.RADIUS must be positive, got 0.0"),
        ("POTO", "FCOS", ("POTO.SOLVER", "argmin"), 'Did you mean "argmax"'),
        ("POTO", "FCOS", ("POTO.ALPHA", 1.5), "POTO.ALPHA must be in [0, 1], got 1.5"),
        ("OneToFew", "FCOS", ("ONE_TO_FEW.TOPK", 0), "ONE_TO_FEW.TOPK must be positive, got 0"),
        ("OneToFew", "FCOS", ("ONE_TO_FEW.END", 2.0), "ONE_TO_FEW.END must be in [0, 1]"),
        ("OTA", "FCOS", ("OTA.EPSILON", 0.0), "OTA.EPSILON must be positive, got 0.0"),
        ("PAA", "FCOS", ("PAA.TOPK", 0), "PAA.TOPK must be positive, got 0"),
        ("PAA", "FCOS", ("PAA.CANDIDATE_IOU", 0.0), "CANDIDATE_IOU must be in (0, 1], got 0.0"),
        ("PAA", "FCOS", ("PAA.PRESET", "mmdetection"), 'Did you mean "mmdet"'),
        ("YOLOv3", "RetinaNet", ("YOLOV3.IGNORE_IOU", 1.0), "IGNORE_IOU must be in [0, 1)"),
        ("ApproxMaxIoU", "FCOS", ("APPROX_MAX_IOU.RATIOS", [0.0]), "RATIOS must be positive"),
        ("ApproxMaxIoU", "FCOS", ("APPROX_MAX_IOU.POS_IOU", 0.3), "APPROX_MAX_IOU needs 0 <"),
        ("ATSS", "FCOS", ("ATSS.TOPK", 0), "ATSS.TOPK must be positive, got 0"),
        ("FCOS", "FCOS", ("FCOS.RADIUS", 0.0), "FCOS.RADIUS must be positive, got 0.0"),
        ("CenterNet", "FCOS", ("CENTERNET.MIN_OVERLAP", 1.0), "MIN_OVERLAP must lie between"),
    ],
)
def test_bad_values_end_in_one_line(name, head, options, message):
    options = [f"MODEL.OneNet.ASSIGNER.{x}" if i % 2 == 0 else x for i, x in enumerate(options)]
    cfg = config("MODEL.OneNet.ASSIGNER.NAME", name, *options, head=head)
    with pytest.raises(ConfigError) as caught:
        build_assigner(cfg)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["FCOS", "CenterNet"])
def test_size_ranges_must_ascend(name):
    ranges = [[-1, 64], [64, 128], [32, 256], [256, 512], [512, 1e8]]
    cfg = config("MODEL.OneNet.OBJECT_SIZES_OF_INTEREST", ranges, head="FCOS")
    cfg.MODEL.OneNet.ASSIGNER.NAME = name
    with pytest.raises(ConfigError, match=r"\(32, 256\) does not"):
        build_assigner(cfg)

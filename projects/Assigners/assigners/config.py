"""Config keys of the assigners."""

from __future__ import annotations

from detectron2.config import CfgNode as CN
from onenet.config import child


def add_assigners_config(cfg: CN) -> None:
    """Add the keys below ``MODEL.OneNet.ASSIGNER``, before or after ``add_onenet_config``."""
    assigner = child(child(cfg.MODEL, "OneNet"), "ASSIGNER")

    max_iou = child(assigner, "MAX_IOU")
    max_iou.PRESET = "retinanet"  # "retinanet", "ssd", "rpn" or "rcnn"; sets the five keys below
    max_iou.POS_IOU = None  # positive at this IoU or more; None = as the preset has it
    max_iou.NEG_IOU = None  # negative below this IoU, ignored between the two
    max_iou.LOW_QUALITY = None  # each ground truth also takes its best sample
    max_iou.MIN_POS_IOU = None  # ... unless its IoU is below this
    max_iou.ALL_TIES = None  # ... and all samples that are equally good

    approx = child(assigner, "APPROX_MAX_IOU")
    approx.SCALES = [1.0, 2 ** (1 / 3), 2 ** (2 / 3)]  # sides of the boxes in those of the prior
    approx.RATIOS = [0.5, 1.0, 2.0]  # their height / width
    approx.POS_IOU = 0.5  # these five as for MAX_IOU
    approx.NEG_IOU = 0.4
    approx.LOW_QUALITY = True
    approx.MIN_POS_IOU = 0.4
    approx.ALL_TIES = True

    child(assigner, "ATSS").TOPK = 9  # candidates of a ground truth on each level

    fcos = child(assigner, "FCOS")
    fcos.CENTER_SAMPLING = True  # positive near the centre only; False = in the whole box
    fcos.RADIUS = 1.5  # how near, in strides

    child(assigner, "CENTERNET").MIN_OVERLAP = 0.7  # IoU that a box moved by the radius keeps

    _add_dynamic_config(assigner)
    _add_learned_config(assigner)


def _add_dynamic_config(assigner: CN) -> None:
    """Keys of the rules that look at predictions."""
    tal = child(assigner, "TAL")
    tal.PRESET = "tood"  # "tood", "yolo" or "yolo_one"; sets the keys below
    tal.TOPK = None  # samples that a ground truth takes; None = as the preset has it
    tal.ALPHA = None  # exponent of the score
    tal.BETA = None  # exponent of the overlap
    tal.INSIDE_FIRST = None  # only samples inside compete; False = all, and those outside drop
    tal.CIOU = None  # the overlap is the complete IoU
    tal.WIDEN = None  # for what is inside, no side is shorter than the stride of the second level
    tal.ONE_TO_ONE = None  # of what is left after conflicts, each ground truth keeps the best
    tal.SOFT_LABELS = True  # class targets and box weights are the metric; False = all are 1

    simota = child(assigner, "SIMOTA")
    simota.PRESET = "mmdet"  # "mmdet" or "yolox"; sets the next two keys
    simota.RADIUS = None  # samples take part this near to a centre, in strides
    simota.INSIDE = None  # ... or inside of the box, and both is best; False = the centre decides
    simota.TOPK = 10  # most samples of a ground truth
    simota.IOU_WEIGHT = 3.0  # of -log IoU beside the class cost
    simota.SOFT_LABELS = True  # class targets are IoUs; False = 1

    ota = child(assigner, "OTA")
    ota.TOPK = 20  # IoUs whose sum is what a ground truth supplies
    ota.RADIUS = 2.5  # it may label samples this near to its centre, in strides
    ota.IOU_WEIGHT = 1.5  # of -log IoU beside the class cost
    ota.ALPHA = 0.25  # of the focal loss that is the class cost
    ota.GAMMA = 2.0
    ota.EPSILON = 0.1  # weight of the entropy
    ota.ITERATIONS = 50  # of Sinkhorn

    paa = child(assigner, "PAA")
    paa.PRESET = "paa"  # "paa" or "mmdet"; sets the next key
    paa.WHOLE_PREFIX = None  # no candidate between positives is negative, no last one is lost
    paa.TOPK = 9  # candidates of a ground truth on each level
    paa.CANDIDATE_IOU = 0.1  # IoU of a candidate's prior box
    paa.GIOU_WEIGHT = 1.3  # of the GIoU loss beside the focal loss, by which they are told apart
    paa.ALPHA = 0.25  # of that focal loss
    paa.GAMMA = 2.0

    yolo = child(assigner, "YOLOV3")
    yolo.PRESET = "darknet"  # "darknet" or "mmdet"; sets the keys below
    yolo.GRID = None  # the rule of mmdetection: anchors of the centres' cells compete by their IoU
    yolo.IGNORE_IOU = None  # ignored above this IoU of the predicted box (GRID: prior box)

    poto = child(assigner, "POTO")
    poto.SOLVER = "hungarian"  # "hungarian" or "argmax"
    poto.ALPHA = 0.8  # exponent of the IoU; that of the score is the rest to 1
    poto.RADIUS = 1.5  # candidates lie this near to the centre, in strides

    few = child(assigner, "ONE_TO_FEW")
    few.TOPK = 7  # most positives of a ground truth
    few.ALPHA = 0.8  # as for POTO
    few.RADIUS = 1.5
    few.SOFT_WEIGHT = 0.4  # of all but the best in the class loss
    few.START = 0.6  # largest class target of all but the best, at the first step
    few.END = 0.2  # ... and at the last


def _add_learned_config(assigner: CN) -> None:
    """Keys of the rules that have losses of their own."""
    auto_assign = child(assigner, "AUTO_ASSIGN")
    auto_assign.POS_WEIGHT = 0.25  # factors of its three losses
    auto_assign.NEG_WEIGHT = 0.75
    auto_assign.CENTER_WEIGHT = 0.75
    auto_assign.BOX_WEIGHT = 5.0  # of the GIoU loss in the likelihood of a sample
    auto_assign.FORCE_TOPK = 0  # samples of highest prior for objects with none inside
    auto_assign.CONFLICTS = "least"  # negative weight in several objects of a class, or "last"

    free_anchor = child(assigner, "FREE_ANCHOR")
    free_anchor.TOPK = 50  # prior boxes in the bag of a ground truth
    free_anchor.THRESHOLD = 0.6  # predicted boxes up to this IoU are negative in full
    free_anchor.ALPHA = 0.5  # factor of the loss of positives; that of negatives is the rest to 1
    free_anchor.BOX_WEIGHT = 0.75  # of the box loss in the likelihood of a sample

    corner = child(assigner, "CORNERNET")
    corner.MIN_OVERLAP = 0.3  # IoU that a box keeps whose corners move by the radius
    corner.PULL_WEIGHT = 0.1  # factors of three of its losses
    corner.PUSH_WEIGHT = 0.1
    corner.OFFSET_WEIGHT = 1.0

    guided = child(assigner, "GUIDED_ANCHORING")
    guided.CENTER_RATIO = 0.2  # side of the region where an object is, in sides of the object
    guided.IGNORE_RATIO = 0.5  # of that which is ignored around it
    guided.CONFLICTS = "center"  # where regions meet, a centre stays one; "last" object decides
    guided.LOCATION_WEIGHT = 1.0  # factors of its two losses
    guided.SHAPE_WEIGHT = 1.0
    guided.POS_IOU = 0.5  # of a predicted anchor, as for MAX_IOU
    guided.NEG_IOU = 0.5

    sapd = child(assigner, "SAPD")
    sapd.SHRINK = 0.2  # side of the region of positives, in sides of the object
    sapd.SOFT_SELECT = True  # all levels learn, as far as a network says; False = the best one
    sapd.LEVEL_WEIGHT = 0.1  # of the loss of this network

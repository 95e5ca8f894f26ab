"""Config keys of the assigners."""

from __future__ import annotations

from detectron2.config import CfgNode as CN


def add_assigners_config(cfg: CN) -> None:
    """Add the keys below ``MODEL.OneNet.ASSIGNER``, before or after ``add_onenet_config``."""
    assigner = _child(_child(cfg.MODEL, "OneNet"), "ASSIGNER")

    max_iou = _child(assigner, "MAX_IOU")
    max_iou.PRESET = "retinanet"  # "retinanet", "ssd", "rpn" or "rcnn"; sets the five keys below
    max_iou.POS_IOU = None  # positive at this IoU or more; None = as the preset has it
    max_iou.NEG_IOU = None  # negative below this IoU, ignored between the two
    max_iou.LOW_QUALITY = None  # each ground truth also takes its best sample
    max_iou.MIN_POS_IOU = None  # ... unless its IoU is below this
    max_iou.ALL_TIES = None  # ... and all samples that are equally good

    _child(assigner, "ATSS").TOPK = 9  # candidates of a ground truth on each level

    fcos = _child(assigner, "FCOS")
    fcos.CENTER_SAMPLING = True  # positive near the centre only; False = in the whole box
    fcos.RADIUS = 1.5  # how near, in strides

    _child(assigner, "CENTERNET").MIN_OVERLAP = 0.7  # IoU that a box moved by the radius keeps


def _child(parent: CN, name: str) -> CN:
    """The node ``name`` below ``parent``, which another package may have made before."""
    if name not in parent:
        parent[name] = CN()
    return parent[name]

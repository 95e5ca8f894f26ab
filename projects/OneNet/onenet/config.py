"""Config keys of OneNet."""

from __future__ import annotations

from detectron2.config import CfgNode as CN


def add_onenet_config(cfg: CN) -> None:
    """Add the keys of OneNet to a Detectron2 config.

    Names, defaults and meanings that the official implementation has are the same here; keys of
    this project are marked "new". Stock keys keep their values, but for two weight decays.
    """
    onenet = child(cfg.MODEL, "OneNet")
    onenet.NUM_CLASSES = 80  # new: 0 = as many as the datasets have
    # "CenterNet" (one level, stride 4), "FCOS" or "RetinaNet"; new: "CornerNet" (also one level)
    onenet.HEAD = "CenterNet"
    onenet.PRE_DEFINE = False  # location cost of fixed points or anchors, not of predicted boxes
    onenet.NMS = False  # class-wise NMS after top-k, for comparison only
    onenet.NMS_THRESH = 0.5  # new: its IoU threshold
    onenet.SCORE_THRESH_TEST = 0.0  # new: detections below this score are dropped

    # new: negative samples whose predicted box lies in a region annotated as iscrowd have no loss.
    # Without it such annotations are left out, as the official code does.
    onenet.IGNORE_REGIONS = False

    _add_head_config(onenet)
    _add_assignment_config(onenet)
    _add_solver_config(cfg)
    _add_timm_config(child(cfg.MODEL, "TIMM"))
    # new: datasets of your own in COCO's format: [[name, json file, image folder], ...]
    cfg.DATASETS.REGISTER = []
    # new: all images of a batch are resized to one of MIN_SIZE_TRAIN, so that none is padded to
    # another's size
    cfg.INPUT.ONE_SIZE_PER_BATCH = False
    # new: augmentation beside CROP and RANDOM_FLIP, which also takes "both"
    cfg.INPUT.RANDOM_TURN = False  # by 0, 90, 180 or 270 degrees
    cfg.INPUT.RANDOM_SCALE = [1.0, 1.0]  # smallest and largest factor; an image keeps its size
    cfg.INPUT.RANDOM_COLOR = 0.0  # brightness, contrast, saturation: each by a factor 1 -+ this
    # new: model_best.pth has the weights with which it was highest; "" = there is no such file
    cfg.TEST.BEST_METRIC = "bbox/AP"
    # new: evaluation sees images in overlapping tiles of this side in pixels; 0 = whole
    cfg.TEST.TILE = 0
    cfg.TEST.TILE_OVERLAP = 100  # at least; larger than any object
    # "center": a detection counts in the tile whose own part has its centre; or "nms"
    cfg.TEST.TILE_MERGE = "center"
    # new: training images whose assignment each evaluation describes (dynamics/...); 0 = none
    cfg.TEST.ASSIGNMENT_PROBE = 0


def _add_head_config(onenet: CN) -> None:
    # new: what mixes the features before the head sees them: "" (nothing) or "ASFF"
    onenet.NECK = ""

    # CenterNet and CornerNet heads.
    onenet.IN_FEATURES = ["res2", "res3", "res4", "res5"]  # p3 ... p7 for the other heads
    onenet.ACTIVATION = "relu"
    onenet.DECONV_CHANNEL = [2048, 256, 128, 64]
    onenet.DECONV_KERNEL = [4, 4, 4]
    onenet.DCN = True  # deformable convolution before each up-sampling step
    onenet.MODULATE_DEFORM = True
    onenet.NUM_STAGES = 1  # new: prediction stages in training; inference uses only the first

    # new: CornerNet head, how corners become boxes.
    corner = child(onenet, "CORNERNET")
    corner.TOPK = 100  # corners of each kind that may be paired
    corner.DISTANCE = 0.5  # largest difference of the embeddings of a pair

    # FCOS and RetinaNet heads.
    onenet.FEATURES_STRIDE = [8, 16, 32, 64, 128]
    onenet.OBJECT_SIZES_OF_INTEREST = [
        [-1, 64],
        [64, 128],
        [128, 256],
        [256, 512],
        [512, float("inf")],
    ]
    onenet.NUM_CONV = 4
    onenet.CONV_NORM = "GN"
    onenet.CONV_CHANNELS = 256
    # new: quality branch, whose sigmoid multiplies the score; QUALITY_TARGET says what it tells
    onenet.CENTERNESS = False
    onenet.PRIOR_SCALE = 8.0  # new: side of the prior box of a location, in strides

    # new: "published" is Xavier-uniform for every weight of the head, as the official code has it;
    # "prior" starts from bilinear up-sampling, zero offsets and the prior box.
    onenet.HEAD_INIT = "prior"
    onenet.PRIOR_PROB = 0.01  # initial score of every sample


def _add_assignment_config(onenet: CN) -> None:
    # Matching costs.
    onenet.CLASS_COST = 2.0
    onenet.GIOU_COST = 2.0
    onenet.L1_COST = 5.0

    # Losses.
    # new: "focal", "quality_focal", "varifocal", "varifocal_unweighted" (one-to-few), "bce" (YOLO),
    # "mal" (DEIM) or "ghm_c", see docs/losses.md; only "focal" reads ALPHA and GAMMA
    onenet.CLASS_LOSS = "focal"
    # new: "assigned" (what the assigner says, mostly 1) or "iou" of the predicted box
    onenet.CLASS_TARGET = "assigned"
    # new: or "l1_diou", "l1_ciou", "smooth_l1", "balanced_l1", "bounded_iou", "ghm_r"
    onenet.BOX_LOSS = "l1_giou"
    onenet.CLASS_WEIGHT = 2.0
    onenet.GIOU_WEIGHT = 2.0  # of the GIoU, DIoU, CIoU or bounded IoU loss
    onenet.L1_WEIGHT = 5.0  # of the L1 loss, or the one that is in its place
    # new: "centerness", "iou" of the predicted box, "objectness", or what the "rule" is known with
    onenet.QUALITY_TARGET = "rule"
    onenet.CENTERNESS_WEIGHT = 1.0  # new: of the loss of the quality branch

    # Focal loss, and the classification cost.
    onenet.ALPHA = 0.25
    onenet.GAMMA = 2.0

    _add_subsampler_config(onenet)
    _add_branch_config(onenet)

    # new: which label assigner, see ASSIGNER_REGISTRY.
    assigner = child(onenet, "ASSIGNER")
    assigner.NAME = "MinCost"
    assigner.SOLVER = "argmin"  # MinCost: "argmin" (the paper) or "hungarian" (the released code)
    # MinCost: positives lie "anywhere" (the paper), "inside" their object, or also near its
    # "center"; an object without such a sample takes the nearest
    assigner.REGION = "anywhere"
    assigner.REGION_RADIUS = 2.5  # "center": how near, in strides
    # Costs or overlaps of at most this many (sample, ground truth) pairs are in memory at once;
    # 0 = by device: what the cache of a CPU holds, a share of a GPU's memory.
    assigner.MAX_PAIRS = 0


def _add_subsampler_config(onenet: CN) -> None:
    # new: which samples are trained, whatever the rule; keys that are None are as the method has it
    subsampler = child(onenet, "SUBSAMPLER")
    # "all", "random" (Faster R-CNN), "iou_balanced" (Libra R-CNN), "hard_negatives" (SSD) or "ohem"
    subsampler.NAME = "all"
    subsampler.COUNT = None  # samples an image
    subsampler.POSITIVES = None  # largest part of them that is positive
    subsampler.NEGATIVES_PER_POSITIVE = None  # most negatives to a positive
    subsampler.BINS = None  # "iou_balanced": ranges of IoU that share the negatives
    subsampler.FLOOR = None  # ... below this IoU negatives are set apart; -1 = none are
    subsampler.FLOOR_PART = None  # ... part of the negatives that is of those


def _add_branch_config(onenet: CN) -> None:
    # new: classes and boxes learn by ASSIGNER.NAME; a selection score, by which their scores are
    # multiplied, learns one-to-one. There is nothing left for NMS to do.
    selector = child(onenet, "SELECTOR")
    selector.ENABLED = False
    selector.ASSIGNER = "BestScore"  # the one-to-one rule, for the class scores
    selector.OPTS = []  # other values of MODEL.OneNet for it: [KEY, VALUE, ...]
    selector.WEIGHT = 1.0  # of its loss
    selector.MAX_FILTERING = False  # compare features of neighbours, also those of other levels
    selector.FREEZE = False  # train nothing else, on top of the detector in MODEL.WEIGHTS

    # new: a second head on the same features, only in training, that learns by another rule.
    aux = child(onenet, "AUX")
    aux.ASSIGNER = ""  # any registered assigner; "" = there is no such branch
    aux.OPTS = []  # other values of MODEL.OneNet for it: [KEY, VALUE, ...]
    aux.WEIGHT = [1.0, 1.0]  # of its losses at the first and the last step, linear between
    aux.NUM_CONV = 1  # convolutions in its towers
    aux.DETACH = False  # no gradient of the main branch reaches the shared features
    aux.TEST = False  # detect with this branch, and NMS


def _add_solver_config(cfg: CN) -> None:
    cfg.SOLVER.OPTIMIZER = "ADAMW"  # "ADAMW" or "SGD"
    # Not 0 and 0.0001: the official code decays norms and biases like all else, unless told not to.
    cfg.SOLVER.WEIGHT_DECAY_NORM = None  # None = WEIGHT_DECAY
    cfg.SOLVER.WEIGHT_DECAY_BIAS = None
    cfg.SOLVER.BACKBONE_MULTIPLIER = 1.0  # learning rate of the backbone / BASE_LR
    # new: "float16", with scaled gradients, or "bfloat16", which is float32 with fewer digits
    cfg.SOLVER.AMP.PRECISION = "float16"
    cfg.SOLVER.COMPILE = False  # new: train as torch.compile makes it; needs a compiler
    cfg.SOLVER.CHANNELS_LAST = False  # new: memory layout of the convolutions, faster on CPUs
    cfg.SOLVER.ACCUMULATE = 1  # new: a process takes its batch in this many parts, to save memory


def _add_timm_config(timm: CN) -> None:
    # new: for MODEL.BACKBONE.NAME build_timm_backbone and build_timm_fpn_backbone.
    timm.NAME = "mobilenetv3_small_100"  # any that timm has with features_only
    timm.OUT_FEATURES = ["res2", "res3", "res4", "res5"]  # res<n>: of stride 2^n
    # A local file of timm's weights, or package:efficientnet-lite0 (lite1, lite2); read where
    # MODEL.WEIGHTS is empty, and never downloaded.
    timm.WEIGHTS = ""
    timm.FREEZE_BN = False  # batch norms stay as they begin, statistics and weights


def child(parent: CN, name: str) -> CN:
    """The node ``name`` below ``parent``; another package may have added keys to it before."""
    if name not in parent:
        parent[name] = CN()
    return parent[name]

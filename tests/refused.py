"""Rules that have no meaning under a head, by (head, rule)."""

REFUSED = {
    ("RetinaNet", "ApproxMaxIoU"): "MODEL.OneNet.HEAD FCOS",
    ("RetinaNet", "GuidedAnchoring"): "MODEL.OneNet.HEAD FCOS",
    ("CenterNet", "GuidedAnchoring"): "MODEL.OneNet.HEAD FCOS",
    ("CenterNet", "SAPD"): '"CenterNet" has one level: use "FCOS"',
    ("CenterNet", "YOLOv3"): "MODEL.OneNet.HEAD RetinaNet",
    ("FCOS", "YOLOv3"): "MODEL.OneNet.HEAD RetinaNet",
    ("CenterNet", "CornerNet"): "MODEL.OneNet.HEAD CornerNet",
    ("FCOS", "CornerNet"): "MODEL.OneNet.HEAD CornerNet",
    ("RetinaNet", "CornerNet"): "MODEL.OneNet.HEAD CornerNet",
    ("CornerNet", "FCOS"): "MODEL.OneNet.ASSIGNER.NAME CornerNet",
    ("CornerNet", "AutoAssign"): "MODEL.OneNet.ASSIGNER.NAME CornerNet",
}

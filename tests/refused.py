"""Rules that have no meaning under a head, by (head, rule)."""

REFUSED = {
    ("RetinaNet", "ApproxMaxIoU"): "MODEL.OneNet.HEAD FCOS",
    ("CenterNet", "YOLOv3"): "MODEL.OneNet.HEAD RetinaNet",
    ("FCOS", "YOLOv3"): "MODEL.OneNet.HEAD RetinaNet",
}

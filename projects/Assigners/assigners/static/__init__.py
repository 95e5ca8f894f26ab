"""Rules that look at the priors alone; the network's predictions change nothing."""

from .approx_max_iou import ApproxMaxIoU
from .atss import ATSS
from .centernet import CenterNet
from .fcos import FCOS
from .max_iou import MaxIoU

__all__ = ["ATSS", "FCOS", "ApproxMaxIoU", "CenterNet", "MaxIoU"]

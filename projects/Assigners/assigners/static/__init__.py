"""Rules that look at the priors alone; the network's predictions change nothing."""

from .atss import ATSS
from .centernet import CenterNet
from .fcos import FCOS
from .max_iou import MaxIoU

__all__ = ["ATSS", "FCOS", "CenterNet", "MaxIoU"]

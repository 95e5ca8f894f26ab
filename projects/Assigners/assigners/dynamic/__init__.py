"""Rules that look at the predictions too."""

from .one_to_few import OneToFew
from .ota import OTA
from .paa import PAA
from .poto import POTO
from .simota import SimOTA
from .tal import TAL
from .yolov3 import YOLOv3

__all__ = ["OTA", "PAA", "POTO", "TAL", "OneToFew", "SimOTA", "YOLOv3"]

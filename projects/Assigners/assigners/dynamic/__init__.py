"""Rules that look at the predictions too."""

from .one_to_few import OneToFew
from .poto import POTO
from .simota import SimOTA
from .tal import TAL

__all__ = ["POTO", "TAL", "OneToFew", "SimOTA"]

"""Rules that learn which samples to train, with losses and parameters of their own."""

from .auto_assign import AutoAssign
from .corner_net import CornerNet
from .free_anchor import FreeAnchor
from .guided_anchoring import GuidedAnchoring
from .sapd import SAPD

__all__ = ["SAPD", "AutoAssign", "CornerNet", "FreeAnchor", "GuidedAnchoring"]

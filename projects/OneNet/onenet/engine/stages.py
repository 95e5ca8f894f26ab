"""Whether the losses of all prediction stages have one denominator, as accumulation needs it."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from torch import Tensor

from ..assigner import Assigner, build_assigner
from ..criterion import local_normalizer
from ..errors import ConfigError
from ..geometry import decode_ltrb
from ..heads.priors import point_priors
from ..heads.single_level import STRIDE
from ..structures import GroundTruth, Predictions

STAGES_DIFFER = (
    "SOLVER.ACCUMULATE {parts} needs one denominator for the losses of all stages, and the "
    "assigner{name} gives each its own; use SOLVER.ACCUMULATE 1 or MODEL.OneNet.NUM_STAGES 1"
)
_CELLS = 16  # side of the map on which an assigner is tried
# Low and high corners of the objects there, in parts of its side.
_CORNERS = ((0.1, 0.5), (0.2, 0.9), (0.6, 0.9))


def check_stages(cfg: CfgNode) -> None:
    """Refuse to accumulate where the stages of a head have denominators of their own.

    They have if what the assigner divides by depends on the predictions. It is tried on one image
    with two sets of random predictions, of the only head that can have several stages.

    Raises:
        ConfigError: names the assigner.
    """
    onenet, parts = cfg.MODEL.OneNet, cfg.SOLVER.ACCUMULATE
    if parts == 1 or onenet.NUM_STAGES == 1:
        return
    first, second = _denominators(build_assigner(cfg), onenet.NUM_CLASSES, onenet.PRIOR_SCALE)
    if first != second:
        raise ConfigError(STAGES_DIFFER.format(parts=parts, name=f' "{onenet.ASSIGNER.NAME}"'))


def _denominators(assigner: Assigner, num_classes: int, prior_scale: float) -> list[Tensor]:
    """What an assigner divides by for each of two sets of predictions, () float32."""
    side = float(_CELLS * STRIDE)
    corners = side * torch.tensor(_CORNERS)
    gt = GroundTruth(
        boxes=corners[:, [0, 0, 1, 1]][None],
        labels=torch.zeros(1, len(corners), dtype=torch.int64),
        valid=torch.ones(1, len(corners), dtype=torch.bool),
        image_size=torch.full((1, 2), side),
    )
    priors = point_priors([torch.zeros(1, 1, _CELLS, _CELLS)], [STRIDE], prior_scale)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(2):
        logits = torch.randn(1, len(priors), num_classes, generator=generator)
        distances = side / 4 * torch.rand(1, len(priors), 4, generator=generator)
        predictions = Predictions(logits, decode_ltrb(priors.points, distances))
        found.append(local_normalizer(assigner(priors, predictions, gt), gt))
    return found

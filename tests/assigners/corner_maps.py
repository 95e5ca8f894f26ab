"""Golden maps of corners, as the types of the contract."""

import numpy as np
import torch
from onenet.structures import CornerPredictions

from .golden import point_priors

STRIDE = 4


def priors_of(case):
    return point_priors([case["feat_hw"]] * 2, [STRIDE] * 2)


def samples(top_left, bottom_right):
    """Two maps (C, H, W) -> (1, 2 * H * W, C)."""
    maps = np.concatenate([x.reshape(len(x), -1) for x in (top_left, bottom_right)], axis=1)
    return torch.from_numpy(maps).T[None]


def predictions_of(case):
    """With a gradient; no loss reads the boxes."""
    logits, offset, embedding = (
        samples(case[f"pred_tl_{name}"], case[f"pred_br_{name}"]).requires_grad_()
        for name in ("heat", "off", "emb")
    )
    nowhere = torch.full((*logits.shape[:2], 4), torch.nan)
    return CornerPredictions(logits, nowhere, offset=offset, embedding=embedding[..., 0])

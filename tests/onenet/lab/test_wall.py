import numpy as np
import torch
from onenet import Predictions, Priors
from onenet.lab.wall import score_map


def test_scores_where_the_samples_are():
    """One level of stride 4 on 8 x 12 pixels, and one sample of stride 8 at the left."""
    points = [(x, y) for y in (2.0, 6.0) for x in (2.0, 6.0, 10.0)] + [(4.0, 4.0)]
    stride = torch.tensor([4.0] * 6 + [8.0])
    points = torch.tensor(points)
    boxes = torch.cat([points - stride[:, None], points + stride[:, None]], dim=1)
    priors = Priors(boxes, points, stride, (stride == 8).long(), (6, 1))
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9, 0.6, 0.5])
    logits = torch.stack([scores, scores / 2], dim=1).logit()[None]
    heat = score_map(Predictions(logits, boxes[None]), priors, (8, 12))
    np.testing.assert_allclose(heat, [[0.5, 0.5, 0.3], [0.5, 0.9, 0.6]], rtol=1e-5)

    quality = torch.full((1, 7), 0.5).logit()
    halved = score_map(Predictions(logits, boxes[None], quality), priors, (8, 12))
    np.testing.assert_allclose(halved, heat / 2, rtol=1e-5)

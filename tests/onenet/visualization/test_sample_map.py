import numpy as np
import pytest
import torch
from onenet import Predictions, Priors
from onenet.visualization.sample_map import best_scores, sample_map

SCORES = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9, 0.6, 0.5])


def test_the_highest_score_of_the_cells_at_a_place():
    """One level of stride 4 on 8 x 12 pixels, and one sample of stride 8 at the left."""
    points = [(x, y) for y in (2.0, 6.0) for x in (2.0, 6.0, 10.0)] + [(4.0, 4.0)]
    stride = torch.tensor([4.0] * 6 + [8.0])
    points = torch.tensor(points)
    boxes = torch.cat([points - stride[:, None], points + stride[:, None]], dim=1)
    priors = Priors(boxes, points, stride, (stride == 8).long(), (6, 1))
    heat = sample_map(SCORES, priors, (8, 12))
    np.testing.assert_allclose(heat[::4, ::4], [[0.5, 0.5, 0.3], [0.5, 0.9, 0.6]], rtol=1e-5)


@pytest.mark.parametrize(("quality", "factor"), [(None, 1.0), (0.5, 0.5)])
def test_scores_are_those_of_the_detections(quality, factor):
    logits = torch.stack([SCORES / 2, SCORES], dim=1).logit()[None]
    if quality is not None:
        quality = torch.full((1, len(SCORES)), quality).logit()
    found = best_scores(Predictions(logits, torch.zeros(1, len(SCORES), 4), quality), 0)
    np.testing.assert_allclose(found, factor * SCORES, rtol=1e-5)

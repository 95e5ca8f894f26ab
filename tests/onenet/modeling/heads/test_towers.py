import pytest
import torch
from onenet.modeling.heads import FCOSHead
from onenet.modeling.heads.priors import concat_levels
from onenet.modeling.heads.towers import build_tower
from torch import nn


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("anchors", [1, 3])
def test_samples_run_level_by_level_row_by_row_anchor_by_anchor(anchors, memory_format):
    channels, sizes = 2, [(2, 3), (1, 2)]
    maps = [torch.rand(2, anchors * channels, *size) for size in sizes]
    rows = concat_levels([x.contiguous(memory_format=memory_format) for x in maps], channels)
    assert rows.shape == (2, channels, anchors * 8) and rows.is_contiguous()
    start = 0
    for values, (height, width) in zip(maps, sizes, strict=True):
        for y in range(height):
            for x in range(width):
                for a in range(anchors):
                    sample = start + (y * width + x) * anchors + a
                    expected = values[:, a * channels : (a + 1) * channels, y, x]
                    assert rows[:, :, sample].equal(expected)
        start += height * width * anchors


@pytest.mark.parametrize(
    "norm, layers", [("GN", (nn.GroupNorm,)), ("BN", (nn.BatchNorm2d,)), ("", ())]
)
def test_towers(norm, layers):
    tower = build_tower(16, 64, 2, norm)
    kinds = (nn.Conv2d, *layers, nn.ReLU)
    assert len(tower) == 2 * len(kinds)
    assert all(isinstance(x, kind) for x, kind in zip(tower, 2 * kinds, strict=True))
    assert tower(torch.rand(1, 16, 4, 4)).shape == (1, 64, 4, 4)


def test_every_level_has_its_own_scale_and_stride():
    head = FCOSHead(in_channels=4, num_classes=2, strides=(8, 16), num_convs=1, channels=32)
    with torch.no_grad():
        head.ltrb_pred.weight.zero_()
        head.ltrb_pred.bias.copy_(torch.tensor([1.0, 2, 3, -4]))
        head.scales[1].scale.fill_(0.5)
    branches, priors = head([torch.rand(1, 4, 2, 2), torch.rand(1, 4, 1, 2)])
    (predictions,) = branches.values()
    distances = torch.cat([priors.points - predictions.boxes[0, :, :2],
                           predictions.boxes[0, :, 2:] - priors.points], dim=1)  # fmt: skip
    fine, coarse = [8.0, 16, 24, 0], [8.0, 16, 24, 0]
    assert distances.tolist() == [fine] * 4 + [coarse] * 2

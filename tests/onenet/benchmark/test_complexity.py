from pathlib import Path

import pytest
from onenet import ConfigError
from onenet.benchmark.complexity import analyze
from onenet.engine import setup_cfg

DIGITS = Path(__file__).parents[3] / "configs" / "digits" / "onenet_R18_digits.yaml"


def load(*options):
    return setup_cfg(str(DIGITS), ["MODEL.DEVICE", "cpu", *options])


def test_multiply_adds_are_those_of_a_count_by_hand():
    """Of the last convolutions of the head, at stride 4."""
    cfg = load()
    found = analyze(cfg, (60, 90))
    assert found.image_size == (64, 96)
    width, classes = cfg.MODEL.OneNet.DECONV_CHANNEL[-1], cfg.MODEL.OneNet.NUM_CLASSES
    rows = [line.split("|")[1:-1] for line in found.table.splitlines()]
    listed = {name.strip(): count.strip() for name, _, count in rows}
    for name, outputs in (("feat1", width), ("cls_score", classes), ("ltrb_pred", 4)):
        expected = 16 * 24 * 9 * width * outputs
        assert listed[f"head.{name}"] == f"{round(expected / 1e6, 3):g}M"


def test_they_grow_with_the_image():
    small, large = analyze(load(), (64, 96)), analyze(load(), (128, 96))
    assert large.flops == pytest.approx(2 * small.flops, rel=1e-3)
    assert large.parameters == small.parameters
    assert small.flops == sum(small.operators.values())


def test_a_deformable_convolution_counts_as_a_plain_one():
    found = analyze(load("MODEL.OneNet.DCN", "True"), (64, 64))
    channels = load().MODEL.OneNet.DECONV_CHANNEL
    areas = (2 * 2, 4 * 4, 8 * 8)  # of the maps at strides 32, 16 and 8
    pairs = zip(areas, channels, channels[1:], strict=False)
    expected = sum(area * 9 * inputs * outputs for area, inputs, outputs in pairs)
    assert found.operators["deform_conv2d"] == expected


def test_the_table_is_cut_at_a_depth():
    table = analyze(load(), (64, 64), max_depth=1).table
    assert "backbone" in table
    assert "head.feat1" not in table


def test_other_meta_architectures_are_refused():
    with pytest.raises(ConfigError, match='must be "OneNet".*"RetinaNet"'):
        analyze(setup_cfg(opts=["MODEL.META_ARCHITECTURE", "RetinaNet"]), (64, 64))

import pytest

NAME = "mobilenetv3_small_050"
WIDTH = 288  # of its last feature


@pytest.fixture
def timm_cfg(tiny_cfg):
    """Make the config of a tiny detector on a network of timm."""

    def make(head="CenterNet", *options):
        builder = "build_timm_backbone" if head == "CenterNet" else "build_timm_fpn_backbone"
        keys = ["MODEL.BACKBONE.NAME", builder, "MODEL.TIMM.NAME", NAME]
        keys += ["MODEL.OneNet.DECONV_CHANNEL", [WIDTH, 16, 16, 16]]
        return tiny_cfg(head, *keys, *options)

    return make

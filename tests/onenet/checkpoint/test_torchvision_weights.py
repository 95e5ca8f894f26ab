import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from detectron2.modeling import build_backbone
from onenet import UserError
from onenet.checkpoint.torchvision import convert_resnet, read_torchvision, save_backbone
from onenet.engine import Checkpointer, setup_cfg
from torch import nn

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[3]
RES_STAGES = ("res2", "res3", "res4", "res5")
CONFIGS = {"resnet18": "onenet_R18", "resnet50": "onenet_R50"}


def make_torchvision(name):
    """A network whose statistics are no defaults."""
    network = getattr(torchvision.models, name)(num_classes=4).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def stages_of(network, images):
    features, x = {}, network.maxpool(network.relu(network.bn1(network.conv1(images))))
    for name, layer in zip(RES_STAGES, ("layer1", "layer2", "layer3", "layer4"), strict=True):
        features[name] = x = getattr(network, layer)(x)
    return features


class Detector(nn.Module):
    """As much of one as the checkpointer needs to see."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(1, 1)


def load_backbone(config, path, *options):
    cfg = setup_cfg(str(ROOT / "configs" / f"{config}.yaml"), ["MODEL.DEVICE", "cpu", *options])
    model = Detector(build_backbone(cfg)).eval()
    Checkpointer(model).load(str(path))
    return model.backbone


@pytest.mark.parametrize("name", CONFIGS)
def test_the_features_are_those_of_torchvision(name, tmp_path):
    network = make_torchvision(name)
    depth, weights = convert_resnet(network.state_dict())
    assert depth == int(name.removeprefix("resnet"))
    path = tmp_path / f"torchvision-R-{depth}.pkl"
    save_backbone(weights, path)
    images = torch.randn(2, 3, 64, 96).double()
    with torch.no_grad():
        expected = stages_of(network.double(), images)
        found = load_backbone(CONFIGS[name], path).double()(images)
    assert tuple(found) == RES_STAGES
    for stage, feature in expected.items():
        torch.testing.assert_close(found[stage], feature)


def test_the_network_in_a_pyramid_is_filled_too(tmp_path):
    network = make_torchvision("resnet50")
    path = tmp_path / "R-50.pkl"
    save_backbone(convert_resnet(network.state_dict())[1], path)
    images = torch.randn(1, 3, 64, 64).double()
    bottom_up = load_backbone("onenet_fcos_R50", path).bottom_up.double()
    with torch.no_grad():
        expected, found = stages_of(network.double(), images), bottom_up(images)
    for stage, feature in found.items():
        torch.testing.assert_close(feature, expected[stage])


def test_another_depth_does_not_fit(tmp_path):
    path = tmp_path / "R-34.pkl"
    save_backbone(convert_resnet(torchvision.models.resnet34().state_dict())[1], path)
    with pytest.raises(UserError, match="another shape|missing"):
        load_backbone("onenet_R50", path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.update(extra=torch.zeros(1)), '"extra"'),
        (lambda state: state.clear(), "0 known names"),
    ],
)
def test_other_networks_are_refused(change, named):
    state = torchvision.models.resnet18().state_dict()
    change(state)
    with pytest.raises(UserError, match=f"not the weights of a torchvision ResNet.*{named}"):
        convert_resnet(state)


def test_sources(tmp_path):
    state = {"conv1.weight": torch.zeros(1)}
    torch.save({"model": state, "epoch": 3}, tmp_path / "trained.pth")
    assert read_torchvision(str(tmp_path / "trained.pth")) == state
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth.*no state_dict"):
        read_torchvision(str(tmp_path / "list.pth"))
    with pytest.raises(UserError, match="resnet18.*Did you mean|resnet18.*Valid names"):
        read_torchvision("resnet18")


def test_download(monkeypatch):
    asked = {}

    def download(url, **options):
        asked.update(options, url=url)
        return {"conv1.weight": torch.zeros(1)}

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", download)
    assert read_torchvision("ResNet18_Weights.IMAGENET1K_V1").keys() == {"conv1.weight"}
    assert "resnet18" in asked["url"]
    assert asked["weights_only"] and asked["check_hash"]

    def fail(url, **options):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail)
    with pytest.raises(UserError, match="cannot download.*resnet18.*no network"):
        read_torchvision("ResNet18_Weights.IMAGENET1K_V1")


def test_targets(tmp_path):
    with pytest.raises(UserError, match=r"\*\.pkl"):
        save_backbone({}, tmp_path / "R-18.pth")
    with pytest.raises(UserError, match="cannot write.*nowhere"):
        save_backbone({}, tmp_path / "nowhere" / "R-18.pkl")


def test_the_program(tmp_path):
    command = [sys.executable, str(ROOT / "tools/convert-torchvision"), "in.pth", "out.pkl"]
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "in.pth")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ResNet-18" in done.stdout and "DEPTH: 18" in done.stdout
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert content["matching_heuristics"]
    assert "res2.0.conv1.norm.weight" in content["model"]

import logging
import pickle
import re

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from onenet import UserError
from onenet.checkpoint.weights import locate_weights
from onenet.engine import Checkpointer

EXECUTED = []


def run_code():
    EXECUTED.append("run")


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return run_code, ()


@pytest.fixture
def model(tiny_cfg):
    return build_model(tiny_cfg())


def save(state, path):
    torch.save(state, path)
    return str(path)


def save_pickle(model, path):
    """What Detectron2's converter of ImageNet weights writes, classifier included."""
    state = {k.removeprefix("backbone."): v.numpy() for k, v in model.backbone.state_dict().items()}
    state = {k: v for k, v in state.items() if "num_batches" not in k}
    state["stem.fc.weight"] = np.zeros((10, 64), np.float32)
    with open(path, "wb") as file:
        pickle.dump({"model": state, "__author__": "test", "matching_heuristics": True}, file)
    return str(path)


def assert_equal_states(a, b):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


def test_round_trip(model, tiny_cfg, tmp_path):
    optimizer = torch.optim.AdamW(model.parameters())
    Checkpointer(model, str(tmp_path), optimizer=optimizer).save("model", iteration=3)
    other = build_model(tiny_cfg())
    checkpointer = Checkpointer(
        other, str(tmp_path), optimizer=torch.optim.AdamW(other.parameters())
    )
    assert checkpointer.resume_or_load("") == {"iteration": 3}
    assert_equal_states(model, other)


NAMES = ("disc", "box", "cat")


@pytest.fixture
def named(model, tmp_path):
    """A checkpoint that knows its classes."""
    Checkpointer(model, str(tmp_path), class_names=NAMES).save("named")
    return str(tmp_path / "named.pth")


def test_a_checkpoint_holds_the_names_of_the_classes(model, named, caplog):
    checkpointer = Checkpointer(model, class_names=NAMES)
    assert checkpointer.load(named)["class_names"] == list(NAMES)
    assert Checkpointer(model).load(named)["class_names"] == list(NAMES)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("here", "difference"),
    [
        (("box", "disc", "cat"), 'number 0 is "disc" and "box"'),
        (("disc", "box", "dog"), 'number 2 is "cat" and "dog"'),
    ],
)
def test_other_classes_are_told(model, named, caplog, here, difference):
    Checkpointer(model, class_names=here).load(named)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert named in record.getMessage()
    assert difference in record.getMessage()


def test_a_checkpoint_without_names_or_with_something_else(model, tmp_path, caplog):
    for number, extra in enumerate(({}, {"class_names": "many"}, {"class_names": [1, 2, 3]})):
        path = save({"model": model.state_dict(), **extra}, tmp_path / f"{number}.pth")
        assert Checkpointer(model, class_names=NAMES).load(path) == {}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_save_that_is_cut_off_leaves_the_last_one(model, tmp_path, monkeypatch):
    checkpointer = Checkpointer(model, str(tmp_path))
    checkpointer.save("model")
    before = (tmp_path / "model.pth").read_bytes()

    def cut_off(data, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_off)
    for name in ("model", "model_2"):
        with pytest.raises(KeyboardInterrupt):
            checkpointer.save(name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model.pth"]
    assert (tmp_path / "model.pth").read_bytes() == before
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "model.pth")


def test_ddp_prefix_and_bare_state_dict(model, tiny_cfg, tmp_path):
    path = save({f"module.{k}": v for k, v in model.state_dict().items()}, tmp_path / "model.pth")
    other = build_model(tiny_cfg())
    Checkpointer(other).load(path)
    assert_equal_states(model, other)


def test_numpy_scalars_are_harmless(model, tmp_path):
    extra = {"best": np.float64(0.5), "iteration": np.int64(7)}
    path = save({"model": model.state_dict(), **extra}, tmp_path / "model.pth")
    assert Checkpointer(model).load(path) == extra


@pytest.mark.parametrize("name", ["model.pth", "model.pkl"])
def test_no_code_of_a_file_is_run(model, tmp_path, name):
    path, content = tmp_path / name, {"model": {}, "extra": Payload()}
    if name.endswith("pth"):
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=f"{name}.*run_code, .*could run code"):
        Checkpointer(model).load(str(path))
    assert not EXECUTED


@pytest.mark.parametrize("name", ["model.pth", "model.pkl"])
@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00(X\x05"])
def test_damaged_file(model, tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'cannot read the weights ".*{name}"') as caught:
        Checkpointer(model).load(str(path))
    assert "\n" not in str(caught.value)


def test_truncated_file(model, tmp_path):
    path = tmp_path / "model.pth"
    torch.save(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="complete"):
        Checkpointer(model).load(str(path))


@pytest.mark.parametrize("content", [{"model": 3}, [1, 2], {"iteration": 3}])
def test_file_without_weights(model, tmp_path, content):
    with pytest.raises(UserError, match=r"model\.pth.* no weights"):
        Checkpointer(model).load(save(content, tmp_path / "model.pth"))


def test_other_model_is_refused_with_a_list(model, tiny_cfg, tmp_path):
    other = build_model(tiny_cfg("CenterNet", "MODEL.OneNet.NUM_CLASSES", 5))
    state = other.state_dict()
    state["head.extra.weight"] = torch.zeros(1)
    del state["head.feat1.bias"]
    path = save({"model": state}, tmp_path / "model.pth")
    with pytest.raises(UserError) as caught:
        Checkpointer(model).load(path)
    first, *table = str(caught.value).splitlines()
    assert path in first
    assert "2 another shape, 1 missing, 1 unexpected" in first
    assert "--allow-partial" in first
    rows = {tuple(line.split()[-9:]) for line in table if "cls_score.weight" in line}
    assert rows == {("head.cls_score.weight", "(5,", "16,", "3,", "3)", "(3,", "16,", "3,", "3)")}
    assert any("missing" in line and "head.feat1.bias" in line for line in table)
    assert any("unexpected" in line and "head.extra.weight" in line for line in table)
    assert not any("head.ltrb_pred" in line for line in table)


def test_a_long_list_is_cut(model, tmp_path):
    path = save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(UserError) as caught:
        Checkpointer(model).load(path)
    assert len(str(caught.value).splitlines()) < 30
    assert "... and " in str(caught.value)


def test_allow_partial_loads_what_fits(model, tiny_cfg, tmp_path, caplog):
    other = build_model(tiny_cfg("CenterNet", "MODEL.OneNet.NUM_CLASSES", 5))
    path = save(other.state_dict(), tmp_path / "model.pth")
    with caplog.at_level(logging.WARNING):
        Checkpointer(model, allow_partial=True).load(path)
    torch.testing.assert_close(model.head.feat1.weight, other.head.feat1.weight)
    assert "cls_score" in caplog.text


def test_buffers_of_old_checkpoints_are_tolerated(model, tmp_path):
    state = {k: v for k, v in model.state_dict().items() if "num_batches_tracked" not in k}
    state["head.anchor_generator.cell_anchors.0"] = torch.zeros(9, 4)
    state["pixel_mean"] = torch.zeros(3, 1, 1)
    Checkpointer(model).load(save(state, tmp_path / "model.pth"))


@pytest.mark.parametrize("head", ["CenterNet", "FCOS"])
def test_backbone_alone(tiny_cfg, tmp_path, head):
    source, model = build_model(tiny_cfg(head)), build_model(tiny_cfg(head))
    before = model.head.cls_score.weight.detach().clone()
    network = "backbone.bottom_up." if head == "FCOS" else "backbone."
    state = {k: v for k, v in source.state_dict().items() if k.startswith(network)}
    path = save(state, tmp_path / "model.pth")
    Checkpointer(model).load(path)
    torch.testing.assert_close({k: model.state_dict()[k] for k in state}, state)
    torch.testing.assert_close(model.head.cls_score.weight, before)

    del state[f"{network}res3.0.conv1.weight"]
    with pytest.raises(UserError, match=r"res3\.0\.conv1\.weight"):
        Checkpointer(model).load(save(state, tmp_path / "model.pth"))


def test_imagenet_pickle(model, tiny_cfg, tmp_path):
    source = build_model(tiny_cfg())
    Checkpointer(model).load(save_pickle(source, tmp_path / "R-18.pkl"))
    assert_equal_states(model.backbone, source.backbone)


@pytest.mark.parametrize(
    "options",
    [
        ("MODEL.RESNETS.DEPTH", 34),
        ("MODEL.RESNETS.RES2_OUT_CHANNELS", 4, "MODEL.OneNet.DECONV_CHANNEL", [32, 16, 16, 16]),
    ],
    ids=lambda options: options[0],
)
def test_imagenet_pickle_of_another_network(tiny_cfg, model, tmp_path, options):
    path = save_pickle(model, tmp_path / "R-18.pkl")
    other = build_model(tiny_cfg("CenterNet", *options))
    with pytest.raises(UserError, match=r"missing[\s\S]*backbone\.res"):
        Checkpointer(other).load(path)


def test_no_weights_is_from_scratch(model):
    assert Checkpointer(model).load("") == {}


def test_missing_file_of_weights(tmp_path):
    (tmp_path / "model_final.pth").touch()
    with pytest.raises(UserError, match="model_finl.pth.*Did you mean.*model_final.pth.*scratch"):
        locate_weights(str(tmp_path / "model_finl.pth"))


def test_nothing_else_in_the_folder_is_suggested(tmp_path):
    (tmp_path / "model_final.txt").touch()
    with pytest.raises(UserError) as caught:
        locate_weights(str(tmp_path / "model_final.pth"))
    assert "txt" not in str(caught.value)


def test_missing_weights_of_torchvision(tmp_path):
    path = tmp_path / "torchvision-R-18.pkl"
    command = f"tools/convert-torchvision ResNet18_Weights.IMAGENET1K_V1 {path}"
    with pytest.raises(UserError, match=re.escape(f"Make it with: {command}")):
        locate_weights(str(path))


def test_weights_that_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    name = "ImageNetPretrained/torchvision/R-50.pkl"
    cached = tmp_path / "detectron2" / name
    with pytest.raises(UserError) as caught:
        locate_weights(f"detectron2://{name}")
    message = str(caught.value)
    assert "\n" not in message
    assert f'"detectron2://{name}"' in message
    assert f'"{cached}"' in message
    assert 'MODEL.WEIGHTS ""' in message
    # What it advises helps.
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.touch()
    assert locate_weights(f"detectron2://{name}") == f"detectron2://{name}"


def test_a_selector_alone_may_be_missing_where_it_alone_is_trained(tiny_cfg, model, tmp_path):
    path = save({"model": model.state_dict()}, tmp_path / "finished.pth")
    selector = ("MODEL.OneNet.SELECTOR.ENABLED", True)
    frozen = build_model(tiny_cfg("CenterNet", *selector, "MODEL.OneNet.SELECTOR.FREEZE", True))
    Checkpointer(frozen).load(path)
    assert frozen.head.cls_score.weight.equal(model.head.cls_score.weight)
    with pytest.raises(UserError, match=r"head\.selector\.output\.weight"):
        Checkpointer(build_model(tiny_cfg("CenterNet", *selector))).load(path)
    incomplete = {k: v for k, v in model.state_dict().items() if "cls_score" not in k}
    path = save({"model": incomplete}, tmp_path / "incomplete.pth")
    with pytest.raises(UserError, match=r"head\.cls_score\.weight"):
        Checkpointer(frozen).load(path)

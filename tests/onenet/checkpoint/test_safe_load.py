"""Files of other versions load; files that can run code do so only when they are named."""

import argparse
import pickle
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from onenet import UserError
from onenet.checkpoint.safe_load import check_pickle, load_torch_file
from onenet.engine import Checkpointer, check_weights

# What a trainer of each Detectron2 version saves beside the model.
SCHEDULER = {"base_lrs": [0.02, 0.02], "last_epoch": 89999}
TRAINER_STATES = {
    "0.1": {
        "scheduler": {
            **SCHEDULER, "milestones": (60000, 80000), "gamma": 0.1, "warmup_method": "linear",
            "_step_count": 90000, "_get_lr_called_within_step": False, "_last_lr": [0.0002],
        },
        "iteration": 89999,
    },
    "0.4": {"scheduler": SCHEDULER, "iteration": 89999},
    "0.5": {"trainer": {"iteration": 89999, "hooks": {"LRScheduler": SCHEDULER}}},
    "main": {
        "trainer": {
            "iteration": 89999,
            "hooks": {"LRScheduler": {**SCHEDULER, "milestones": Counter({60000: 1, 80000: 1})},
                      "BestCheckpointer": {"best_metric": np.float64(41.0), "best_iter": 5}},
            "_trainer": {"iteration": 89999, "optimizer": {"state": {}, "param_groups": []}},
        }
    },
}  # fmt: skip


@pytest.fixture
def model(tiny_cfg):
    return build_model(tiny_cfg())


@pytest.fixture
def weights(tiny_cfg):
    torch.manual_seed(1)
    return build_model(tiny_cfg()).state_dict()


def assert_loaded(model, weights):
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)


@pytest.mark.parametrize("version", TRAINER_STATES)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_checkpoints_of_detectron2(model, weights, tmp_path, version, zipped):
    """The files of before PyTorch 1.6 are no zip archives."""
    content = {"model": OrderedDict(weights), **TRAINER_STATES[version]}
    path = tmp_path / "model_final.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    Checkpointer(model).resume_or_load(str(path), resume=False)
    assert_loaded(model, weights)


def test_arrays_in_a_checkpoint(model, weights, tmp_path):
    arrays = {name: value.numpy() for name, value in weights.items()}
    torch.save({"model": arrays, "scores": np.arange(3.0)}, tmp_path / "model.pth")
    rest = Checkpointer(model).load(str(tmp_path / "model.pth"))
    assert_loaded(model, weights)
    assert rest["scores"].tolist() == [0, 1, 2]


def test_arrays_and_numbers_of_numpy_1(tmp_path):
    """Its modules had other names; here they are in a file of NumPy 2."""
    path = tmp_path / "model.pth"
    content = {"best": np.float32(0.5), "all": np.arange(4)}
    torch.save(content, path, _use_new_zipfile_serialization=False, pickle_protocol=2)
    old, new = b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"
    data = path.read_bytes()
    assert (old in data) != (new in data)
    path.write_bytes(data.replace(new, old) if new in data else data.replace(old, new))
    loaded = load_torch_file(str(path))
    assert (loaded["best"], loaded["all"].tolist()) == (0.5, [0, 1, 2, 3])


def test_pickles_of_the_model_zoo(model, weights, tmp_path):
    arrays = {name: value.numpy() for name, value in weights.items()}
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    Checkpointer(model).load(str(path))
    assert_loaded(model, weights)


def test_pickles_of_python_2(tmp_path):
    path = tmp_path / "R-50.pkl"
    path.write_bytes(b"\x80\x02}q\x00U\x05blobsq\x01}q\x02s.")  # {"blobs": {}} of byte strings
    check_pickle(str(path))


def save_foreign(weights, path):
    """A checkpoint with the command line in it, as many training scripts save it."""
    content = {"model": weights, "args": argparse.Namespace(lr=1), "__author__": "somebody"}
    if path.suffix == ".pth":
        torch.save(content, path)
    else:
        content["model"] = {name: value.numpy() for name, value in weights.items()}
        path.write_bytes(pickle.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", ["model.pth", "model.pkl"])
def test_other_objects_only_in_the_file_that_is_named(model, weights, tmp_path, name):
    path = save_foreign(weights, tmp_path / name)
    other = str(tmp_path / f"other_{name}")
    for unsafe_load in (None, "", other):
        with pytest.raises(UserError) as caught:
            Checkpointer(model, unsafe_load=unsafe_load).load(path)
        message = str(caught.value)
        assert "\n" not in message
        assert "argparse.Namespace" in message
        assert f'--unsafe-load "{path}"' in message
    rest = Checkpointer(model, unsafe_load=path).load(path)
    assert rest["args"].lr == 1
    assert_loaded(model, weights)


def test_the_trust_is_in_one_file(model, weights, tmp_path):
    first = save_foreign(weights, tmp_path / "first.pth")
    second = save_foreign(weights, tmp_path / "second.pth")
    checkpointer = Checkpointer(model, unsafe_load=first)
    checkpointer.load(first)
    with pytest.raises(UserError, match="could run code"):
        checkpointer.load(second)


def test_naming_another_file_is_a_mistake(tiny_cfg, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = tiny_cfg("CenterNet", "MODEL.WEIGHTS", save_foreign(weights, tmp_path / "model.pth"))
    with pytest.raises(UserError, match=r'--unsafe-load "modle.pth" is not.*model\.pth'):
        check_weights(cfg, unsafe_load="modle.pth")
    check_weights(cfg, unsafe_load="model.pth")  # however it is spelt


def test_unconverted_torchvision_weights(model, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save({"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=f"tools/convert-torchvision {path}"):
        Checkpointer(model).load(str(path))

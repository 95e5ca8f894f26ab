"""Data that tests of the package and of the programs share."""

import os
import subprocess
import sys
from dataclasses import replace
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def own_environment():
    """What a test, or a library in it, leaves in the environment does not reach the next one."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory):
    """A folder for DETECTRON2_DATASETS that holds digits_{train,val}, cut down to a few scenes."""
    from onenet.data.digits.build import SPECS, fingerprint, write_digits
    from onenet.data.made import STAMP

    root, spec = tmp_path_factory.mktemp("datasets"), SPECS[0]
    folder = spec.folder(root)
    write_digits(folder, replace(spec, scenes={"train": 8, "val": 4}))
    # It says that it is complete, so nobody makes it anew.
    (folder / STAMP).write_text(fingerprint(spec))
    return root


@pytest.fixture(scope="session")
def run_python(few_digits):
    """Run a Python program in a folder, to which the few scenes are all of the digits."""
    environment = {**os.environ, "DETECTRON2_DATASETS": str(few_digits), "OMP_NUM_THREADS": "1"}

    def run(folder, *arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def few_digits_names(few_digits):
    """The names under which the few scenes are registered in this process."""
    from onenet.data.digits.build import SPECS  # first: it makes an old Detectron2 importable

    # isort: split
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.data.datasets import register_coco_instances
    from onenet.data.digits.glyphs import CLASS_NAMES

    spec = SPECS[0]
    folder = spec.folder(few_digits)
    names = {split: f"few_digits_{split}" for split in spec.scenes}
    for split, name in names.items():
        json_file, images = spec.json_file(folder, split), spec.image_root(folder, split)
        register_coco_instances(name, {}, str(json_file), str(images))
        MetadataCatalog.get(name).thing_classes = list(CLASS_NAMES)
    yield names
    for name in names.values():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """Write the model of onnx_model.py with a card, by default one that is right; None: without."""
    from .onnx_model import CARD, make_model

    folder = tmp_path_factory.mktemp("models")

    def write(card=CARD, name="model.onnx"):
        path = folder / name
        path.write_bytes(make_model(card).SerializeToString())
        return path

    return write


@pytest.fixture
def explained():
    """Hold every explanation to what the rule does, whenever a rule runs in the test."""
    import torch
    from onenet import Assigner
    from torch.nn.modules.module import register_module_forward_hook

    explaining = []

    def check(module, arguments, assignment):
        if explaining or not isinstance(module, Assigner):
            return
        explaining.append(module)  # a rule may run itself to explain itself
        verdict = module.explain(*arguments).verdict
        assert torch.equal(verdict, assignment.dense_gt()), module
        explaining.pop()

    hook = register_module_forward_hook(check)
    yield
    hook.remove()

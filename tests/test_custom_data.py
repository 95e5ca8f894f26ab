"""The commands of docs/custom-data.md, taken from the page and run as they stand."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from onenet.data.coco.file import inspect_coco_file

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "custom-data.md"
# All that the page does not say: a tiny network without downloaded weights, and few iterations.
TINY = """
MODEL.WEIGHTS "" MODEL.BACKBONE.NAME build_basic_resnet_backbone MODEL.RESNETS.DEPTH 18
MODEL.RESNETS.STEM_OUT_CHANNELS 8 MODEL.RESNETS.RES2_OUT_CHANNELS 8
MODEL.OneNet.DECONV_CHANNEL [64,16,16,16] INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64
INPUT.CROP.ENABLED False DATALOADER.NUM_WORKERS 0 SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 3
SOLVER.STEPS (2,)
"""
FILE_NAME = re.compile(r"# (\S+)\n")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def commands():
    return [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder like that of the repository, after everything on the page has been done in it."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("train_net.py", "configs", "demo", "tools"):
        (folder / name).symlink_to(ROOT / name)
    for block in blocks("python") + blocks("yaml"):
        (folder / FILE_NAME.match(block)[1]).write_text(block)
    for command in commands():
        run(command, folder)
    return folder


def run(command, folder):
    program, script, *arguments = shlex.split(command)
    assert program == "python"
    if script == "train_net.py" and "--eval-only" not in arguments:
        arguments += shlex.split(TINY)
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def test_the_page_has_each_step():
    scripts = [shlex.split(command)[1] for command in commands()]
    assert scripts == [
        "make_shapes.py", "tools/visualize_data.py", "train_net.py", "train_net.py", "demo/demo.py",
    ]  # fmt: skip


def test_the_format_on_the_page_is_what_the_reader_takes(tmp_path):
    (block,) = blocks("json")
    (tmp_path / "a.json").write_text(block)
    assert inspect_coco_file(str(tmp_path / "a.json")).classes == {1: "disc", 2: "box"}


def test_samples_are_drawn(folder):
    assert len(list((folder / "output/shapes_samples").glob("*.png"))) == 4


def test_trained_and_evaluated_with_the_classes_of_the_dataset(folder):
    config = yaml.safe_load((folder / "output/shapes/config.yaml").read_text())
    assert config["MODEL"]["OneNet"]["NUM_CLASSES"] == 2
    metrics = {}
    for line in (folder / "output/shapes/metrics.json").read_text().splitlines():
        metrics.update(json.loads(line))
    assert {"total_loss", "bbox/AP", "bbox/AP-disc", "bbox/AP-box", "bbox_nms/AP"} <= metrics.keys()


def test_a_picture_was_searched(folder):
    assert (folder / "output/found/val_1.png").stat().st_size > 0

"""Quick schedules in Detectron2's manner: an instant test of every recipe; small ones run here."""

from pathlib import Path

import pytest
from assigners import add_assigners_config
from onenet.data.digits.build import SPECS
from onenet.engine import Trainer, check_run, final_results, read_metrics, setup_cfg

from .config_tree import flatten

ROOT = Path(__file__).parents[1] / "configs"
FOLDERS = (".", "digits", "trees")
SUFFIX = "_instant_test"
INSTANT = sorted(ROOT.rglob(f"onenet_*{SUFFIX}.yaml"))
# What an instant test may say otherwise than its recipe.
CHANGED = {
    "DATALOADER.NUM_WORKERS",
    "DATASETS.TEST",
    "DATASETS.TRAIN",
    "OUTPUT_DIR",
    "SOLVER.CHECKPOINT_PERIOD",
    "SOLVER.IMS_PER_BATCH",
    "SOLVER.MAX_ITER",
    "SOLVER.STEPS",
    "SOLVER.WARMUP_ITERS",
    "TEST.EVAL_PERIOD",
}
MAX_ITER = 40  # of Detectron2's own


def load(path, *opts):
    return setup_cfg(str(path), ["MODEL.DEVICE", "cpu", *opts], add_configs=[add_assigners_config])


def recipe_of(path):
    return path.parents[1] / path.name.replace(SUFFIX, "")


def named(path):
    return str(path.relative_to(ROOT))


def test_every_recipe_has_one():
    recipes = {path for folder in FOLDERS for path in (ROOT / folder).glob("onenet_*.yaml")}
    assert set(map(recipe_of, INSTANT)) == recipes


@pytest.mark.parametrize("path", INSTANT, ids=named)
def test_it_differs_in_schedule_and_data_alone(path):
    cfg = load(path)
    values, recipe = dict(flatten(cfg)), dict(flatten(load(recipe_of(path))))
    assert {key for key in values if values[key] != recipe[key]} <= CHANGED
    assert cfg.SOLVER.MAX_ITER <= MAX_ITER
    assert cfg.TEST.EVAL_PERIOD < cfg.SOLVER.MAX_ITER  # it evaluates in between, too
    assert not {"coco_2017_train", "crowdhuman_train"} & set(cfg.DATASETS.TRAIN)


@pytest.mark.parametrize(
    "path", [p for p in INSTANT if {"digits", "trees"} & set(p.parts)], ids=lambda path: path.stem
)
def test_it_runs_from_end_to_end(path, few_digits, tmp_path):
    spec = SPECS[0]
    digits = spec.folder(few_digits)
    own = [
        [
            f"instant_{split}",
            str(spec.json_file(digits, split)),
            str(spec.image_root(digits, split)),
        ]
        for split in spec.scenes
    ]
    data = ["DATASETS.TRAIN", ("instant_train",), "DATASETS.TEST", ("instant_val",)]
    if "trees" in path.parts:  # scenes are smaller, and a package has the weights
        data += ["MODEL.OneNet.NUM_CLASSES", 0, "MODEL.TIMM.WEIGHTS", ""]
        data += ["INPUT.MIN_SIZE_TRAIN", (160,), "INPUT.MIN_SIZE_TEST", 160]
    cfg = load(path, "OUTPUT_DIR", str(tmp_path), "DATASETS.REGISTER", own, *data)
    check_run(cfg)
    Trainer(cfg).train()
    results = final_results(read_metrics(tmp_path), cfg.SOLVER.MAX_ITER)
    assert {"bbox/AP", "bbox_nms/AP", "nms_diagnosis/nms_gap"} <= results.keys()
    assert (tmp_path / "model_final.pth").exists()


ACC_SUFFIX = "_training_acc_test"
ACCURACY = sorted(ROOT.rglob(f"onenet_*{ACC_SUFFIX}.yaml"))


@pytest.mark.parametrize("path", ACCURACY, ids=named)
def test_an_accuracy_test_expects_an_accuracy(path):
    expected = {(task, metric) for task, metric, *_ in load(path).TEST.EXPECTED_RESULTS}
    assert {("bbox", "AP"), ("bbox_nms", "AP")} <= expected
    assert load(path).SOLVER == load(path.parents[1] / path.name.replace(ACC_SUFFIX, "")).SOLVER


def test_every_digits_recipe_has_an_accuracy_test():
    recipes = {path.name for path in (ROOT / "digits").glob("onenet_*.yaml")}
    assert {path.name.replace(ACC_SUFFIX, "") for path in ACCURACY} == recipes

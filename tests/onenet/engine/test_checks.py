import json
import logging
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from onenet import UserError
from onenet.engine import Checkpointer, check_run
from onenet.engine.checks import check_batch


def test_passes_and_leaves_nothing(digits_cfg, caplog):
    digits_cfg.DATASETS.TEST = digits_cfg.DATASETS.TRAIN
    with caplog.at_level(logging.INFO):
        check_run(digits_cfg)
        check_run(digits_cfg, resume=True)
    assert not Path(digits_cfg.OUTPUT_DIR).exists()
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("DATASETS.TRAIN", "()"), ["DATASETS.TRAIN"]),
        (("DATASETS.TRAIN", "('few_digits_trian',)"), ["few_digits_trian", "few_digits_train"]),
        (("DATASETS.TEST", "('coco_2017_val',)"), ["coco_2017_val", "DETECTRON2_DATASETS"]),
        (("MODEL.OneNet.NUM_CLASSES", "80"), ["NUM_CLASSES", "80", "10"]),
        (("MODEL.WEIGHTS", "nowhere.pth"), ["nowhere.pth", 'MODEL.WEIGHTS ""']),
        (("MODEL.OneNet.IN_FEATURES", "['res2', 'res3', 'res4', 'res6']"), ["IN_FEATURES", "res6"]),
        (("SOLVER.LR_SCHEDULER_NAME", "WarmupCosine"), ["WarmupCosine", "WarmupCosineLR"]),
        (("SOLVER.WARMUP_METHOD", "slow"), ["slow"]),
        (("SOLVER.ACCUMULATE", "3"), ["ACCUMULATE 3", "2 images"]),
        (("SOLVER.ACCUMULATE", "0"), ["ACCUMULATE 0"]),
        (("SOLVER.AMP.PRECISION", "bf16"), ["SOLVER.AMP.PRECISION", "bf16", "bfloat16"]),
        (("DATALOADER.SAMPLER_TRAIN", "Sampler"), ["SAMPLER_TRAIN", "Sampler", "TrainingSampler"]),
    ],
    ids=lambda value: value[0],
)
def test_mistakes_are_told_in_one_line_before_any_output(
    digits_cfg, few_digits_names, monkeypatch, tmp_path, change, named
):
    monkeypatch.chdir(tmp_path)
    digits_cfg.merge_from_list(list(change))
    with pytest.raises(UserError) as caught:
        check_run(digits_cfg)
    message = str(caught.value)
    assert "\n" not in message
    for name in named:
        assert name in message
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def save_weights(digits_cfg, tmp_path):
    """Save what begins so of a model's weights, and name the file as MODEL.WEIGHTS."""

    def save(prefix="", cfg=digits_cfg):
        path = str(tmp_path / "weights.pth")
        weights = build_model(cfg).state_dict()
        torch.save({"model": {n: w for n, w in weights.items() if n.startswith(prefix)}}, path)
        digits_cfg.MODEL.WEIGHTS = path

    return save


def test_eval_only_needs_test_data_alone(digits_cfg, save_weights):
    save_weights()
    digits_cfg.DATASETS.TEST, digits_cfg.DATASETS.TRAIN = digits_cfg.DATASETS.TRAIN, ("nowhere",)
    check_run(digits_cfg, eval_only=True)
    digits_cfg.DATASETS.TEST = ()
    with pytest.raises(UserError, match=r"DATASETS\.TEST"):
        check_run(digits_cfg, eval_only=True)


@pytest.fixture
def save_named(digits_cfg, tmp_path):
    """Save a checkpoint of a run in OUTPUT_DIR that calls its classes so."""

    def save(names):
        Path(digits_cfg.OUTPUT_DIR).mkdir(exist_ok=True)
        model = build_model(digits_cfg)
        Checkpointer(model, digits_cfg.OUTPUT_DIR, class_names=names).save("model_final")
        digits_cfg.MODEL.WEIGHTS = f"{digits_cfg.OUTPUT_DIR}/model_final.pth"

    return save


def test_weights_that_know_the_classes_in_another_order(digits_cfg, save_named):
    digits_cfg.DATASETS.TEST = digits_cfg.DATASETS.TRAIN
    save_named([*"1023456789"])
    for how in ({"eval_only": True}, {"resume": True}):
        with pytest.raises(UserError, match='know "1" as class number 0, .* as number 1;'):
            check_run(digits_cfg, **how)
    check_run(digits_cfg)  # to train them for other classes is no mistake


def test_weights_that_call_the_classes_otherwise(digits_cfg, save_named):
    digits_cfg.DATASETS.TEST = digits_cfg.DATASETS.TRAIN
    save_named(["zero", "one", *"23456789"])
    check_run(digits_cfg, eval_only=True)
    check_run(digits_cfg, resume=True)


@pytest.fixture
def incomplete(few_digits, tmp_path):
    """Two images of which the second is not there; the name of the dataset."""
    file = few_digits / "digits/annotations/digits_val.json"
    images = tmp_path / "some"
    images.mkdir()
    (images / "000000.png").touch()
    content = json.loads(file.read_text())
    content["images"] = content["images"][:2]
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] <= 2]
    path = tmp_path / "some.json"
    path.write_text(json.dumps(content))
    register_coco_instances("incomplete", {}, str(path), str(images))
    yield "incomplete"
    DatasetCatalog.remove("incomplete")
    MetadataCatalog.remove("incomplete")


@pytest.mark.parametrize("key", ["TRAIN", "TEST"])
def test_a_missing_image_of_any_dataset(digits_cfg, incomplete, key):
    digits_cfg.DATASETS[key] = (*digits_cfg.DATASETS[key], incomplete)
    with pytest.raises(UserError, match=r'incomplete": 1 of \d+ images.*000001\.png'):
        check_run(digits_cfg)


def test_a_test_set_that_does_not_tell_its_classes(digits_cfg, few_digits_names):
    load = DatasetCatalog[few_digits_names["val"]]
    DatasetCatalog.register("silent", load)
    digits_cfg.DATASETS.TEST = ("silent",)
    try:
        with pytest.raises(UserError, match='"silent" of DATASETS.TEST.*thing_classes'):
            check_run(digits_cfg)
    finally:
        DatasetCatalog.remove("silent")


def test_images_that_training_leaves_out_may_be_missing(digits_cfg, incomplete):
    path = Path(MetadataCatalog.get(incomplete).json_file)
    content = json.loads(path.read_text())
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] == 1]
    path.write_text(json.dumps(content))
    digits_cfg.DATASETS.TRAIN = (incomplete,)
    check_run(digits_cfg)  # DATALOADER.FILTER_EMPTY_ANNOTATIONS


def test_nothing_to_learn(digits_cfg, few_digits_names, incomplete):
    path = Path(MetadataCatalog.get(incomplete).json_file)
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    digits_cfg.DATASETS.TRAIN = (incomplete,)
    digits_cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    with pytest.raises(UserError, match=r"DATASETS\.TRAIN.*no image with a box to train on"):
        check_run(digits_cfg)


@pytest.mark.parametrize("weights", ["", "detectron2://ImageNetPretrained/torchvision/R-50.pkl"])
def test_eval_only_needs_trained_weights(digits_cfg, monkeypatch, weights):
    digits_cfg.DATASETS.TEST, digits_cfg.MODEL.WEIGHTS = digits_cfg.DATASETS.TRAIN, weights
    for resume in (False, True):
        with pytest.raises(UserError, match=f'MODEL.WEIGHTS "{weights}" is no trained detector'):
            check_run(digits_cfg, eval_only=True, resume=resume)
    monkeypatch.setattr(META_ARCH_REGISTRY, "get", lambda name: None)  # it cannot be built
    with pytest.raises(UserError, match="is no trained detector"):
        check_run(digits_cfg, eval_only=True)


@pytest.mark.parametrize("allow_partial", [False, True])
def test_eval_only_needs_more_than_a_backbone(digits_cfg, save_weights, allow_partial):
    digits_cfg.DATASETS.TEST = digits_cfg.DATASETS.TRAIN
    save_weights("backbone.")
    check_run(digits_cfg)
    with pytest.raises(UserError, match=r'weights.pth" is no trained detector'):
        check_run(digits_cfg, eval_only=True, allow_partial=allow_partial)


def test_weights_of_another_model(digits_cfg, tiny_cfg, save_weights):
    save_weights(cfg=tiny_cfg())
    with pytest.raises(UserError, match=r"another model[\s\S]*head.cls_score.weight"):
        check_run(digits_cfg)
    check_run(digits_cfg, allow_partial=True)


def test_resume_does_not_need_the_first_weights(digits_cfg, tmp_path):
    digits_cfg.MODEL.WEIGHTS, digits_cfg.OUTPUT_DIR = "nowhere.pth", str(tmp_path)
    torch.save(build_model(digits_cfg).state_dict(), tmp_path / "model_0000001.pth")
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    check_run(digits_cfg, resume=True)
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        check_run(digits_cfg, resume=False)
    (tmp_path / "last_checkpoint").write_text("model_0000002.pth")
    with pytest.raises(UserError, match=r'last_checkpoint".*model_0000002\.pth".*--resume'):
        check_run(digits_cfg, resume=True)


def test_a_model_that_cannot_be_built_without_weights_is_checked_later(digits_cfg, monkeypatch):
    def build(cfg):
        return torch.zeros(1).item()

    monkeypatch.setattr(META_ARCH_REGISTRY, "get", lambda name: build)
    digits_cfg.MODEL.WEIGHTS = "nowhere.pth"
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        check_run(digits_cfg)


@pytest.mark.parametrize(
    ("options", "num_processes", "named"),
    [
        (["SOLVER.IMS_PER_BATCH", 6], 4, ["IMS_PER_BATCH 6", "4 processes"]),
        (["SOLVER.IMS_PER_BATCH", 6, "SOLVER.REFERENCE_WORLD_SIZE", 4], 3, ["4 processes"]),
        (["SOLVER.IMS_PER_BATCH", 8, "SOLVER.ACCUMULATE", 4], 4, ["ACCUMULATE 4", "2 images"]),
        (
            ["SOLVER.ACCUMULATE", 2, "MODEL.META_ARCHITECTURE", "RetinaNet"],
            1,
            ["ACCUMULATE 2", "RetinaNet"],
        ),
        (
            ["SOLVER.COMPILE", True, "MODEL.META_ARCHITECTURE", "RetinaNet"],
            1,
            ["COMPILE", "RetinaNet"],
        ),
    ],
)
def test_a_batch_that_cannot_be_dealt_out(digits_cfg, options, num_processes, named):
    digits_cfg.merge_from_list(options)
    with pytest.raises(UserError) as caught:
        check_run(digits_cfg, num_processes=num_processes)
    assert all(name in str(caught.value) for name in named)


def test_batches_that_can_be_dealt_out(digits_cfg):
    digits_cfg.SOLVER.IMS_PER_BATCH, digits_cfg.SOLVER.ACCUMULATE = 12, 3
    check_batch(digits_cfg, num_processes=2)
    digits_cfg.SOLVER.REFERENCE_WORLD_SIZE = 4
    check_batch(digits_cfg, num_processes=5)

import copy
import json
import logging
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import HookBase
from detectron2.utils import comm
from onenet import UserError
from onenet.engine import Trainer, read_metrics

pytestmark = pytest.mark.numeric


class StopAfter(HookBase):
    """Stands for somebody who interrupts the run after so many iterations."""

    def __init__(self, iterations):
        self.iterations = iterations

    def after_step(self):
        if self.trainer.iter + 1 == self.iterations:
            raise KeyboardInterrupt


def optimizer_state(trainer):
    return copy.deepcopy(trainer.optimizer.state_dict())


def learning_rates(trainer):
    return [(iteration, lr) for lr, iteration in trainer.storage.history("lr").values()]


@pytest.fixture
def cfg(digits_cfg):
    digits_cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    digits_cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    digits_cfg.SOLVER.BACKBONE_MULTIPLIER = 0.5
    Path(digits_cfg.OUTPUT_DIR).mkdir()
    return digits_cfg


def test_train_stop_resume(cfg):
    whole = cfg.clone()
    whole.OUTPUT_DIR += "/whole"
    Path(whole.OUTPUT_DIR).mkdir()
    torch.manual_seed(0)
    uninterrupted = Trainer(whole)
    uninterrupted.train()

    torch.manual_seed(0)
    stopped = Trainer(cfg)
    stopped.register_hooks([StopAfter(2)])
    with pytest.raises(KeyboardInterrupt):
        stopped.train()

    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    assert resumed.scheduler.last_epoch == stopped.scheduler.last_epoch == 2
    torch.testing.assert_close(resumed.model.state_dict(), stopped.model.state_dict())
    torch.testing.assert_close(optimizer_state(resumed), optimizer_state(stopped))

    resumed.train()
    assert learning_rates(stopped) + learning_rates(resumed) == learning_rates(uninterrupted)
    steps = {float(state["step"]) for state in optimizer_state(resumed)["state"].values()}
    assert steps == {4.0}
    for name, weight in uninterrupted.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight)


def test_without_resume_a_run_begins_anew(cfg):
    Trainer(cfg).train()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    assert trainer.start_iter == 0


def test_checkpoints_are_of_plain_tensors_and_numbers(cfg):
    Trainer(cfg).train()
    loaded = torch.load(Path(cfg.OUTPUT_DIR, "model_final.pth"), weights_only=True)
    assert loaded["iteration"] == 3
    assert set(loaded["trainer"]) >= {"iteration", "_trainer"}


def test_a_run_writes_losses_and_assignment_statistics(cfg):
    trainer = Trainer(cfg)
    trainer.train()
    assert trainer.storage.history("total_loss").latest() > 0
    assert trainer.storage.history("assign/positives_per_gt").values() == [(1.0, 3)]


def test_the_description_of_the_assignment_is_ready_when_it_is_written(cfg):
    hooks = [type(hook).__name__ for hook in Trainer(cfg)._hooks]
    assert hooks.index("AssignmentStatistics") < hooks.index("PeriodicWriter")


def test_evaluation_reports_without_and_with_nms(cfg, few_digits_names, caplog):
    cfg.DATASETS.TEST = (few_digits_names["val"],)
    model = Trainer.build_model(cfg)
    with caplog.at_level(logging.INFO):
        results = Trainer.test(cfg, model)
    assert {"bbox", "bbox_nms", "nms_diagnosis"} <= set(results)
    assert "| with NMS 0.6 |" in caplog.text  # among candidates, not among the best detections
    assert not model.offered_candidates


def test_the_best_weights_of_a_run_are_kept(cfg, few_digits_names):
    cfg.DATASETS.TEST = (few_digits_names["val"],)
    cfg.TEST.EVAL_PERIOD = 2
    trainer = Trainer(cfg)
    trainer.train()
    best = torch.load(Path(cfg.OUTPUT_DIR, "model_best.pth"), weights_only=True)
    history = trainer.storage.history("bbox/AP").values()
    evaluations = {iteration: ap for ap, iteration in history}
    assert set(evaluations) == {1, 4}
    assert best["metrics"]["bbox/AP"] == evaluations[best["iteration"]] == max(evaluations.values())
    assert Path(cfg.OUTPUT_DIR, "last_checkpoint").read_text() == "model_final.pth"


def test_an_evaluation_that_fails_loses_nothing(cfg, few_digits_names, monkeypatch, caplog):
    cfg.DATASETS.TEST = (few_digits_names["val"],)
    cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD = 3, 4

    def fail(*args):
        raise UserError("a picture is broken")

    monkeypatch.setattr(Trainer, "test", fail)
    trainer = Trainer(cfg)
    with pytest.raises(UserError, match="a picture is broken"):
        trainer.train()
    assert "--resume" in caplog.text
    monkeypatch.undo()
    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 3
    torch.testing.assert_close(resumed.model.state_dict(), trainer.model.state_dict())
    torch.testing.assert_close(optimizer_state(resumed), optimizer_state(trainer))
    resumed.train()
    assert [iteration for _, iteration in resumed.storage.history("bbox/AP").values()] == [2, 4]


def test_a_failure_of_the_last_evaluation_adds_no_checkpoint(cfg, few_digits_names, monkeypatch):
    cfg.DATASETS.TEST = (few_digits_names["val"],)

    def fail(*args):
        raise UserError("a picture is broken")

    monkeypatch.setattr(Trainer, "test", fail)
    with pytest.raises(UserError, match="a picture is broken"):
        Trainer(cfg).train()
    assert Path(cfg.OUTPUT_DIR, "last_checkpoint").read_text() == "model_final.pth"


def test_what_is_wrong_with_a_test_set_is_told_before_training(cfg, few_digits_names, caplog):
    path = Path(cfg.OUTPUT_DIR, "val.json")
    content = json.loads(Path(MetadataCatalog.get(few_digits_names["val"]).json_file).read_text())
    content["annotations"][0]["bbox"] = [5, 5, 0, 0]
    path.write_text(json.dumps(content))
    register_coco_instances("with_an_empty_box", {}, str(path), cfg.OUTPUT_DIR)
    cfg.DATASETS.TEST = ("with_an_empty_box",)
    Trainer(cfg)
    DatasetCatalog.remove("with_an_empty_box")
    MetadataCatalog.remove("with_an_empty_box")
    assert f'"with_an_empty_box": 1 of {len(content["annotations"])} boxes' in caplog.text


def test_a_run_that_was_killed_in_its_last_evaluation(cfg, few_digits_names):
    cfg.DATASETS.TEST = (few_digits_names["val"],)
    whole = Trainer(cfg)
    whole.resume_or_load(resume=False)
    whole.train()
    expected = read_metrics(cfg.OUTPUT_DIR)
    for again in (True, False):  # killed before its result was logged, and after it
        path = Path(cfg.OUTPUT_DIR, "metrics.json")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-1] if again else lines))
        resumed = Trainer(cfg)
        resumed.resume_or_load(resume=True)
        resumed.train()
        assert len(path.read_text().splitlines()) == len(lines)
        found = read_metrics(cfg.OUTPUT_DIR)
        assert [r["iteration"] for r in found] == [r["iteration"] for r in expected]
        assert found[-1]["bbox/AP"] == pytest.approx(expected[-1]["bbox/AP"], nan_ok=True)


def test_folders_that_differ_between_machines(cfg, monkeypatch):
    monkeypatch.setattr(comm, "all_gather", lambda start: [start, start + 2])
    with pytest.raises(UserError, match="OUTPUT_DIR .* is not the same folder"):
        Trainer(cfg).resume_or_load(resume=True)


@pytest.mark.parametrize("clip", [False, True])
def test_a_loss_that_is_not_finite_tells_what_to_try(cfg, clip):
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = clip
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.CHECKPOINT_PERIOD = 1e-5, 7, 1
    trainer = Trainer(cfg)

    class Spoil(HookBase):
        def before_step(self):
            if self.trainer.iter == 2:
                next(self.trainer.model.parameters()).data.fill_(float("nan"))

    trainer.register_hooks([Spoil()])
    with pytest.raises(UserError) as caught:
        trainer.train()
    message = str(caught.value)
    assert "diverged" in message and "NaN in iteration 3 of 4" in message and "\n" not in message
    assert "SOLVER.BASE_LR lower than 1e-05" in message
    assert "more SOLVER.WARMUP_ITERS than 7" in message
    assert ("SOLVER.CLIP_GRADIENTS.ENABLED True" in message) == (not clip)
    assert f'"{cfg.OUTPUT_DIR}/model_0000001.pth"' in message
    assert not Path(cfg.OUTPUT_DIR, "model_final.pth").exists()

from dataclasses import replace

import pytest
import torch
from assigners import add_assigners_config
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, UserError
from onenet.engine import check_run
from onenet.engine.accumulation import AccumulatingAMPTrainer, one_normalizer
from onenet.engine.stages import check_stages

from .first_step import FrozenTrainer, first_step, max_relative_error


def one_step(cfg, parts):
    """Gradients and logged losses of a step."""
    cfg = cfg.clone()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.ACCUMULATE = 1, parts
    seen = first_step(cfg)
    return seen.gradients, seen.losses


@pytest.fixture
def cfg(digits_cfg, tmp_path):
    digits_cfg.OUTPUT_DIR = str(tmp_path)
    digits_cfg.SOLVER.IMS_PER_BATCH = 4
    digits_cfg.SOLVER.WARMUP_ITERS = 0
    digits_cfg.SOLVER.STEPS = ()
    digits_cfg.SOLVER.OPTIMIZER = "SGD"
    return digits_cfg


@pytest.mark.parametrize("assigner", ["MinCost", "ATSS", "MaxIoU"])
@pytest.mark.parametrize("clip", [False, True])
def test_parts_equal_the_whole_batch(cfg, assigner, clip):
    add_assigners_config(cfg)
    cfg.MODEL.OneNet.ASSIGNER.NAME = assigner
    cfg.MODEL.OneNet.NUM_STAGES = 2
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = clip
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    whole, losses = one_step(cfg, parts=1)
    for parts in (2, 4):
        gradients, parted_losses = one_step(cfg, parts)
        assert max_relative_error(gradients, whole) < 1e-5
        assert parted_losses == pytest.approx(losses, rel=1e-5)
    assert max(gradient.abs().max() for gradient in whole.values()) > 1e-2
    if clip:
        norm = torch.stack([gradient.norm() for gradient in whole.values()]).norm()
        assert norm == pytest.approx(1.0, abs=1e-3)


def test_the_usual_normalizer_comes_back(cfg):
    model = FrozenTrainer.build_model(cfg)
    usual = model.criterion.normalizer
    with pytest.raises(KeyboardInterrupt), one_normalizer(model, 4):
        assert model.criterion.normalizer is not usual
        raise KeyboardInterrupt
    assert model.criterion.normalizer is usual


class ConfidentOnes(Assigner):
    """Its denominator, the number of confident samples, is another one for each stage."""

    def __init__(self, cfg):
        super().__init__()

    def forward(self, priors, predictions, gt):
        zeros = torch.zeros(len(gt.valid), len(priors))
        confident = (predictions.logits > 0).sum().float()
        return Assignment(zeros.long(), zeros.long(), zeros, zeros, normalizer=confident)


@pytest.fixture
def confident_ones():
    ASSIGNER_REGISTRY.register(ConfidentOnes)
    yield "ConfidentOnes"
    del ASSIGNER_REGISTRY._obj_map["ConfidentOnes"]


@pytest.mark.parametrize("assigner", ["MinCost", "ATSS", "MaxIoU", "CenterNet"])
def test_stages_of_every_assigner_here_agree(cfg, assigner):
    add_assigners_config(cfg)
    cfg.MODEL.OneNet.ASSIGNER.NAME = assigner
    cfg.MODEL.OneNet.NUM_STAGES, cfg.SOLVER.ACCUMULATE = 3, 2
    check_stages(cfg)


def test_stages_that_disagree_are_refused_before_training(cfg, confident_ones):
    cfg.MODEL.OneNet.ASSIGNER.NAME = confident_ones
    cfg.MODEL.OneNet.NUM_STAGES, cfg.SOLVER.ACCUMULATE = 2, 2
    with pytest.raises(UserError) as caught:
        check_run(cfg)
    message = str(caught.value)
    assert "\n" not in message
    for named in ("SOLVER.ACCUMULATE 2", '"ConfidentOnes"', "MODEL.OneNet.NUM_STAGES 1"):
        assert named in message
    for key in ("MODEL.OneNet.NUM_STAGES", "SOLVER.ACCUMULATE"):
        alone = cfg.clone()
        alone.merge_from_list([key, 1])
        check_run(alone)


def test_stages_that_disagree_only_later_are_refused_then(make_problem):
    problem = make_problem()
    model = torch.nn.Module()
    model.criterion = torch.nn.Module()
    model.criterion.normalizer = None
    zeros = torch.zeros(3, 1)
    stage = Assignment(zeros.long(), zeros.long(), zeros, zeros, normalizer=torch.tensor(2.0))
    with one_normalizer(model, 3) as normalizer:
        for _ in range(2):
            normalizer(stage, problem.gt)
            normalizer(replace(stage, normalizer=torch.tensor(3.0)), problem.gt)
        with pytest.raises(UserError, match=r"ACCUMULATE 2 .*NUM_STAGES 1"):
            normalizer.correction(num_parts=2)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_gradients_are_unscaled_before_the_update(cfg, monkeypatch):
    """AMP needs a GPU; what it does beside autocast does not."""

    class OnCPU(AccumulatingAMPTrainer):
        def __init__(self, *arguments, **options):
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
            super().__init__(*arguments, grad_scaler=scaler, **options)

    whole, losses = one_step(cfg, parts=1)
    monkeypatch.setattr("onenet.engine.trainer.AccumulatingTrainer", OnCPU)
    gradients, parted_losses = one_step(cfg, parts=2)
    assert max_relative_error(gradients, whole) < 1e-5
    assert parted_losses == pytest.approx(losses, rel=1e-5)

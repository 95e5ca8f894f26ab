import pytest
import torch
from assigners import add_assigners_config
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, UserError
from onenet.criterion import Normalizer
from onenet.engine import AMPStep

from .first_step import first_step, max_relative_error

pytestmark = pytest.mark.numeric


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


def test_an_expected_denominator_that_stays_is_noticed(cfg, monkeypatch):
    whole, losses = one_step(cfg, parts=1)
    monkeypatch.setattr("onenet.criterion.normalizer.Parts.correction", lambda parts: 1.0)
    gradients, parted_losses = one_step(cfg, parts=2)
    assert max_relative_error(gradients, whole) > 1e-2
    assert all(parted_losses[name] != pytest.approx(losses[name], rel=1e-2) for name in losses)


def test_a_batch_in_parts_ends_with_an_error_too(make_problem):
    normalizer, problem = Normalizer(), make_problem(objects=(3, 2))
    with pytest.raises(KeyboardInterrupt), normalizer.in_parts(2):
        raise KeyboardInterrupt
    assert normalizer(objects(), problem.gt) == 5


def test_denominators_meanwhile_are_near_the_final_one(make_problem):
    """Gradients in half precision must not be larger than they are with the whole batch."""
    normalizer = Normalizer()
    first, second = make_problem(objects=(30, 10)), make_problem(objects=(20, 0))
    with normalizer.in_parts(2) as parts:
        assert normalizer(objects(), first.gt) == normalizer(objects(), second.gt) == 80
        assert parts.correction() == 80 / 60


def objects():
    """An assignment that is normalised by the number of objects."""
    zeros = torch.zeros(2, 1)
    return Assignment(zeros.long(), zeros.long(), zeros, zeros)


class ConfidentOnes(Assigner):
    """Its denominator, the number of confident samples, is another one for each branch."""

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


def test_branches_that_disagree_are_refused_in_the_first_step(cfg, confident_ones):
    cfg.MODEL.OneNet.ASSIGNER.NAME = confident_ones
    cfg.MODEL.OneNet.NUM_STAGES = 2
    with pytest.raises(UserError, match=r"SOLVER.ACCUMULATE 1, or MODEL.OneNet.NUM_STAGES 1"):
        one_step(cfg, parts=2)
    one_step(cfg, parts=1)
    cfg.MODEL.OneNet.NUM_STAGES = 1
    one_step(cfg, parts=2)


def test_gradients_are_unscaled_before_the_update(cfg, monkeypatch):
    """What AMP does beside autocast, for which the model would have to be in float32."""

    class Scaled(AMPStep):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, device="cpu", precision=torch.float16, **options)

        def _forward(self, part):
            return self.model(part)

    whole, losses = one_step(cfg, parts=1)
    monkeypatch.setattr("onenet.engine.trainer.Step", Scaled)
    gradients, parted_losses = one_step(cfg, parts=2)
    assert max_relative_error(gradients, whole) < 1e-5
    assert parted_losses == pytest.approx(losses, rel=1e-5)

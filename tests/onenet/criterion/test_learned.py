"""Rules with losses and parameters of their own in a detector."""

import assigners
import pytest
import torch
import torch.distributed as dist
from detectron2.modeling import build_model
from onenet import ConfigError, UserError
from onenet.checkpoint.checkpointer import Checkpointer
from onenet.criterion import CRITERION_REGISTRY, build_criterion, rule_names
from onenet.engine import AssignmentTime
from onenet.engine.optimizer import parameter_groups
from onenet.inspection.positives import positive_samples
from onenet.visualization import build_variant, look_at
from torch.nn.parallel import DistributedDataParallel

from ...refused import REFUSED

NAMES = [name for name, _ in CRITERION_REGISTRY if ("FCOS", name) not in REFUSED]
RULE = "MODEL.OneNet.ASSIGNER.NAME"


@pytest.fixture
def build(tiny_cfg):
    def make(*options, head="FCOS"):
        cfg = tiny_cfg(head)
        assigners.add_assigners_config(cfg)
        cfg.merge_from_list(list(options))
        return cfg, build_model(cfg)

    return make


def test_the_name_selects_either_kind():
    assert {"MinCost", "FreeAnchor", "AutoAssign", "SAPD"} <= set(rule_names())


@pytest.mark.parametrize("name", NAMES)
def test_its_parameters_are_trained_and_saved(build, make_inputs, name, tmp_path):
    cfg, model = build(RULE, name)
    criterion = dict(model.criterion.named_parameters())
    grouped = {id(p) for group in parameter_groups(model, cfg.SOLVER) for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters()}
    for parameter in criterion.values():
        torch.nn.init.uniform_(parameter)
    Checkpointer(model, str(tmp_path)).save("model")
    other = build(RULE, name)[1]
    Checkpointer(other).load(str(tmp_path / "model.pth"))
    for key, parameter in other.criterion.named_parameters():
        assert torch.equal(parameter, criterion[key])


def test_a_rule_may_be_changed_between_runs(build, tmp_path):
    """What it has learnt is no part of the detector."""
    for first, second in (("AutoAssign", "MinCost"), ("MinCost", "AutoAssign")):
        Checkpointer(build(RULE, first)[1], str(tmp_path)).save(first)
        Checkpointer(build(RULE, second)[1]).load(str(tmp_path / f"{first}.pth"))


@pytest.mark.parametrize("name", NAMES)
def test_detection_has_no_use_for_it(build, make_inputs, name):
    _, model = build(RULE, name)
    model.eval()
    expected = [x["instances"].scores for x in model(make_inputs())]
    for parameter in model.criteria.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    found = [x["instances"].scores for x in model(make_inputs())]
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("name", NAMES)
def test_parallel_training_finds_every_parameter_used(build, make_inputs, name, tmp_path):
    _, model = build(RULE, name)
    dist.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(model)
        for objects in ((0, 0), (2, 0), (0, 0)):  # the second call raises where one was not used
            sum(parallel(make_inputs(objects)).values()).backward()
    finally:
        dist.destroy_process_group()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_an_auxiliary_branch_has_its_own(build, make_inputs, name):
    _, model = build("MODEL.OneNet.AUX.ASSIGNER", name, "MODEL.OneNet.AUX.WEIGHT", [0.5, 0.5])
    _, alone = build(RULE, name)
    losses, names = model(make_inputs()), alone(make_inputs())
    assert {f"{key}_aux" for key in names} | {"loss_ce", "loss_giou", "loss_bbox"} == set(losses)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.criteria["aux"].parameters())


@pytest.mark.parametrize("name", NAMES)
def test_beside_a_selector(build, make_inputs, name):
    _, model = build(RULE, name, "MODEL.OneNet.SELECTOR.ENABLED", True)
    losses = model(make_inputs())
    assert "loss_selection" in losses and any(key.endswith("_dense") for key in losses)
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_no_rule_for_a_selector(build, name):
    options = "MODEL.OneNet.SELECTOR.ENABLED", True, "MODEL.OneNet.SELECTOR.ASSIGNER", name
    with pytest.raises(ConfigError, match=rf'SELECTOR.ASSIGNER "{name}" has losses of its own'):
        build(*options)


def test_weight_of_a_branch_changes_its_losses(build, make_inputs):
    cfg, model = build(RULE, "AutoAssign")
    branch = build_criterion(cfg, weight=(1.0, 0.0))
    branches, priors = model.predict(model.preprocess_image(make_inputs()).tensor)
    predictions, gt = branches["main"], model.ground_truth(make_inputs())
    whole, branch.progress = branch(priors, predictions, gt), 0.75
    for key, loss in branch(priors, predictions, gt).items():
        torch.testing.assert_close(loss, whole[key] / 4)


def test_denominators_that_differ_are_refused_in_parts(build, make_inputs):
    _, model = build(RULE, "AutoAssign")
    with model.normalizer.in_parts(1) as parts:
        model(make_inputs())
        with pytest.raises(UserError, match="SOLVER.ACCUMULATE 1"):
            parts.correction()


def test_pictures_show_what_a_detector_has_learnt(build, make_inputs):
    cfg, model = build(RULE, "AutoAssign")
    torch.nn.init.constant_(model.criterion.assigner.center_prior.mu, 1.5)
    scene, criteria = make_inputs()[0], {"own": build_variant(cfg, "AutoAssign")}
    shown = look_at(model.eval(), scene, criteria)["own"].assignment
    expected = positive_samples(model, [scene], batch_statistics=True).assignment
    assert torch.equal(shown.dense_gt(), expected.dense_gt())
    torch.nn.init.constant_(model.criterion.assigner.center_prior.mu, 0)
    before = positive_samples(model, [scene], batch_statistics=True).assignment
    assert not torch.equal(shown.dense_gt(), before.dense_gt())


def test_it_assigns_only_to_show(build):
    _, model = build(RULE, "AutoAssign")
    hook = AssignmentTime()
    hook.trainer = type("Trainer", (), {"model": model})
    hook.before_train()
    assert not model.criterion.assigner._forward_hooks

"""The optimizer that a config asks for."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import (
    GradientClipType,
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
)
from torch import nn

from ..errors import ConfigError, choose
from .step import PRECISIONS

OPTIMIZERS = ("ADAMW", "SGD")
FULL_MODEL = "full_model"
OPTIONAL = ("WEIGHT_DECAY_NORM", "WEIGHT_DECAY_BIAS")  # None = WEIGHT_DECAY
FACTORS = ("WEIGHT_DECAY", "BIAS_LR_FACTOR", "BACKBONE_MULTIPLIER", *OPTIONAL)
CLIP_TYPES = (FULL_MODEL, *(kind.value for kind in GradientClipType))


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer with the meaning that the official implementation gives its keys.

    Reads of ``SOLVER``: ``OPTIMIZER``, ``BASE_LR``, ``BACKBONE_MULTIPLIER``, ``BIAS_LR_FACTOR``,
    ``WEIGHT_DECAY``, ``WEIGHT_DECAY_NORM`` and ``WEIGHT_DECAY_BIAS`` (each ``WEIGHT_DECAY`` where
    None), ``MOMENTUM`` and ``NESTEROV`` (of SGD), and ``CLIP_GRADIENTS``, whose ``CLIP_TYPE`` may
    be "full_model" beside Detectron2's own.

    A state that is loaded into it leaves these settings as they are.

    Raises:
        ConfigError: there is no such optimizer or way to clip, or a number is out of range.
    """
    solver = cfg.SOLVER
    check_optimizer(solver)
    try:
        optimizer = _build(solver, parameter_groups(model, solver))
    except (TypeError, ValueError) as error:  # as PyTorch judges its arguments
        raise ConfigError(f"SOLVER: {error}.") from None
    if solver.CLIP_GRADIENTS.CLIP_TYPE != FULL_MODEL:
        return maybe_add_gradient_clipping(cfg, optimizer)
    if solver.CLIP_GRADIENTS.ENABLED and solver.CLIP_GRADIENTS.CLIP_VALUE > 0:
        add_full_model_clipping(
            optimizer, solver.CLIP_GRADIENTS.CLIP_VALUE, solver.CLIP_GRADIENTS.NORM_TYPE
        )
    return optimizer


def _build(solver: CfgNode, groups: list[dict]) -> torch.optim.Optimizer:
    # Fused: several times faster than the loop over parameters, and without a question to the
    # device where a GradScaler has found gradients that are not finite.
    if solver.OPTIMIZER == "SGD":
        momentum, nesterov = solver.MOMENTUM, solver.NESTEROV
        optimizer = torch.optim.SGD(
            groups, solver.BASE_LR, momentum=momentum, nesterov=nesterov, fused=True
        )
    else:
        optimizer = torch.optim.AdamW(groups, solver.BASE_LR, fused=True)
    optimizer.register_load_state_dict_post_hook(_lay_out_like_parameters)
    optimizer.register_load_state_dict_pre_hook(_keep_settings)
    return optimizer


def check_optimizer(solver: CfgNode) -> None:
    """Check the names that select an optimizer, in ``cfg.SOLVER``, and what PyTorch does not check.

    Raises:
        ConfigError: a name is unknown, or a number is none or negative.
    """
    choose("SOLVER.OPTIMIZER", solver.OPTIMIZER, OPTIMIZERS)
    choose("SOLVER.AMP.PRECISION", solver.AMP.PRECISION, PRECISIONS)
    clipping = solver.CLIP_GRADIENTS
    if clipping.ENABLED:
        choose("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clipping.CLIP_TYPE, CLIP_TYPES)
    for key in FACTORS:
        value = solver[key]
        missing = value is None and key in OPTIONAL
        if not missing and not (isinstance(value, (int, float)) and value >= 0):
            raise ConfigError(f"SOLVER.{key} must be a number from 0 on, got {value!r}.")


def parameter_groups(model: nn.Module, solver: CfgNode) -> list[dict]:
    """Trainable parameters by learning rate and weight decay, those of ``model.backbone`` last.

    What a norm or a bias is, Detectron2 decides; the bias of a norm is a bias. Few large groups
    let an optimizer treat many parameters in one go.
    """
    backbone = {id(p) for name, p in model.named_parameters() if name.startswith("backbone.")}
    rules = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    groups: dict[tuple, dict] = {}
    for rule in rules:
        for parameter in rule["params"]:
            multiplier = solver.BACKBONE_MULTIPLIER if id(parameter) in backbone else 1.0
            settings = {"lr": rule["lr"] * multiplier, "weight_decay": rule["weight_decay"]}
            key = (id(parameter) in backbone, *settings.values())
            groups.setdefault(key, {"params": [], **settings})["params"].append(parameter)
    return [group for key, group in sorted(groups.items(), key=lambda item: item[0][0])]


def _keep_settings(optimizer: torch.optim.Optimizer, state: dict) -> dict:
    """Take over what has been accumulated for the parameters, and no learning rate or the like.

    Raises:
        ValueError: it is of another optimizer, or the parameters were grouped otherwise.
    """
    own, loaded = optimizer.state_dict()["param_groups"], state["param_groups"]
    if any(("betas" in group) != ("betas" in own[0]) for group in loaded):
        raise ValueError("it is of another SOLVER.OPTIMIZER")
    if [len(group["params"]) for group in loaded] != [len(group["params"]) for group in own]:
        raise ValueError("it sorts the parameters into other groups")
    return {**state, "param_groups": own}


@torch.no_grad()
def _lay_out_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Bring a loaded state into the memory format that the parameters have by now.

    The fused kernel for CPUs goes through both in the order of the memory, whatever the strides.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)


def add_full_model_clipping(
    optimizer: torch.optim.Optimizer, max_norm: float, norm_type: float = 2.0
) -> None:
    """Clip the norm of all gradients together before every step of ``optimizer``.

    Nothing is read back. Gradients that a ``GradScaler`` has left for a fused optimizer to unscale
    are unscaled before.
    """

    def clip(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        scale = getattr(optimizer, "grad_scale", None)
        if scale is not None:
            torch._foreach_div_([p.grad for p in parameters if p.grad is not None], scale)
            optimizer.grad_scale = None
        torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)

    optimizer.register_step_pre_hook(clip)

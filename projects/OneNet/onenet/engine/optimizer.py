"""The optimizer that a config asks for."""

from __future__ import annotations

from functools import partial

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import GradientClipType, maybe_add_gradient_clipping
from torch import nn

from ..errors import ConfigError, nearest

OPTIMIZERS = ("ADAMW", "SGD")
FULL_MODEL = "full_model"
CLIP_TYPES = (FULL_MODEL, *(kind.value for kind in GradientClipType))


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer with the meaning that the official implementation gives its keys.

    Reads of ``SOLVER``: ``OPTIMIZER``, ``BASE_LR``, ``BACKBONE_MULTIPLIER``, ``WEIGHT_DECAY`` (of
    every parameter: biases and norms are no exception), ``MOMENTUM`` and ``NESTEROV`` (of SGD), and
    ``CLIP_GRADIENTS``, whose ``CLIP_TYPE`` may be "full_model" beside Detectron2's own.

    Raises:
        ConfigError: there is no such optimizer or way to clip.
    """
    solver = cfg.SOLVER
    check_optimizer(solver)
    options = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    groups = parameter_groups(model, solver.BASE_LR, solver.BACKBONE_MULTIPLIER)
    if solver.OPTIMIZER == "SGD":
        optimizer = torch.optim.SGD(
            groups, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV, **options
        )
    else:
        # Several times faster than the loop over parameters, but blind to what a GradScaler needs:
        # with AMP the gradients must be unscaled before they are clipped.
        optimizer = torch.optim.AdamW(groups, fused=not solver.AMP.ENABLED, **options)
        optimizer.register_load_state_dict_post_hook(_lay_out_like_parameters)
    if solver.CLIP_GRADIENTS.CLIP_TYPE != FULL_MODEL:
        return maybe_add_gradient_clipping(cfg, optimizer)
    if solver.CLIP_GRADIENTS.ENABLED and solver.CLIP_GRADIENTS.CLIP_VALUE > 0:
        add_full_model_clipping(
            optimizer, solver.CLIP_GRADIENTS.CLIP_VALUE, solver.CLIP_GRADIENTS.NORM_TYPE
        )
    return optimizer


def check_optimizer(solver: CfgNode) -> None:
    """Look up the names that select an optimizer, in ``cfg.SOLVER``.

    Raises:
        ConfigError: one of them is unknown.
    """
    name, clipping = solver.OPTIMIZER, solver.CLIP_GRADIENTS
    if name not in OPTIMIZERS:
        raise ConfigError(
            f'SOLVER.OPTIMIZER: unknown optimizer "{name}".{nearest(name, OPTIMIZERS)}'
        )
    if clipping.ENABLED and clipping.CLIP_TYPE not in CLIP_TYPES:
        raise ConfigError(
            f'SOLVER.CLIP_GRADIENTS.CLIP_TYPE: unknown type "{clipping.CLIP_TYPE}".'
            f"{nearest(clipping.CLIP_TYPE, CLIP_TYPES)}"
        )


def parameter_groups(model: nn.Module, lr: float, backbone_multiplier: float) -> list[dict]:
    """Trainable parameters by learning rate; those of ``model.backbone`` have their own.

    Few large groups let an optimizer treat many parameters in one go.
    """
    backbone, others = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (backbone if name.startswith("backbone.") else others).append(parameter)
    groups = [
        {"params": others, "lr": lr},
        {"params": backbone, "lr": lr * backbone_multiplier},
    ]
    return [group for group in groups if group["params"]]


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

    A ``GradScaler`` unscales the gradients before it calls ``step``, and therefore before this.
    """
    optimizer.register_step_pre_hook(partial(_clip, max_norm=max_norm, norm_type=norm_type))


def _clip(
    optimizer: torch.optim.Optimizer,
    args: tuple,
    kwargs: dict,
    *,
    max_norm: float,
    norm_type: float,
) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)

"""Comparing losses and their gradients with reference numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

LOSSES = {"rtol": 1e-4, "atol": 3e-5}


def check_losses(case: Mapping, losses: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> None:
    """Compare with the losses of a case, and with what gradients of them it has.

    Args:
        case: has `<loss>` and, where it is not 0, `<loss>_grad_<leaf>`.
        losses: by name.
        leaves: by name; those of the image with a dimension for the batch in front.
    """
    for name, loss in losses.items():
        torch.testing.assert_close(loss.item(), case[name].item(), **LOSSES)
        grads = torch.autograd.grad(
            loss, list(leaves.values()), retain_graph=True, allow_unused=True
        )
        for (leaf, tensor), grad in zip(leaves.items(), grads, strict=True):
            grad = torch.zeros_like(tensor) if grad is None else grad
            expected = case.get(f"{name}_grad_{leaf}")
            expected = torch.zeros_like(grad) if expected is None else torch.from_numpy(expected)
            atol = 1e-5 * expected.abs().max().item()
            torch.testing.assert_close(grad.view_as(expected), expected, rtol=1e-3, atol=atol)

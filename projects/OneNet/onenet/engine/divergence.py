"""What to tell somebody whose training has diverged."""

from __future__ import annotations

from detectron2.config import CfgNode

from ..errors import UserError


def divergence(cfg: CfgNode, iteration: int, last_checkpoint: str = "") -> UserError:
    """The error of a loss that is infinite or NaN, with what to try.

    Args:
        cfg: of the run.
        iteration: in which it became so, counted from 0.
        last_checkpoint: its file; empty for none.
    """
    solver = cfg.SOLVER
    remedies = [
        f"a SOLVER.BASE_LR lower than {solver.BASE_LR:g}",
        f"more SOLVER.WARMUP_ITERS than {solver.WARMUP_ITERS}",
    ]
    if not solver.CLIP_GRADIENTS.ENABLED:
        remedies.append("SOLVER.CLIP_GRADIENTS.ENABLED True")
    if solver.AMP.ENABLED:
        remedies.append("SOLVER.AMP.ENABLED False")
    start = "start anew"
    if last_checkpoint:
        start += (
            " or from an earlier checkpoint as MODEL.WEIGHTS (the last one, "
            f'"{last_checkpoint}", may hold the cause already)'
        )
    return UserError(
        f"training has diverged, the loss is infinite or NaN in iteration {iteration + 1} of "
        f"{solver.MAX_ITER}: {start}, with {', '.join(remedies[:-1])} or {remedies[-1]}"
    )

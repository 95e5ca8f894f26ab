"""Detectron2's default trainer, with the parts of this project."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase, create_ddp_model
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from ..checkpoint.checkpointer import Checkpointer
from ..compat import TrainerStateMixin
from ..data import build_test_loader, build_train_loader, load_records, told_names
from ..errors import UserError
from ..evaluation import build_evaluator, candidates_offered, in_tiles
from .divergence import divergence
from .hooks.assignment_probe import AssignmentProbe, build_probe
from .hooks.assignment_statistics import AssignmentStatistics
from .hooks.assignment_time import AssignmentTime
from .hooks.best_checkpoint import BestCheckpoint
from .hooks.initial_weights import InitialWeights
from .hooks.progress import MeanStepTime, TrainingProgress
from .hooks.resume import LogContinuation, StepSeed
from .losses_read import Diverged
from .metrics_file import was_evaluated
from .optimizer import build_optimizer
from .parallel import unwrapped
from .step import PRECISIONS, AMPStep, Step

logger = logging.getLogger(__name__)

LOG_PERIOD = 20  # iterations; Detectron2's


class Trainer(TrainerStateMixin, DefaultTrainer):
    """Trains and evaluates what a config describes.

    Args:
        cfg: the config.

    Attributes:
        resumed: whether the run goes on in the folder of an earlier one.
    """

    def __init__(self, cfg: CfgNode):
        # Not DefaultTrainer's, which takes for granted that several processes have GPUs, and that a
        # step takes its batch in one go.
        TrainerBase.__init__(self)
        self.cfg = cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        for name in cfg.DATASETS.TEST:
            load_records(name)  # tells now, not at the first evaluation, what it had to repair
        model = create_ddp_model(
            model,
            broadcast_buffers=False,
            device_ids=None if cfg.MODEL.DEVICE == "cpu" else [comm.get_local_rank()],
        )
        self._trainer = build_step(cfg, model, data_loader, optimizer)
        self._trainer.is_read = self._reads_losses
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        names = told_names((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST), cfg.MODEL.OneNet.NUM_CLASSES)
        self.checkpointer = Checkpointer(
            model, cfg.OUTPUT_DIR, class_names=names, trainer=weakref.proxy(self)
        )
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        self.resumed = False
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the last checkpoint if asked to, or begin with ``MODEL.WEIGHTS``.

        Raises:
            UserError: the processes do not find the same checkpoint.
        """
        super().resume_or_load(resume)
        self.resumed = resume
        if len(set(comm.all_gather(self.start_iter))) > 1:
            raise UserError(
                f'OUTPUT_DIR "{self.cfg.OUTPUT_DIR}" is not the same folder on every machine: '
                "they do not find the same last checkpoint."
            )

    def train(self) -> dict[str, Any] | None:
        self.data_loader.start_at(self.start_iter)
        return super().train()

    def before_train(self) -> None:
        super().before_train()
        if self.resumed and self._lost_an_evaluation():
            # The run before was killed between the checkpoint and the log of its evaluation.
            self.iter = self.storage.iter = self.start_iter - 1
            for hook in self._hooks:
                if isinstance(hook, AssignmentProbe | EvalHook | BestCheckpoint):
                    hook.after_step()
            self.iter = self.start_iter

    def run_step(self) -> None:
        """Run an iteration.

        Raises:
            UserError: the loss is infinite or NaN. Only the main process checks it.
        """
        try:
            super().run_step()
        except Diverged as error:
            saved = self.checkpointer.has_checkpoint()
            last = self.checkpointer.get_checkpoint_file() if saved else ""
            raise divergence(self.cfg, error.iteration, last) from None

    def _reads_losses(self, iteration: int) -> bool:
        """Whether losses are logged after an iteration, or what they tell of is saved."""
        done, cfg = iteration + 1, self.cfg
        periods = LOG_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD, cfg.TEST.EVAL_PERIOD
        return done == self.max_iter or any(n > 0 and done % n == 0 for n in periods)

    def _lost_an_evaluation(self) -> bool:
        """Whether one was due after the checkpoint; the same answer in all processes."""
        period, done = self.cfg.TEST.EVAL_PERIOD, self.start_iter
        if period <= 0 or done == 0 or done % period or done >= self.max_iter:
            return False
        return not comm.all_gather(was_evaluated(self.cfg.OUTPUT_DIR, done - 1))[0]

    def after_train(self) -> None:
        # Detectron2 counts one more where a run was resumed at its end.
        self.iter = min(self.iter, max(self.start_iter, self.max_iter))
        if self.iter < self.max_iter:
            # An error. In the last iteration Detectron2 would evaluate all the same, and one of
            # several processes would wait there for the others.
            self._hooks = [hook for hook in self._hooks if not isinstance(hook, EvalHook)]
        super().after_train()

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = super().build_model(cfg)
        if cfg.SOLVER.CHANNELS_LAST:
            model = model.to(memory_format=torch.channels_last)
        if cfg.SOLVER.COMPILE:
            model.compile()
        return model

    # Detectron2 looks these up in the class.
    build_optimizer = staticmethod(build_optimizer)
    build_train_loader = staticmethod(build_train_loader)
    build_test_loader = staticmethod(build_test_loader)
    build_evaluator = staticmethod(build_evaluator)

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: list[DatasetEvaluator] | None = None
    ) -> dict[str, Any]:
        with candidates_offered(model, cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST):
            return super().test(cfg, in_tiles(cfg, model), evaluators)

    def build_hooks(self) -> list[HookBase]:
        hooks = self._build_hooks()
        for hook in hooks:
            if isinstance(hook, EvalHook):
                hook._func = partial(self._save_if_it_fails, hook._func)
        return hooks

    def _save_if_it_fails(self, evaluate: Callable[[], Any]) -> Any:
        """Evaluate; an error then costs nothing of the training before, in whichever process."""
        try:
            return evaluate()
        except Exception:
            if self.iter < self.max_iter:  # later, the final checkpoint is there
                self.checkpointer.save_to_disk = True
                self.checkpointer.save(f"model_{self.iter:07d}")
                logger.error(
                    'The evaluation failed. What was trained is in "%s": go on with --resume.',
                    self.cfg.OUTPUT_DIR,
                )
            raise

    def _build_hooks(self) -> list[HookBase]:
        cfg, model = self.cfg, unwrapped(self.model)
        early: list[HookBase] = [LogContinuation(cfg.OUTPUT_DIR), TrainingProgress()]
        if cfg.SEED >= 0:
            early.append(StepSeed(cfg.SEED))
        if not comm.is_main_process():
            return early + super().build_hooks()
        early.append(InitialWeights(cfg.OUTPUT_DIR))
        if hasattr(model, "criteria"):
            # The clock first: what is described must not be timed.
            early += [AssignmentTime(), AssignmentStatistics()]
        *hooks, writer = super().build_hooks()
        if cfg.TEST.ASSIGNMENT_PROBE > 0 and hasattr(model, "criteria"):
            saves = [isinstance(hook, PeriodicCheckpointer) for hook in hooks].index(True)
            hooks.insert(saves, build_probe(cfg, self.data_loader.dataset.records))
        if cfg.TEST.EVAL_PERIOD > 0 and cfg.TEST.BEST_METRIC:
            names = self.checkpointer.class_names
            hooks.append(BestCheckpoint(model, cfg.OUTPUT_DIR, cfg.TEST.BEST_METRIC, names))
        return [*early, *hooks, MeanStepTime(), writer]


def build_step(
    cfg: CfgNode,
    model: nn.Module,
    data_loader: Iterable[list[dict]],
    optimizer: torch.optim.Optimizer,
) -> Step:
    """Build the inner trainer, which runs a step, in one go or ``SOLVER.ACCUMULATE`` parts."""
    arguments, num_parts = (model, data_loader, optimizer), cfg.SOLVER.ACCUMULATE
    if not cfg.SOLVER.AMP.ENABLED:
        return Step(*arguments, num_parts=num_parts)
    device, precision = torch.device(cfg.MODEL.DEVICE).type, PRECISIONS[cfg.SOLVER.AMP.PRECISION]
    return AMPStep(*arguments, device=device, precision=precision, num_parts=num_parts)

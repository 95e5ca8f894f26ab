"""What a training did in its first step."""

from typing import NamedTuple

import torch
from detectron2.engine import HookBase
from detectron2.layers import FrozenBatchNorm2d
from onenet.engine import Trainer


class FirstStep(NamedTuple):
    gradients: dict[str, torch.Tensor]
    losses: dict[str, float]  # as logged; in the main process
    image_ids: list[int]  # of this process


class FrozenTrainer(Trainer):
    """Its network gives an image the same features whatever goes through it together with that.

    So it has no batch statistics, and float64: float32 rounds otherwise for another size of batch,
    and decides then for some inputs of a ReLU otherwise whether they are above 0.
    """

    @classmethod
    def build_model(cls, cfg):
        torch.manual_seed(0)
        return FrozenBatchNorm2d.convert_frozen_batchnorm(super().build_model(cfg)).double()


class Listener(HookBase):
    def before_train(self):
        def keep(module, arguments):
            self.image_ids += [image["image_id"] for image in arguments[0]]

        self.image_ids = []
        self.handle = self.trainer.model.register_forward_pre_hook(keep)

    def after_step(self):
        if self.trainer.iter > 0:
            return
        self.handle.remove()
        parameters = self.trainer.model.named_parameters()
        logged = self.trainer.storage.latest()
        self.seen = FirstStep(
            {name.removeprefix("module."): p.grad.clone() for name, p in parameters},
            {name: value for name, (value, _) in logged.items() if "loss" in name},
            self.image_ids,
        )


def first_step(cfg) -> FirstStep:
    """Train and look at the first step."""
    trainer, listener = FrozenTrainer(cfg), Listener()
    trainer.register_hooks([listener])
    trainer.train()
    return listener.seen


def max_relative_error(gradients, expected) -> float:
    """Of the norms of the parameters' gradients, but those that are nothing but rounding errors.

    A bias in front of a normalisation has a gradient of zero.
    """
    assert gradients.keys() == expected.keys()
    errors = {name: float((gradients[name] - g).norm()) for name, g in expected.items()}
    norms = {name: float(g.norm()) for name, g in expected.items()}
    negligible = 1e-6 * max(norms.values())
    return max(errors[name] / norm for name, norm in norms.items() if norm > negligible)

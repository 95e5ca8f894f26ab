"""Everything that depends on the Detectron2 version; import it before any other Detectron2 module.

v0.5 and v0.6 are from 2021. They import names that later NumPy, Pillow and setuptools releases
removed, and they insist on their compiled extension ``detectron2._C`` although nothing here needs
it. :func:`install` adds what they miss, and only what their own sources ask for: on the
main branch nothing is missing, so nothing is done. Versions are told apart by features, because
v0.6 and main carry the same version string.
"""

import importlib.util
import logging
import math
import re
import sys
import types
import warnings
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

import detectron2
import numpy as np
import torch
from PIL import Image

logger = logging.getLogger(__name__)

# What the removed aliases stood for: https://numpy.org/doc/stable/release/1.20.0-notes.html and
# https://pillow.readthedocs.io/en/stable/deprecations.html
_NUMPY_ALIASES = {kind.__name__: kind for kind in (bool, int, float, complex, object, str)}
_PILLOW_ALIASES = {
    "LINEAR": Image.Resampling.BILINEAR,
    "CUBIC": Image.Resampling.BICUBIC,
    "ANTIALIAS": Image.Resampling.LANCZOS,
}
_MODEL_ZOO = "detectron2.model_zoo.model_zoo"
_PER_GROUP_KEYS = ("base_lrs", "_last_lr")  # in the state of a learning-rate scheduler

# Warnings that only Detectron2's authors could act on: (start of the message, module).
_NOISE = (
    ("pkg_resources is deprecated", _MODEL_ZOO),
    ("Creating a tensor from a list of numpy.ndarrays", "detectron2.structures.boxes"),
    ("`torch.cuda.amp.", "detectron2.engine.train_loop"),
    ("`broadcast_buffers` is deprecated", "detectron2.engine.defaults"),
    ("TypedStorage is deprecated", "detectron2.utils.comm"),
)


def install() -> None:
    """Make the installed Detectron2 importable; calling it again changes nothing."""
    sources = _detectron2_sources()
    _add_aliases(np, _NUMPY_ALIASES, asked=set(re.findall(r"\bnp\.(\w+)\b", sources)))
    _add_aliases(Image, _PILLOW_ALIASES, asked=set(re.findall(r"\bImage\.(\w+)\b", sources)))
    if _insists_on_extension():
        if importlib.util.find_spec("detectron2._C") is None:
            _install_extension_stand_in()
        if (
            importlib.util.find_spec("pkg_resources") is None
            and _ModelZooFinder not in sys.meta_path
        ):
            sys.meta_path.insert(0, _ModelZooFinder)
    for message, module in _NOISE:
        warnings.filterwarnings("ignore", re.escape(message), module=re.escape(module) + "$")
    _import_quietly()


def _detectron2_sources() -> str:
    """The Python text of the installed Detectron2, to see which removed names it still uses."""
    package = Path(detectron2.__file__).parent
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted(package.rglob("*.py")))


def _add_aliases(module: types.ModuleType, aliases: dict[str, Any], asked: set[str]) -> None:
    """Set those of ``aliases`` that are asked for and missing; never override what exists."""
    for name in asked & aliases.keys():
        with warnings.catch_warnings():  # NumPy 1.20 to 1.26 warn when such a name is looked up
            warnings.simplefilter("ignore")
            missing = not hasattr(module, name)
        if missing:
            setattr(module, name, aliases[name])


def _insists_on_extension() -> bool:
    """Whether ``detectron2.layers`` imports ``_C`` unguarded: v0.5 and v0.6 do, main does not."""
    layers = Path(detectron2.__file__).parent / "layers"
    unguarded = re.compile(r"^from detectron2 import _C\b", re.MULTILINE)
    return any(unguarded.search(p.read_text(encoding="utf-8")) for p in layers.glob("*.py"))


def _install_extension_stand_in() -> None:
    """Put a ``detectron2._C`` in place that knows the three functions of the environment report.

    Everything else of it is compiled code and raises an ``AttributeError`` that says so.
    """

    def missing(name: str) -> Any:
        raise AttributeError(
            f"detectron2._C.{name} is compiled code, and this Detectron2 was installed without it; "
            "build Detectron2 from source to use it"
        )

    stand_in = types.ModuleType("detectron2._C", "Stand-in for the compiled extension.")
    stand_in.__spec__ = ModuleSpec(stand_in.__name__, loader=None, origin="onenet.compat")
    stand_in.get_compiler_version = lambda: "not compiled"
    stand_in.get_cuda_version = lambda: "not compiled"
    stand_in.has_cuda = lambda: False
    stand_in.__getattr__ = missing
    sys.modules[stand_in.__name__] = stand_in
    detectron2._C = stand_in


class _ModelZooFinder:
    """Finds the one module that needs ``pkg_resources``, which setuptools dropped in release 82."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _MODEL_ZOO:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin:
            spec.loader = _PkgResourcesLender(name, spec.origin)
        return spec


class _PkgResourcesLender(SourceFileLoader):
    """Loads a module while a small ``pkg_resources`` is importable, which is removed afterwards."""

    def exec_module(self, module: types.ModuleType) -> None:
        stand_in = types.ModuleType("pkg_resources")
        stand_in.resource_filename = lambda package, name: str(
            Path(sys.modules[package].__file__).parent / name
        )
        sys.modules.setdefault(stand_in.__name__, stand_in)
        try:
            super().exec_module(module)
        finally:
            if sys.modules.get(stand_in.__name__) is stand_in:
                del sys.modules[stand_in.__name__]


def _import_quietly() -> None:
    """Import what scripts functions at import time, without a warning for each of them.

    The filter holds for this import only: a user's own ``torch.jit.script`` still warns.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\.script")
        importlib.import_module("detectron2.modeling")


def has_fast_coco_eval() -> bool:
    """Whether Detectron2's compiled COCO evaluation is there."""
    try:
        from detectron2 import _C
    except ImportError:
        return False
    return hasattr(_C, "COCOevalEvaluateImages")


def create_local_process_group(processes_per_machine: int) -> None:
    """Tell Detectron2 which processes share a machine, where its ``launch`` did not start them.

    Main has a function for this; in v0.5 and v0.6 it is what their ``launch`` does.

    Args:
        processes_per_machine: the same on all machines, whose ranks follow each other.
    """
    from detectron2.utils import comm

    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(processes_per_machine)
        return
    first_ranks = range(0, comm.get_world_size(), processes_per_machine)
    for first in first_ranks:
        ranks = range(first, first + processes_per_machine)
        group = torch.distributed.new_group(list(ranks))  # a collective call, also for the others
        if comm.get_rank() in ranks:
            comm._LOCAL_PROCESS_GROUP = group


def padding_multiple(backbone: Any, least: int) -> int:
    """What the sides of a padded input are multiples of, in pixels.

    Main lets a backbone ask for a square of one size too, as ViTDet does; such images are padded to
    that square, or larger ones to whole numbers of its side.

    Args:
        backbone: of Detectron2.
        least: even if it asks for less.
    """
    constraints = getattr(backbone, "padding_constraints", {})
    # ViTDet spells the first of these so.
    stated = (constraints.get(key, 0) for key in ("size_divisiblity", "size_divisibility"))
    divisibility = max(least, backbone.size_divisibility, *stated)
    return math.lcm(divisibility, constraints.get("square_size", 0) or 1)


class TrainerStateMixin:
    """Makes ``--resume`` continue the optimizer too, from a checkpoint of any version.

    ``DefaultTrainer`` of v0.5 and v0.6 neither saves nor loads the state of its inner trainer
    (optimizer, gradient scaler), while main fails on a checkpoint that lacks it. Put it in front:
    ``class Trainer(TrainerStateMixin, DefaultTrainer)``.
    """

    def state_dict(self) -> dict[str, Any]:
        """State of the trainer with the inner trainer's under ``_trainer``, as main has it."""
        state = super().state_dict()
        if "_trainer" not in state:
            state["_trainer"] = self._trainer.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore iteration, hooks and, where the checkpoint's fits, the optimizer.

        It does not fit where the checkpoint lacks it, or where another Detectron2 version (or
        another config) sorts the parameters into other groups. Training then goes on with a fresh
        optimizer at the right iteration, and a warning. The learning rates are the config's.
        """
        from detectron2.engine import TrainerBase

        state = dict(state_dict)
        problem = self._load_inner_state(state.pop("_trainer", {}))
        state["hooks"] = {
            name: {key: value for key, value in hook.items() if key not in _PER_GROUP_KEYS}
            for name, hook in state.get("hooks", {}).items()
        }
        TrainerBase.load_state_dict(self, state)
        for group, lr in zip(self.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
            group["lr"] = lr
        if problem:
            logger.warning("Resuming with a fresh optimizer: %s.", problem)

    def _load_inner_state(self, inner: dict[str, Any]) -> str:
        """Load the inner trainer's state; returns what is wrong with it, or an empty string."""
        if "optimizer" not in inner:
            return "the checkpoint holds no optimizer state, v0.5 and v0.6 do not save it"
        try:
            # A part that was not saved (the gradient scaler, if AMP was off) stays as it is.
            self._trainer.load_state_dict({**self._trainer.state_dict(), **inner})
        except ValueError as error:
            return f"that of the checkpoint does not fit ({error})"
        return ""


install()

"""Images as several rules see them, at several moments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ...criterion import Criterion
from ...inspection.positives import positive_samples, was_never_trained
from ...inspection.subjects import teach
from ...meta_arch import OneNet
from ..gallery import input_image
from .content import Scene, View


@torch.no_grad()
def explain_scene(
    models: Mapping[str, OneNet], scene: dict, criteria: Mapping[str, Criterion], image_format: str
) -> Scene:
    """Explain what each rule makes of an image at each moment.

    Args:
        models: in evaluation mode, by the title of the moment; they have the same samples.
        scene: Detectron2's standard format with ``image`` and ``instances``.
        criteria: with the rules, by name.
        image_format: ``INPUT.FORMAT``.
    """
    predictions, views = {}, []
    for title, model in models.items():
        samples = positive_samples(model, [scene], batch_statistics=was_never_trained(model))
        inputs = samples.priors, samples.predictions, samples.gt
        predictions[title] = samples.predictions
        teach(model, criteria)
        views += [View(name, title, x.explain(*inputs)) for name, x in criteria.items()]
    return Scene(
        name=Path(scene["file_name"]).stem,
        image=input_image(scene, image_format),
        priors=samples.priors,
        gt=samples.gt,
        predictions=predictions,
        views=views,
    )

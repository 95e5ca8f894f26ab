"""Results of an experiment that nobody ran, for the reports."""

import math

import pytest
from lab import Arm, Experiment, Section
from lab.claims import Claim
from lab.columns import METRICS
from lab.results import Tree, build_results, without_nan
from PIL import Image

ARMS = {"one-to-one": 58.0, "<FCOS> & co": 15.0, "crashed": None}


@pytest.fixture
def experiment():
    claim = Claim("FCOS loses half", "<FCOS> & co", "kept", "below", 50.0)
    return Experiment(
        title="Which rule <needs> NMS?",
        arms=tuple(Arm(label, "a.yaml", {"A.B": "1"}) for label in ARMS),
        seeds=(1, 2),
        baseline="one-to-one",
        sections=(Section("(d) many-to-one", "What is lost.", tuple(ARMS)[:2], (claim,)),),
    )


@pytest.fixture
def results(experiment, tmp_path) -> Tree:
    """The tree of results.json; two arms with two seeds, one that failed; pictures in tmp_path."""
    runs = {label: [_run(ap, seed) for seed in (1, 2)] for label, ap in ARMS.items()}
    tree = build_results(
        experiment,
        runs,
        command="python tools/ablate.py ...",
        machine="a <machine>",
        dataset="digits_val",
        max_detections=300,
        history={"total_loss": "training loss", "bbox/AP": "AP", "dynamics/moved": "moved"},
    )
    tree["scenes"] = [_scene(name, tmp_path) for name in ("scene_a", "scene_b")]
    return without_nan(tree)


def _run(ap, seed):
    if ap is None:
        lines = ["Traceback", "RuntimeError: <out> of memory"]
        return {"seed": seed, "folder": "f", "status": "failed", "exit_code": 1, "tail": lines}
    metrics = dict.fromkeys((metric.name for metric in METRICS), 1.0 + seed)
    metrics |= {"AP": ap + seed, "AP_nms": 59.0 + seed, "kept": ap, "APl": None}
    points = [0.0, 0.5, 1.0]
    curves = {"nms_threshold": [0.5, 1.0], "ap": [60.0, ap], "recall": points}
    curves |= {"precision": [1.0, ap / 100, 0.0], "precision_nms": [1.0, 0.9, math.nan]}
    return {
        "seed": seed,
        "folder": "f",
        "status": "finished",
        "seconds": 60.0,
        "metrics": metrics,
        "history": {
            "total_loss": [[1, 5.0], [20, 0.5 * seed]],
            "bbox/AP": [[10, 1.0], [20, ap]],
            "dynamics/moved": [[20, 0.4 * seed]],
        },
        "curves": curves,
        "histogram": {"edges": points, "first": [1, 20], "duplicates": [0, seed]},
    }


def _scene(name, folder):
    pictures = {}
    for i, label in enumerate(list(ARMS)[:2]):
        file = f"wall/{i}/{name}.jpg"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 20), (80 * i, 90, 90)).save(folder / file)
        pictures[label] = {"file": file, "caption": f"{i} <positives>"}
    return {"name": name, "pictures": pictures}

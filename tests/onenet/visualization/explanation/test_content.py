import json
import subprocess
import zlib
from base64 import b64decode
from shutil import which

import numpy as np
import pytest
import torch
from onenet import MinCost
from onenet.assignment import Condition
from onenet.visualization.explanation import Scene, View, content
from onenet.visualization.explanation.content import scene_content
from onenet.visualization.explanation.packing import Packer
from onenet.visualization.explanation.page import PAGE

PLENTY = 10**7


def unpack(tree, data=None):
    """The tree of the page with arrays instead of references, as the page reads it."""
    data = zlib.decompress(b64decode(tree["arrays"])) if data is None else data
    if isinstance(tree, list):
        return [unpack(x, data) for x in tree]
    if not isinstance(tree, dict):
        return tree
    if "packed" in tree:
        kind, start, count = tree["packed"]
        size = np.dtype(kind).itemsize
        own = np.frombuffer(data, np.uint8, count * size, start).reshape(size, count).T
        return np.ascontiguousarray(own).view(f"<{kind}")[:, 0]
    return {name: unpack(value, data) for name, value in tree.items()}


@pytest.fixture
def scene(make_problem):
    """Two objects that compete, by two solvers."""
    problem = make_problem(objects=(2,), levels=2)
    problem.gt.boxes[0, 1] = problem.gt.boxes[0, 0]
    problem.gt.labels[0, 1] = problem.gt.labels[0, 0]
    inputs = problem.priors, problem.predictions, problem.gt
    views = [View(s, "", MinCost(solver=s).explain(*inputs)) for s in ("argmin", "hungarian")]
    image = np.zeros((96, 128, 3), np.uint8)
    return Scene("name", image, problem.priors, problem.gt, {"": problem.predictions}, views)


def test_arrays_come_back():
    packer = Packer()
    numbers = torch.tensor([1 / 3, -1e8, torch.inf, 0.0])
    tree = {
        "rounded": packer.add(numbers, "f4"),
        "exact": packer.add(numbers, "f4", exact=True),
        "integers": packer.add(torch.tensor([[-2, 300]]), "i2"),
    }
    arrays = unpack({**tree, "arrays": packer.text()})
    assert np.array_equal(arrays["exact"], numbers.numpy())
    np.testing.assert_allclose(arrays["rounded"], numbers, rtol=2e-5)
    assert arrays["rounded"][0] != arrays["exact"][0]
    assert arrays["integers"].tolist() == [-2, 300]


def test_everything_that_is_told_is_what_python_knows(scene):
    told = unpack(scene_content(scene, ["a", "b", "c", "d"], PLENTY))
    assert told["told"] == 60
    order = told["index"][told["pairs"].reshape(2, -1)]
    assert sorted(order[0]) == list(range(60))
    explanation, view = scene.views[1].explanation, told["views"][1]
    assert view["firstFailed"].reshape(2, 60).tolist() == explanation.first_failed[0].tolist()
    assert view["verdict"].tolist() == explanation.verdict[0].tolist()
    assert view["positives"] == [1, 1]
    cost = explanation.quantities["cost"][0].numpy()
    np.testing.assert_allclose(
        view["quantities"]["cost"].reshape(2, -1), np.take_along_axis(cost, order, 1), rtol=2e-5
    )
    label = scene.gt.labels[0, 0]
    scores = scene.predictions[""].logits[0, :, label].sigmoid()
    np.testing.assert_allclose(told["moments"][0]["scores"][:60], scores[order[0]], rtol=2e-5)
    assert told["objects"][0]["label"] == "abcd"[label]
    assert told["strides"] == [8, 8]


def test_positives_come_first_and_then_the_nearest(scene):
    told = unpack(scene_content(scene, None, PLENTY))
    order = told["index"][told["pairs"].reshape(2, -1)]
    positives = {int(v.explanation.positive[0, 0].nonzero()[0, 0]) for v in scene.views}
    assert set(order[0, : len(positives)]) == positives
    box = scene.gt.boxes[0, 0]
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 + 8
    points = scene.priors.points[torch.from_numpy(order[0, len(positives) :]).long()]
    distance = ((points - center).abs() / half).amax(dim=1)
    assert (distance.diff() >= 0).all()


def test_a_page_that_would_be_too_large_tells_less(scene):
    whole = scene_content(scene, None, PLENTY)
    size = len(whole["arrays"]) + len(whole["picture"])
    smaller = scene_content(scene, None, size * 2 // 3)
    assert len(smaller["arrays"]) + len(smaller["picture"]) <= size * 2 // 3
    assert content.FEWEST <= smaller["told"] < whole["told"]
    assert scene_content(scene, None, 0)["told"] == content.FEWEST


def test_an_image_without_objects(make_problem, scene):
    problem = make_problem(objects=(0,))
    explanation = MinCost().explain(problem.priors, problem.predictions, problem.gt)
    empty = scene._replace(gt=problem.gt, priors=problem.priors, views=[View("a", "", explanation)])
    told = unpack(scene_content(empty, None, PLENTY))
    assert told["objects"] == [] and len(told["pairs"]) == 0
    json.dumps(scene_content(empty, None, PLENTY), allow_nan=False)


NODE = """
const { fourDigits, conditionText } = require(process.argv[1]);
const [numbers, condition] = JSON.parse(process.argv[2]);
condition.margin = condition.margin.map((x) => (x === null ? Infinity : x));
const texts = condition.passed.map((_, pair) => conditionText(condition, pair));
console.log(JSON.stringify([numbers.map(fourDigits), texts]));
"""


@pytest.mark.skipif(which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("unit", ["px", ""])
def test_texts_are_those_of_python(unit):
    numbers = [0, 1, 0.5, 9999, 9999.6, 12345.6, 1e8, 0.00012345, 0.00001234, -7.25, 123.456, 1e-20]
    passed = torch.tensor([[[True, False, True, False, True]]])
    margin = torch.tensor([[[7.25, -0.125, -1.0, 3.0, torch.inf]]])
    condition = Condition("inside the region", passed, margin, unit)
    sides = content.SIDES.get(unit, content.OTHER_SIDES)
    tree = {
        "name": condition.name,
        "unit": unit,
        "sides": sides,
        "passed": passed[0, 0].int().tolist(),
        "margin": [None if x == float("inf") else x for x in margin[0, 0].tolist()],
    }
    done = subprocess.run(
        ["node", "-e", NODE, str(PAGE / "data.js"), json.dumps([numbers, tree])],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    digits, texts = json.loads(done.stdout)
    assert digits == [f"{x:.4g}" for x in numbers]
    assert texts == [condition.text(0, 0, pair) for pair in range(5)]
    assert "inside the region: no, 0.125" in texts[1]

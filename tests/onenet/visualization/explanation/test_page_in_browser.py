"""What is hard to see on the page of a real detector."""

import numpy as np
import pytest
from onenet import MinCost
from onenet.visualization.explanation import Scene, View, explanation_page

from ....browser import needs_browser, opened

pytestmark = needs_browser
HOTTEST = "rgb(253 231 37)"


@pytest.fixture
def scene(make_problem):
    """Two anchors at each location; the better one of the object is not the first."""
    problem = make_problem(objects=(1,))
    problem.priors.points[1::2] = problem.priors.points[::2]
    box, logits = problem.gt.boxes[0, 0], problem.predictions.logits
    for sample, other in ((31, 30), (12, 13)):
        problem.priors.points[[sample, other]] = (box[:2] + box[2:]) / 2
        problem.predictions.boxes[0, sample] = box
    logits[0, 31] = 5
    views = []
    for name, weight in (("cheap", 2.0), ("by place", 0.0)):
        rule = MinCost(class_weight=weight)
        views.append(View(name, "", rule.explain(problem.priors, problem.predictions, problem.gt)))
    image = np.zeros((96, 128, 3), np.uint8)
    return Scene("</script>", image, problem.priors, problem.gt, {"": problem.predictions}, views)


def test_of_several_anchors_at_a_place_the_best_one_is_shown(scene, tmp_path):
    assert [int(v.explanation.positive[0, 0].nonzero()[0, 0]) for v in scene.views] == [31, 12]
    file = tmp_path / "page.html"
    file.write_text(explanation_page([scene], 1, ["<b>", "b", "c", "d"]), encoding="utf-8")
    with opened(file) as page:
        page.wait_for_selector("body[data-ready]")
        assert page.locator("#images button").inner_text() == "</script>"
        page.locator("#objects button").click()
        for side, sample in {"left": 31, "right": 12}.items():
            svg = page.locator(f".side[data-side={side}] svg")
            assert svg.locator(f".heat rect[fill='{HOTTEST}']").count() == 1
            svg.locator("circle.dot").hover(force=True)
            assert f"Sample {sample}, " in page.locator("#details h3").inner_text()

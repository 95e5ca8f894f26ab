import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from matplotlib.colors import to_hex
from onenet.visualization import Scene, outcome_sheet
from onenet.visualization.draw import to_array
from onenet.visualization.outcome import FOUND, MISSED, WRONG

OBJECTS = [[10.0, 10, 40, 40], [60, 10, 90, 40]]
ELSEWHERE = [10.0, 60, 40, 90]


def scene(name, *detections, height=100):
    boxes = Boxes(torch.tensor(detections).reshape(-1, 4))
    classes = torch.zeros(len(boxes), dtype=torch.int64)
    scores = torch.linspace(0.9, 0.5, len(boxes))
    found = Instances((100, 100), pred_boxes=boxes, pred_classes=classes, scores=scores)
    truth = Instances((100, 100), gt_boxes=Boxes(torch.tensor(OBJECTS)))
    truth.gt_classes = torch.zeros(2, dtype=torch.int64)
    return Scene(name, np.zeros((height, 100, 3), np.uint8), truth, found)


def boxes(ax, color):
    """The boxes of this colour, as x1, y1, x2, y2."""
    patches = [patch for patch in ax.patches if to_hex(patch.get_edgecolor()) == color]
    return [[x for point in patch.get_bbox().get_points() for x in point] for patch in patches]


def test_colours_tell_what_became_of_objects_and_detections():
    detections = OBJECTS[0], [11.0, 10, 41, 40], ELSEWHERE
    (ax,) = outcome_sheet([scene("one", *detections)], 400).axes
    assert boxes(ax, FOUND) == [OBJECTS[0]]
    assert boxes(ax, MISSED) == [OBJECTS[1]]
    assert boxes(ax, WRONG) == [[11, 10, 41, 40], ELSEWHERE]  # one more of an object is wrong
    assert ax.get_title(loc="left") == "one: 1 of 2 found, 2 wrong"


def test_scenes_stand_beside_each_other():
    sheet = outcome_sheet([scene("all", *OBJECTS), scene("none")], 200, caption="")
    everything, nothing = sheet.axes
    assert boxes(everything, FOUND) == OBJECTS and not boxes(everything, MISSED)
    assert boxes(nothing, MISSED) == OBJECTS and not boxes(nothing, FOUND)
    height, width, _ = to_array(sheet).shape
    assert width > 2 * 200 > height > 200
    low = outcome_sheet([scene("all", *OBJECTS, height=50)], 200, caption="")
    assert to_array(low).shape[0] == height - 100  # no empty room above and below

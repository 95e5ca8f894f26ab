"""A few annotated images, and what a detector makes of them."""

import torch
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import Boxes, BoxMode, Instances

SIZE = 100
CATEGORY_IDS = (3, 7)  # neither contiguous nor from 0, as in COCO
# By image id: (box x1 y1 x2 y2, class, crowd). Image 12 is empty; one object is a crowd.
OBJECTS = {
    10: [([0, 0, 20, 20], 0, 0), ([50, 50, 90, 90], 1, 0), ([0, 60, 40, 100], 0, 1)],
    11: [([10, 10, 30, 40], 0, 0), ([40, 0, 60, 20], 0, 0)],
    12: [],
    13: [([5, 5, 45, 45], 1, 0)],
}
INPUTS = [{"image_id": i, "height": SIZE, "width": SIZE} for i in OBJECTS]


def detect(image_id, repeats=1, keep=lambda label: True):
    """Perfect boxes, each ``repeats`` times at slightly lower scores, in a model's output form."""
    rows = [
        (box, 0.9 - 0.1 * n - 0.001 * copy, label)
        for n, (box, label, crowd) in enumerate(OBJECTS[image_id])
        if not crowd and keep(label)
        for copy in range(repeats)
    ]
    instances = Instances((SIZE, SIZE))
    instances.pred_boxes = Boxes(torch.tensor([row[0] for row in rows]).float().reshape(-1, 4))
    instances.scores = torch.tensor([row[1] for row in rows])
    instances.pred_classes = torch.tensor([row[2] for row in rows], dtype=torch.int64)
    return {"instances": instances}


def evaluate(evaluator, batch_size=4, **how):
    batches = [INPUTS[i : i + batch_size] for i in range(0, len(INPUTS), batch_size)]
    return inference_on_dataset(
        lambda inputs: [detect(x["image_id"], **how) for x in inputs], batches, evaluator
    )


def record(image_id, boxes_and_labels):
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": label}
        for box, label in boxes_and_labels
    ]
    file_name = f"{image_id}.png"
    size = {"height": SIZE, "width": SIZE}
    return {"file_name": file_name, "image_id": image_id, **size, "annotations": annotations}

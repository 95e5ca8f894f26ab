import cv2
import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest
import torch

# isort: split
from detectron2.config import get_cfg
from detectron2.structures import BoxMode
from detectron2.utils.env import seed_all_rng
from onenet.config import add_onenet_config
from onenet.data import OneNetDatasetMapper
from onenet.errors import UserError
from onenet.predict import BasePredictor, ModelCard
from PIL import Image

SIZE = (80, 120)  # height, width
BOX = [12, 20, 60, 68]


@pytest.fixture
def sample(tmp_path):
    """One image with a white rectangle, annotated."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), image)
    annotation = {"bbox": BOX, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1, "iscrowd": 0}
    height, width = SIZE
    return {
        "file_name": str(path), "height": height, "width": width, "annotations": [annotation],
    }  # fmt: skip


def onenet_cfg():
    cfg = get_cfg()
    add_onenet_config(cfg)
    return cfg


def make_mapper(*options, is_train=True):
    cfg = onenet_cfg()
    cfg.merge_from_list(["INPUT.MIN_SIZE_TRAIN", (80,), "INPUT.MIN_SIZE_TEST", 160, *options])
    return OneNetDatasetMapper(cfg, is_train=is_train)


CROP = ("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute_range", "INPUT.CROP.SIZE",
        (200, 300))  # fmt: skip


def test_training_sample_keeps_size_and_boxes(sample):
    mapped = make_mapper("INPUT.RANDOM_FLIP", "none")(sample)
    assert mapped["image"].shape == (3, *SIZE) and mapped["image"].dtype == torch.uint8
    assert mapped["instances"].gt_boxes.tensor.tolist() == [BOX]
    assert mapped["instances"].gt_classes.tolist() == [1]
    assert sample["annotations"][0]["bbox"] == BOX  # the input is not changed


def test_flip_is_honoured(sample):
    x1, y1, x2, y2 = BOX
    mirrored = [SIZE[1] - x2, y1, SIZE[1] - x1, y2]
    mapper = make_mapper("INPUT.RANDOM_FLIP", "horizontal")
    boxes = [mapper(sample)["instances"].gt_boxes.tensor.tolist() for _ in range(30)]
    assert [BOX] in boxes and [mirrored] in boxes
    mapper = make_mapper("INPUT.RANDOM_FLIP", "none")
    assert all(mapper(sample)["instances"].gt_boxes.tensor.tolist() == [BOX] for _ in range(10))


def test_test_sample_is_resized_and_has_no_annotations(sample):
    mapped = make_mapper(*CROP, is_train=False)(sample)
    assert mapped["image"].shape == (3, 160, 240)
    assert "annotations" not in mapped and "instances" not in mapped


def test_about_every_other_training_image_is_cropped(sample):
    seed_all_rng(0)
    mapper = make_mapper(*CROP, "INPUT.RANDOM_FLIP", "none")
    shapes, boxes = [], []
    for _ in range(60):
        mapped = mapper(sample)
        shapes.append(tuple(mapped["image"].shape[1:]))
        boxes.append(mapped["instances"].gt_boxes.tensor)
        assert min(shapes[-1]) == 80
        height, width = shapes[-1]
        limits = torch.tensor([width, height, width, height])
        assert ((boxes[-1] >= 0) & (boxes[-1] <= limits)).all()
    whole = sum(b.tolist() == [BOX] for b in boxes)
    assert 15 <= whole <= 45


def test_cropped_boxes_follow_the_image(sample):
    """White pixels are inside the mapped box, black ones outside."""
    seed_all_rng(0)
    mapper = make_mapper(*CROP, "INPUT.MIN_SIZE_TRAIN", (160,))
    seen = 0
    for _ in range(20):
        mapped = mapper(sample)
        image, boxes = mapped["image"][0].float(), mapped["instances"].gt_boxes.tensor
        if not len(boxes):
            assert image.mean() < 128
            continue
        x1, y1, x2, y2 = boxes[0].round().int().tolist()
        if min(x2 - x1, y2 - y1) > 10:
            seen += 1
            assert image[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4].min() > 200
            image[max(0, y1 - 4) : y2 + 4, max(0, x1 - 4) : x2 + 4] = 0
            assert image.max() < 55 if image.numel() else True
    assert seen > 10


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def blank_the_pixels(path):
    data = path.read_bytes()
    start = data.index(b"IDAT") + 4
    path.write_bytes(data[:start] + bytes(16) + data[start + 16 :])


def truncate_jpeg(path):
    _, data = cv2.imencode(".jpg", cv2.imread(str(path)))
    path.write_bytes(data.tobytes()[: len(data) // 2])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_text("not an image"), id="text"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:60]), id="truncated"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-40]), id="truncated late"),
        pytest.param(truncate_jpeg, id="truncated jpeg"),
        pytest.param(flip_a_bit, id="flipped bit"),
        pytest.param(blank_the_pixels, id="blank"),
        pytest.param(lambda path: cv2.imwrite(str(path), np.zeros((9, 9, 3))), id="other size"),
    ],
)
@pytest.mark.parametrize("is_train", [True, False])
def test_an_unusable_image_is_named(sample, tmp_path, damage, is_train):
    damage(tmp_path / "image.png")
    with pytest.raises(UserError, match="image.png") as caught:
        make_mapper(is_train=is_train)(sample)
    assert "annotations" in str(caught.value)


class Recorder(BasePredictor):
    """A predictor that keeps what its network would see, and finds nothing."""

    def run(self, batch):
        self.batch = batch
        return [(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, int))] * len(batch)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def lying():
    """A colour image on its left side, and the tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return Image.fromarray(noise(*SIZE, 3).transpose(1, 0, 2)[::-1].copy()), exif


KINDS = {
    "grey.png": lambda: (Image.fromarray(noise(*SIZE)), None),
    "deep.png": lambda: (Image.fromarray(noise(*SIZE).astype(np.uint16) * 250), None),
    "deep.tif": lambda: (Image.fromarray(noise(*SIZE).astype(np.uint16) * 250), None),
    "transparent.png": lambda: (Image.fromarray(noise(*SIZE, 4)), None),
    "palette.png": lambda: (Image.fromarray(noise(*SIZE, 3)).quantize(9), None),
    "cmyk.jpg": lambda: (Image.fromarray(noise(*SIZE, 3)).convert("CMYK"), None),
    "lying.png": lying,
    "lying.jpg": lying,
    "lying.tif": lying,
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_training_evaluation_and_prediction_see_the_same_pixels(tmp_path, name, order):
    image, exif = KINDS[name]()
    image.save(tmp_path / name, exif=exif or Image.Exif())
    height, width = SIZE
    record = {"file_name": str(tmp_path / name), "height": height, "width": width}
    options = ("INPUT.FORMAT", order, "INPUT.MIN_SIZE_TRAIN", (57,), "INPUT.MIN_SIZE_TEST", 57,
               "INPUT.RANDOM_FLIP", "none")  # fmt: skip
    predictor = Recorder(ModelCard((), order, shorter_side=57, longest_side=1333))
    predictor(tmp_path / name)
    for is_train in (True, False):
        mapped = make_mapper(*options, is_train=is_train)(record)
        np.testing.assert_array_equal(mapped["image"].numpy(), predictor.batch[0])


def test_pixels_without_a_fixed_range_are_named(sample, tmp_path):
    sample["file_name"] = str(tmp_path / "a.tif")
    Image.fromarray(np.zeros(SIZE, np.float32)).save(sample["file_name"])
    with pytest.raises(UserError, match=r"a\.tif.*8 or 16 bits.*annotations"):
        make_mapper()(sample)


def test_the_annotated_size_is_that_of_the_upright_image(sample):
    image, exif = lying()
    image.save(sample["file_name"], exif=exif)
    assert make_mapper()(sample)["image"].shape == (3, *SIZE)
    with pytest.raises(UserError, match="width/height"):
        make_mapper()({**sample, "height": SIZE[1], "width": SIZE[0]})


def test_of_annotations_the_boxes_are_taken(sample):
    """A mask that is none, or keypoints, neither drop a box nor stop the run."""
    (box,) = sample["annotations"]
    more = {**box, "segmentation": [[1, 2]], "keypoints": [1, 2, 2]}
    mapped = make_mapper("INPUT.RANDOM_FLIP", "none")({**sample, "annotations": [box, more]})
    assert mapped["instances"].gt_boxes.tensor.tolist() == [BOX, BOX]
    assert not mapped["instances"].has("gt_masks")


def test_ignore_regions_are_augmented_and_kept_apart(sample):
    region = {"bbox": [70, 10, 110, 50], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0,
              "iscrowd": 1}  # fmt: skip
    sample["annotations"].insert(0, region)
    dropped = make_mapper("INPUT.RANDOM_FLIP", "none")(sample)
    assert "ignore_boxes" not in dropped
    cfg = onenet_cfg()
    cfg.merge_from_list(["INPUT.MIN_SIZE_TRAIN", (160,), "INPUT.RANDOM_FLIP", "none"])
    kept = OneNetDatasetMapper(cfg, is_train=True, ignore_regions=True)(sample)
    assert kept["ignore_boxes"].tolist() == [[140, 20, 220, 100]]
    assert kept["instances"].gt_boxes.tensor.tolist() == [[2 * x for x in BOX]]
    assert kept["instances"].gt_classes.tolist() == [1]
    assert region["iscrowd"] == 1 and region["category_id"] == 0  # the input is not changed


def test_images_without_ignore_regions_or_objects(sample):
    cfg = onenet_cfg()
    mapper = OneNetDatasetMapper(cfg, is_train=True, ignore_regions=True)
    assert mapper(sample)["ignore_boxes"].shape == (0, 4)
    empty = mapper({**sample, "annotations": []})
    assert empty["ignore_boxes"].shape == (0, 4) and len(empty["instances"]) == 0
    assert "ignore_boxes" not in OneNetDatasetMapper(cfg, False, ignore_regions=True)(sample)

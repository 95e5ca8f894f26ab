import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from onenet.data.build import SPECS
from onenet.data.digits import CLASS_NAMES


@pytest.fixture(scope="session")
def few_digits_names(few_digits):
    """The names under which the few scenes are registered in this process."""
    spec = SPECS[0]
    folder = spec.folder(few_digits)
    names = {split: f"few_digits_{split}" for split in spec.scenes}
    for split, name in names.items():
        json_file, images = spec.json_file(folder, split), spec.image_root(folder, split)
        register_coco_instances(name, {}, str(json_file), str(images))
        MetadataCatalog.get(name).thing_classes = list(CLASS_NAMES)
    yield names
    for name in names.values():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def digits_cfg(tiny_cfg, few_digits_names, tmp_path):
    """A config that trains for four iterations and does not evaluate."""
    cfg = tiny_cfg()
    cfg.MODEL.OneNet.NUM_CLASSES = 10
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (few_digits_names["train"],), ()
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (64,), 64
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 4, (3,)
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.CHECKPOINT_PERIOD = 2, 2
    cfg.SEED = 1
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    return cfg

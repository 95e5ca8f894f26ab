import pytest


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

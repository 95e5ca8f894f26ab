import logging

import pytest
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from onenet.data import register_datasets
from onenet.engine import Checkpointer
from onenet.predict.checkpoint import load_detector


@pytest.fixture
def load(tiny_cfg, tmp_path):
    """The class names of a detector whose weights call its three classes so."""

    def load(class_names=None, test=(), train=()):
        cfg = tiny_cfg()
        cfg.DATASETS.TEST, cfg.DATASETS.TRAIN = test, train
        Checkpointer(build_model(cfg), str(tmp_path), class_names=class_names).save("model")
        cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
        return load_detector(cfg)[1].class_names

    return load


@pytest.fixture
def there():
    """A dataset that tells its classes."""
    register_datasets([["there", "there.json", "there"], ["moved", "moved.json", "moved"]])
    MetadataCatalog.get("there").thing_classes = ["disc", "box", "cat"]
    yield "there"
    register_datasets([])


def told(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_the_weights_know_best(load, there, caplog):
    assert load(["a", "b", "c"]) == ("a", "b", "c")
    assert told(caplog) == []
    assert load(["a", "b", "c"], test=(there,)) == ("a", "b", "c")
    assert 'number 0 is "a" and "disc"' in told(caplog)[0]


@pytest.mark.parametrize("datasets", [{"test": ("there",)}, {"train": ("moved", "there")}])
def test_else_the_first_dataset_that_tells(load, there, caplog, datasets):
    assert load(**datasets) == ("disc", "box", "cat")
    assert told(caplog) == []


def test_else_their_numbers_and_a_warning(load, there, caplog):
    assert load(test=("moved",)) == ("0", "1", "2")
    (warning,) = told(caplog)
    assert "tell class names" in warning
    assert "model.pth" in warning

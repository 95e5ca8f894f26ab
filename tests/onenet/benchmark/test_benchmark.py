import pytest
import torch
from onenet.benchmark import step as benchmark
from onenet.benchmark.step import Timing, measure, report


def test_warm_up_is_not_timed(monkeypatch):
    clock, calls = iter(range(100)), []
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock) ** 2)
    timing = measure("task", lambda: calls.append(1), images=2, iterations=3, warmup=4)
    assert len(calls) == 7
    assert timing == Timing("task", seconds=5, slowest=9, images=2)  # 1 - 0, 9 - 4, 25 - 16


def test_report():
    table = report([Timing("train", 0.5, 1.0, 8), Timing("eval", 0.25, 0.3, 1)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert rows[0][-1] == "s/iter : train"
    assert rows[2] == ["train", "0.5000", "1.0000", "16.00", "1.00"]
    assert rows[3] == ["eval", "0.2500", "0.3000", "4.00", "0.50"]


@pytest.mark.parametrize("task", [benchmark.train_task, benchmark.eval_task])
def test_only_training_changes_the_weights(digits_cfg, monkeypatch, task):
    models, build_model = [], benchmark.Trainer.build_model

    def remember(cfg):
        models.append(build_model(cfg))
        return models[-1]

    monkeypatch.setattr(benchmark.Trainer, "build_model", remember)
    iteration = task(digits_cfg, benchmark.random_batches(digits_cfg, 2, (64, 96), count=2))
    (model,) = models
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(3):  # more than there are batches
        iteration()
    pairs = zip(before, model.parameters(), strict=True)
    assert any(not torch.equal(p, q) for p, q in pairs) == (task is benchmark.train_task)


def test_random_batches(digits_cfg):
    batches = benchmark.random_batches(digits_cfg, 2, (64, 96), count=3)
    assert [len(batch) for batch in batches] == [2, 2, 2]
    instances = batches[0][0]["instances"]
    assert instances.gt_boxes.nonempty().all()
    assert (instances.gt_boxes.tensor <= torch.tensor([96, 64, 96, 64])).all()
    assert instances.gt_classes.max() < digits_cfg.MODEL.OneNet.NUM_CLASSES


def test_batches_of_the_data(digits_cfg, few_digits_names):
    digits_cfg.DATASETS.TEST = (few_digits_names["val"],)
    assert [len(batch) for batch in benchmark.training_batches(digits_cfg, 2)] == [2, 2]
    assert [len(batch) for batch in benchmark.test_batches(digits_cfg, 2)] == [1, 1]
    assert len(benchmark.data_task(digits_cfg)()) == 2

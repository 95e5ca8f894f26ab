import logging
from collections import Counter

import pytest
import torch
from onenet import ConfigError
from onenet.engine import setup_cfg


@pytest.fixture
def machine(monkeypatch):
    """Pretend a machine with so many accelerators of a kind."""

    def pretend(kind, count):
        there = count > 0
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there and kind == "cuda")

    return pretend


def device(name, *options):
    return setup_cfg(opts=["MODEL.DEVICE", name, *options]).MODEL.DEVICE


@pytest.mark.parametrize("name", ["cuda", "cuda:7"])
def test_without_a_gpu_it_is_the_cpu_and_says_so_once(machine, caplog, monkeypatch, name):
    machine("cuda", 0)
    monkeypatch.setattr("detectron2.utils.logger._LOG_COUNTER", Counter())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            cfg = setup_cfg(opts=["MODEL.DEVICE", name, "SOLVER.AMP.ENABLED", "True"])
    assert cfg.MODEL.DEVICE == "cpu"
    assert not cfg.SOLVER.AMP.ENABLED
    told = [r.message for r in caplog.records if "No GPU" in r.message]
    assert told == [f'No GPU is available for MODEL.DEVICE "{name}": running on the CPU.']


def test_the_cpu_is_nothing_to_warn_about(caplog):
    assert device("cpu") == "cpu"
    assert not caplog.records


@pytest.mark.parametrize(
    ("kind", "count", "name", "there"),
    [
        ("cuda", 0, "mps", "cpu"),
        ("cuda", 0, "gpu", "cpu"),
        ("cuda", 0, "cudaa", "cpu"),
        ("cuda", 0, "", "cpu"),
        ("cuda", 2, "cuda:7", "cpu, cuda, cuda:0, cuda:1"),
        ("cuda", 2, "xpu", "cpu, cuda, cuda:0, cuda:1"),
        ("cuda", 2, "CUDA", "cpu, cuda, cuda:0, cuda:1"),
        ("mps", 1, "mps:1", "cpu, mps, mps:0"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(machine, kind, count, name, there):
    machine(kind, count)
    with pytest.raises(ConfigError) as caught:
        device(name)
    assert str(caught.value) == (
        f'MODEL.DEVICE "{name}" is not on this machine, which has: {there}.'
    )


@pytest.mark.parametrize(("kind", "name"), [("cuda", "cuda"), ("cuda", "cuda:1"), ("mps", "mps")])
def test_what_is_there_stays(machine, kind, name):
    machine(kind, 2)
    assert device(name, "SOLVER.AMP.ENABLED", "True") == name

import logging
import os
import sys
from argparse import Namespace

import pytest
import torch
from detectron2 import engine
from detectron2.engine.train_loop import TrainerBase
from onenet import UserError
from onenet.engine import count_processes, exit_on_user_error, launch
from onenet.engine.launch import TORCHRUN
from torch.multiprocessing import ProcessExitedException
from torch.utils.data import DataLoader

launch_module = sys.modules[launch.__module__]  # the package has the function of that name


class Dataset(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UserError('cannot use the image "a.png": it is broken')


def raise_user_error(cfg, args):
    raise UserError(args.message)


def arguments(**changes):
    flags = {"num_gpus": 1, "num_machines": 1, "machine_rank": 0, "dist_url": "auto"}
    return Namespace(**{**flags, **changes})


def test_one_line_and_an_exit_code(capsys):
    with pytest.raises(SystemExit) as caught, exit_on_user_error():
        raise UserError("this key is wrong")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: this key is wrong\n"


def test_an_error_in_a_data_loaders_process(capsys):
    with pytest.raises(SystemExit), exit_on_user_error():
        next(iter(DataLoader(Dataset(), num_workers=1)))
    assert capsys.readouterr().err == 'error: cannot use the image "a.png": it is broken\n'


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        1 / 0  # noqa: B018


@pytest.mark.parametrize(("error", "waits"), [(ValueError, True), (UserError, False)])
def test_a_process_that_may_have_failed_for_another_waits_to_be_ended(monkeypatch, error, waits):
    """What it would print hides the message of the one that failed first."""

    def main(cfg, args):
        raise error("the other one does not answer")

    slept = []
    monkeypatch.setattr(launch_module.time, "sleep", slept.append)
    for processes in (1, 2):
        monkeypatch.setattr(launch_module.comm, "get_world_size", lambda n=processes: n)
        with pytest.raises((SystemExit, ValueError)):
            launch_module._run(main, None, None)
    assert slept == [launch_module.PATIENCE] * waits


@pytest.mark.parametrize("error", [UserError, ValueError])
def test_the_training_loop_logs_tracebacks_of_bugs_only(caplog, error):
    class Loop(TrainerBase):
        def run_step(self):
            raise error("on purpose")

    with pytest.raises((SystemExit, ValueError)), exit_on_user_error():
        Loop().train(0, 1)
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == (error is ValueError)
    assert not logging.getLogger("detectron2.engine.train_loop").filters


def test_one_process_is_this_one(tiny_cfg, capsys):
    with pytest.raises(SystemExit):
        launch(raise_user_error, tiny_cfg(), arguments(message="from the process"))
    assert capsys.readouterr().err == "error: from the process\n"


@pytest.fixture
def torchrun_of(monkeypatch):
    """Make the environment that of the second of some processes of one machine."""

    def pretend(processes):
        values = (processes, 1, processes, 1)
        for name, value in zip(TORCHRUN, map(str, values), strict=True):
            monkeypatch.setenv(name, value)

    return pretend


@pytest.fixture
def two_gpus(tiny_cfg, monkeypatch):
    """A config for a machine with two GPUs, and the calls of Detectron2's launch."""
    cfg, calls = tiny_cfg(), []
    cfg.MODEL.DEVICE = "cuda"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(engine, "launch", lambda *args, **kwargs: calls.append((args, kwargs)))
    return cfg, calls


def test_on_gpus_detectron2_starts_the_processes(two_gpus):
    cfg, calls = two_gpus
    args = arguments(num_gpus=2, num_machines=2, machine_rank=1)
    launch(raise_user_error, cfg, args)
    (((_, num_gpus), options),) = calls
    assert num_gpus == 2
    assert (options["num_machines"], options["machine_rank"]) == (2, 1)
    assert options["args"] == (raise_user_error, cfg, args)


def test_more_gpus_than_there_are(two_gpus):
    cfg, calls = two_gpus
    with pytest.raises(UserError, match="--num-gpus 3: there are only 2 GPUs here"):
        launch(raise_user_error, cfg, arguments(num_gpus=3))
    assert not calls


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_of_one_process(two_gpus, torchrun_of, device):
    cfg, _ = two_gpus
    cfg.MODEL.DEVICE = device
    assert count_processes(cfg, arguments()) == 1
    for flags in ({"num_gpus": 2}, {"num_machines": 2}):
        with pytest.raises(UserError, match=f'MODEL.DEVICE "{device}" is for one process'):
            count_processes(cfg, arguments(**flags))
    torchrun_of(2)
    with pytest.raises(UserError, match=f'MODEL.DEVICE "{device}" is for one process'):
        count_processes(cfg, arguments())


@pytest.mark.parametrize(("flags", "count"), [({}, 1), ({"num_gpus": 2, "num_machines": 3}, 6)])
def test_counting_processes(two_gpus, tiny_cfg, flags, count):
    assert count_processes(two_gpus[0], arguments(**flags)) == count
    assert count_processes(tiny_cfg(), arguments(**flags)) == count


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"machine_rank": 1}, "--machine-rank 1: .* 0 to 0"),
        ({"num_machines": 2, "machine_rank": 2}, "--machine-rank 2: .*--num-machines 2 .* 0 to 1"),
        ({"num_machines": 2, "dist_url": "auto"}, '--dist-url "auto" .*tcp://HOST:PORT'),
        ({"num_machines": 2, "dist_url": "tcp://h:port"}, '"tcp://h:port" .*tcp://HOST:PORT'),
        ({"num_machines": 2, "dist_url": "tcp://h:70000"}, '"tcp://h:70000" .*tcp://HOST:PORT'),
        ({"num_machines": 2, "dist_url": "file:///h"}, '"file:///h" .*tcp://HOST:PORT'),
    ],
)
def test_flags_that_do_not_fit(tiny_cfg, flags, named):
    with pytest.raises(UserError, match=named):
        launch(raise_user_error, tiny_cfg(), arguments(**flags))


def test_the_processes_of_a_cpu_know_their_place(tiny_cfg, monkeypatch):
    """Those of the second of three machines with two processes each."""
    seen = []
    monkeypatch.setattr(launch_module, "_join", lambda *args: seen.append(dict(os.environ)))
    monkeypatch.setattr(
        launch_module,
        "start_processes",
        lambda start, nprocs, args: [start(rank, *args) for rank in range(nprocs)],
    )
    for name in (*TORCHRUN, "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    threads = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    flags = {"num_machines": 3, "machine_rank": 1, "dist_url": "tcp://first:1234"}
    launch(raise_user_error, tiny_cfg(), arguments(num_gpus=2, **flags))
    assert [[one[name] for name in TORCHRUN] for one in seen] == [
        ["6", "2", "2", "0"], ["6", "3", "2", "1"]
    ]  # fmt: skip
    assert {(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in seen} == {("first", "1234")}
    assert threads == [2, 2]


def test_a_process_whose_launcher_was_killed_does_nothing(two_gpus, tiny_cfg, monkeypatch):
    """It may happen before PyTorch has arranged that the one dies with the other."""
    started = []
    monkeypatch.setattr(
        launch_module, "start_processes", lambda start, nprocs, args: started.append((start, args))
    )
    launch(raise_user_error, tiny_cfg(), arguments(num_gpus=2))
    launch(raise_user_error, two_gpus[0], arguments(num_gpus=2))
    ((become_rank, rank_arguments),) = started
    (((run, _), options),) = two_gpus[1]
    launcher = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: launcher + 1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(SystemExit, match=f"process {launcher}, .* is gone"):
        become_rank(0, *rank_arguments)
    with pytest.raises(SystemExit, match=f"process {launcher}, .* is gone"):
        run(*options["args"])
    monkeypatch.setattr(os, "getppid", lambda: launcher)
    ran = []
    monkeypatch.setattr(launch_module, "_run", lambda *args: ran.append(args))
    run(*options["args"])
    assert ran == [options["args"]]


def test_a_process_that_was_killed_is_named(two_gpus, monkeypatch, capsys):
    def die(*args, **kwargs):
        message = "process 1 terminated with signal SIGKILL"
        raise ProcessExitedException(message, 1, 77, exit_code=-9, signal_name="SIGKILL")

    monkeypatch.setattr(engine, "launch", die)
    with pytest.raises(SystemExit) as caught:
        launch(raise_user_error, two_gpus[0], arguments(num_gpus=2))
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: process 1 terminated with signal SIGKILL\n"


@pytest.fixture
def torchrun(torchrun_of):
    """The environment of the second of two processes."""
    torchrun_of(2)


def test_torchrun_says_how_many_processes_there_are(torchrun, tiny_cfg, two_gpus, monkeypatch):
    assert count_processes(tiny_cfg(), arguments()) == 2
    assert count_processes(two_gpus[0], arguments()) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(UserError, match="--nproc-per-node 4: there are only 2 GPUs"):
        count_processes(two_gpus[0], arguments())


def test_torchrun_and_num_gpus_contradict_each_other(torchrun, tiny_cfg):
    with pytest.raises(UserError, match="leave out --num-gpus"):
        launch(raise_user_error, tiny_cfg(), arguments(num_gpus=2))

"""The runner, with a program in place of train_net.py that writes what a run would."""

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from lab import Arm, Run
from lab.runner import CONSOLE, FAILURE, count_slots, make_job, run_all
from onenet.errors import UserError

PATIENCE = 120  # seconds, for machines that are busy

TRAIN = """
import json, os, sys, time
opts = dict(zip(sys.argv[4::2], sys.argv[5::2]))
folder, mode = opts["OUTPUT_DIR"], opts["MODE"]
print("training", opts["SEED"], os.environ.get("OMP_NUM_THREADS"), flush=True)
open(os.path.join(folder, "started"), "a").write("x")
if mode == "hang":
    time.sleep(600)
if mode == "crash":
    sys.exit("no such luck")
record = {"iteration": 10, "bbox/AP": 1.0, "bbox_nms/AP": 2.0}
if mode != "lazy":
    open(os.path.join(folder, "metrics.json"), "w").write(json.dumps(record))
"""


@pytest.fixture
def make(tmp_path):
    """Make jobs of arms with a mode each."""
    program = tmp_path / "train.py"
    program.write_text(TRAIN)

    def make(*modes):
        output = tmp_path / "out"
        arms = [Arm(f"{i}{mode}", "a.yaml", {"MODE": mode}) for i, mode in enumerate(modes)]
        runs = [Run(arm, 1, output / arm.folder / "seed1") for arm in arms]
        return [make_job(run, 10, program) for run in runs], output

    return make


def starts(job):
    file = job.run.output_dir / "started"
    return len(file.read_text()) if file.exists() else 0


def test_a_crash_does_not_take_the_others(make, capsys):
    jobs, output = make("train", "crash", "lazy", "train")
    run_all(jobs, [{}, {}], output)
    assert [job.finished for job in jobs] == [True, False, False, True]
    failure = json.loads((jobs[1].run.output_dir / FAILURE).read_text())
    assert failure == {"exit_code": 1, "tail": ["training 1 None", "no such luck"]} or (
        failure["tail"][-1] == "no such luck"
    )
    assert (jobs[2].run.output_dir / FAILURE).exists()  # it ended well, but has no results
    printed = capsys.readouterr().out
    assert "0train, seed 1: AP 1.0, with NMS 2.0" in printed
    assert "1crash, seed 1: FAILED, exit code 1" in printed
    assert "no such luck" in printed


def test_what_is_finished_is_not_repeated(make):
    jobs, output = make("train", "crash")
    for _ in range(2):
        run_all(jobs, [{}], output)
    assert [starts(job) for job in jobs] == [1, 2]


def test_a_failure_is_forgotten_when_the_run_succeeds(make):
    jobs, output = make("train")
    jobs[0].run.output_dir.mkdir(parents=True)
    (jobs[0].run.output_dir / FAILURE).write_text("{}")
    run_all(jobs, [{}], output)
    assert not (jobs[0].run.output_dir / FAILURE).exists()


def test_the_environment_of_a_slot(make):
    jobs, output = make("train")
    run_all(jobs, [{"OMP_NUM_THREADS": "3"}], output)
    assert "training 1 3" in (jobs[0].run.output_dir / CONSOLE).read_text()


def test_slots(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert count_slots(None, on_cpu=True) == [{}]
    assert count_slots(3, on_cpu=True) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert count_slots(9, on_cpu=True)[0] == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    gpus = [slot["CUDA_VISIBLE_DEVICES"] for slot in count_slots(None, on_cpu=False)]
    assert gpus == ["4", "6"]
    gpus = [slot["CUDA_VISIBLE_DEVICES"] for slot in count_slots(3, on_cpu=False)]
    assert gpus == ["4", "6", "4"]


def wait_for(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def train_hanging(job, output):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run_all([job], [{}], output)


@pytest.fixture
def interrupted(make):
    """Send a signal to a process that trains a job which hangs; gives the job afterwards."""
    (job,), output = make("hang")
    process = multiprocessing.get_context("fork").Process(target=train_hanging, args=(job, output))
    process.start()

    def interrupt(number):
        wait_for(lambda: starts(job) == 1)
        os.kill(process.pid, number)
        process.join(PATIENCE)
        return job, output

    yield interrupt
    process.kill()
    for child in children_of(job):
        os.kill(child, signal.SIGKILL)


def children_of(job):
    """Processes that have the folder of a job on their command line."""
    here = str(job.run.output_dir).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if here in arguments:
            found.append(int(process.name))
    return found


def test_an_interruption_ends_the_runs(interrupted):
    job, _ = interrupted(signal.SIGTERM)
    wait_for(lambda: not children_of(job))


def test_a_run_that_was_left_behind_keeps_the_folder(interrupted, make):
    job, output = interrupted(signal.SIGKILL)
    assert children_of(job)
    with pytest.raises(UserError, match="is being trained into by another process"):
        run_all([job], [{}], output)
    assert starts(job) == 1

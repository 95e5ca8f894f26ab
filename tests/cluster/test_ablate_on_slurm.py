"""tools/ablate.py --cluster slurm on a cluster of two nodes that are this machine."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch
from lab import Arm, Run
from lab.cluster import Slurm, slurm
from lab.runner import make_job

from .machine import NODES, wait_for

ROOT = Path(__file__).parents[2]
PATIENCE = 900  # seconds, for machines that are busy
# In place of train_net.py: 300 steps of 0.3 seconds, each saved.
STEPS = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("OUTPUT_DIR") + 1])
saved = folder / "last_checkpoint"
begin = int(saved.read_text()) if saved.exists() else 0
print("Starting training from iteration", begin, flush=True)
for step in range(begin, 500):
    time.sleep(0.3)
    saved.write_text(str(step + 1))
record = {"iteration": 500, "bbox/AP": 1.0, "bbox_nms/AP": 2.0}
(folder / "metrics.json").write_text(json.dumps(record))
"""
TIMES = ("time", "mean_time", "assign/time", "data_time", "rank_data_time", "eta_seconds")


def logged(file):
    """The records of metrics.json, without the times in them."""
    records = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: r[name] for name in r if name not in TIMES} for r in records]


def assert_same_run(ablation, arm, one="output", other="here", evaluations=True):
    logs = [logged(ablation.file(arm, "metrics.json", output)) for output in (one, other)]
    for record, expected in zip(*logs, strict=True):
        if "total_loss" not in expected and not evaluations:
            continue
        assert record == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    weights = [
        torch.load(ablation.file(arm, "model_final.pth", output), weights_only=True)["model"]
        for output in (one, other)
    ]
    for name, weight in weights[0].items():
        assert torch.equal(weights[1][name], weight), name


def starts(ablation, arm):
    """The iterations from which a run was begun."""
    return starts_in(ablation.file(arm, "console.txt"))


def starts_in(file):
    console = file.read_text()
    return [int(n) for n in re.findall(r"Starting training from iteration (\d+)", console)]


def job_of(ablation, arm):
    return json.loads((ablation.folder / "output" / "cluster.json").read_text())[f"{arm}/seed1"]


def test_a_preempted_run_ends_like_one_that_was_not(ablation, machine):
    experiment = ablation("steady: {}, diverges: {SOLVER.BASE_LR: 1.0e+30, SOLVER.WARMUP_ITERS: 0}")
    program = experiment.start_on_cluster()
    experiment.wait_for_checkpoint("steady")
    machine.run("scancel", "--signal=USR2", job_of(experiment, "steady"))
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 1  # for the other arm
    assert "steady, seed 1: Slurm starts it again" in printed
    assert "steady, seed 1: AP" in printed
    assert "diverges, seed 1: FAILED, exit code 1" in printed
    assert "SOLVER.BASE_LR" in printed  # in the last lines of its log
    begun = starts(experiment, "steady")
    assert len(begun) == 2
    assert begun[1] >= 10

    undisturbed = experiment.start("--jobs", "2", output="here")
    undisturbed.communicate(timeout=PATIENCE)
    assert_same_run(experiment, "steady")
    there, here = (
        json.loads((experiment.folder / output / "results.json").read_text())["arms"][1]["runs"][0]
        for output in ("output", "here")
    )
    assert there["tail"][-1] == here["tail"][-1]
    assert not (experiment.folder / "output" / "cluster.json").exists()


def test_a_run_whose_node_dies_goes_on_elsewhere(ablation, machine):
    experiment = ablation("long: {SOLVER.MAX_ITER: 200}")
    program = experiment.start_on_cluster()
    experiment.wait_for_checkpoint("long")
    node = machine.run("squeue", "--me", "-ho%N").strip()
    machine.kill_node(node)
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, printed
    assert "long, seed 1: Slurm starts it again" in printed
    assert starts(experiment, "long")[1] >= 10


def test_a_run_that_may_not_be_started_again_fails_with_its_node(ablation, machine):
    experiment = ablation("long: {SOLVER.MAX_ITER: 100000}")
    program = experiment.start_on_cluster("additional_parameters={no-requeue: true}")
    experiment.wait_for_checkpoint("long")
    machine.kill_node(machine.run("squeue", "--me", "-ho%N").strip())
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 1
    assert "long, seed 1: FAILED" in printed
    assert "Slurm: NODE_FAIL" in printed
    results = json.loads((experiment.folder / "output" / "results.json").read_text())
    assert results["arms"][0]["runs"][0]["status"] == "failed"


def test_two_machines_train_one_run_and_are_preempted(ablation, machine, run_python):
    experiment = ablation("pair: {}")
    program = experiment.start_on_cluster("nodes=2")
    experiment.wait_for_checkpoint("pair")
    machine.run("scancel", "--signal=USR2", job_of(experiment, "pair"))
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, printed
    assert starts(experiment, "pair")[1] >= 10
    train_net = [ROOT / "train_net.py", "--config-file", "tiny.yaml", "--num-gpus", "2"]
    done = run_python(experiment.folder, *train_net, "SEED", "1", "OUTPUT_DIR", "here/pair/seed1")
    assert done.returncode == 0, done.stderr
    # The second process has gone on with the statistics of BN that the first one has saved.
    assert_same_run(experiment, "pair", evaluations=False)


def test_a_run_of_two_machines_goes_on_when_one_is_back(ablation, machine):
    experiment = ablation("pair: {SOLVER.MAX_ITER: 200}")
    program = experiment.start_on_cluster("nodes=2")
    experiment.wait_for_checkpoint("pair")
    machine.kill_node(NODES[1])
    wait_for(lambda: "down" in machine.run("sinfo", "-hn", NODES[1], "-o%T"), "Slurm to notice")
    machine.start_node(NODES[1])
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, printed
    assert "pair, seed 1: Slurm starts it again" in printed
    assert starts(experiment, "pair")[1] >= 10


def test_the_jobs_outlive_the_program(ablation, machine):
    experiment = ablation("long: {SOLVER.MAX_ITER: 100000}")
    program = experiment.start_on_cluster()
    experiment.wait_for_checkpoint("long")
    program.send_signal(signal.SIGINT)
    printed, _ = program.communicate(timeout=PATIENCE)
    job = job_of(experiment, "long")
    assert "The jobs go on." in printed
    assert f"scancel {job} cancels them" in printed

    printed, _ = experiment.start("--report-only").communicate(timeout=PATIENCE)
    assert "not finished: " in printed
    printed, _ = experiment.start().communicate(timeout=PATIENCE)
    assert "add --cluster slurm" in printed

    record = experiment.folder / "output" / "cluster.json"
    before = record.stat().st_mtime_ns
    program = experiment.start_on_cluster()
    wait_for(lambda: record.stat().st_mtime_ns > before, "the program to come back", PATIENCE)
    assert job_of(experiment, "long") == job
    machine.run("scancel", job)
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 1
    assert "Slurm: CANCELLED" in printed
    assert starts(experiment, "long") == [0]


def test_a_time_limit_is_an_interruption(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", machine.environment["SLURM_CONF"])
    monkeypatch.setattr(slurm, "POLL_SECONDS", 1)
    (tmp_path / "train_net.py").write_text(STEPS)
    run = Run(Arm("a", "a.yaml", {}), 1, tmp_path / "out" / "a" / "seed1")
    job = make_job(run, 500, tmp_path / "train_net.py")
    Slurm(tmp_path / "out", ["timeout_min=3", "signal_delay_s=60"]).run_all([job])
    assert job.finished
    first, second, *_ = starts_in(run.output_dir / "console.txt")
    assert first < second


def test_what_slurm_refuses(ablation):
    program = ablation("one: {}").start_on_cluster("partition=nowhere")
    printed, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 1
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "Invalid partition" in line

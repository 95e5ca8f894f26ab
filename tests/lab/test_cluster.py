"""The cluster's side of the laboratory, with programs in place of Slurm's that answer from files.

tests/cluster has the same with Slurm itself.
"""

import json
import pickle
import signal
import sys
from types import SimpleNamespace

import pytest
from lab import Arm, Run
from lab.cluster import Slurm, check_no_jobs, slurm
from lab.cluster.queue import State, count_states, read_queue
from lab.collect import MACHINE
from lab.console import FAILURE
from lab.runner import make_job
from onenet.errors import UserError

pytest.importorskip("submitit")

PROGRAMS = {
    "srun": "exit 0",
    "sbatch": 'cat "$1" >> batch; echo "Submitted batch job $((6 + $(grep -c ^#!/bin batch)))"',
    "squeue": "cat queue",
}
RESULT = {"iteration": 10, "bbox/AP": 1.0, "bbox_nms/AP": 2.0}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Make a :class:`Slurm` of options; the arrays that it submits are 7, 8, ..."""
    for name, script in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queue").touch()
    return lambda *options, **more: Slurm(
        tmp_path / "out", ["timeout_min=60", *options], more.get("num_jobs")
    )


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Say what squeue answers the first time, the second time, ..."""

    def queue(*answers):
        left = list(answers)

        def show(*_):
            (tmp_path / "queue").write_text("\n".join(left.pop(0)))

        monkeypatch.setattr(slurm, "time", SimpleNamespace(sleep=show))
        show()

    return queue


@pytest.fixture
def jobs(tmp_path):
    arms = [Arm(label, "a.yaml", {}) for label in ("one", "two")]
    runs = [Run(arm, 1, tmp_path / "out" / arm.folder / "seed1") for arm in arms]
    return [make_job(run, 10, tmp_path / "train_net.py") for run in runs]


def finish(job):
    job.run.output_dir.mkdir(parents=True, exist_ok=True)
    (job.run.output_dir / "metrics.json").write_text(json.dumps(RESULT))


def test_an_array_of_what_is_not_finished(cluster, queue, jobs, tmp_path, capsys):
    finish(jobs[0])
    queue("", ["7 RUNNING 0 None"], ["7 RUNNING 1 BeginTime"], ["7 FAILED 1 NonZeroExitCode"], "")
    cluster("partition=gpu", "gpus_per_node=8", "nodes=2", "cpus_per_task=5").run_all(jobs)
    batch = (tmp_path / "batch").read_text()
    for line in ("partition=gpu", "gpus-per-node=8", "nodes=2", "ntasks-per-node=8", "time=60"):
        assert f"#SBATCH --{line}\n" in batch
    assert "--cpus-per-task=5" in batch.partition("srun")[2]
    assert "#SBATCH --array" not in batch  # of one
    printed = capsys.readouterr().out
    assert "two, seed 1: Slurm starts it again, RUNNING (BeginTime)" in printed
    assert "two, seed 1: FAILED, it ended\nSlurm: UNKNOWN (it has left the queue)" in printed
    failure = json.loads((jobs[1].run.output_dir / FAILURE).read_text())
    assert "exit_code" not in failure
    assert not (tmp_path / "out" / slurm.RECORD).exists()


def test_several_at_a_time(cluster, queue, jobs, tmp_path):
    queue("", ["7_0 COMPLETED 0 None", "7_1 COMPLETED 0 None"], "")
    cluster(num_jobs=1).run_all(jobs)
    assert "#SBATCH --array=0-1%1\n" in (tmp_path / "batch").read_text()
    submitted = sorted((tmp_path / "out" / slurm.FOLDER).glob("7_*_submitted.pkl"))
    trainings = [pickle.loads(file.read_bytes()).function for file in submitted]
    assert [training.job for training in trainings] == jobs


def test_jobs_that_are_there_are_not_submitted_again(cluster, queue, jobs, tmp_path, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    queue("")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(slurm, "time", SimpleNamespace(sleep=interrupt))
        cluster().run_all(jobs)
    assert "scancel 7 cancels them" in capsys.readouterr().out
    with pytest.raises(UserError, match="was given to Slurm as 7: add --cluster slurm"):
        check_no_jobs(tmp_path / "out")

    finish(jobs[0])
    queue(["7_0 COMPLETED 0 None", "7_1 RUNNING 0 None"], ["7_1 CANCELLED 0 None"], "")
    cluster().run_all(jobs)
    assert (tmp_path / "batch").read_text().count("#!/bin") == 1
    queue("", ["8 CANCELLED 0 None"], "")
    cluster().run_all(jobs)  # what has failed is tried again
    assert (tmp_path / "batch").read_text().count("#!/bin") == 2
    check_no_jobs(tmp_path / "out")


def test_what_squeue_says(cluster, tmp_path):
    line = "12_3                PENDING    2    Nodes required for job are DOWN, DRAINED   \n"
    (tmp_path / "queue").write_text(line)
    reason = "Nodes required for job are DOWN, DRAINED"
    assert read_queue() == {"12_3": State("PENDING", 2, reason)}
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho no controller >&2; exit 1\n")
    assert read_queue() is None
    states = [State("RUNNING"), State("PENDING", reason="Resources"), State("RUNNING", 1)]
    assert count_states(states) == "2 RUNNING, 1 PENDING (Resources)"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("SOLVER.MAX_ITER", "is not NAME=VALUE; keys of the config go before"),
        ("nodes=two", 'Parameter "nodes" expected type'),
        ("partitoin=gpu", "Unknown argument 'partitoin'"),
        ("setup=[a", "no value in YAML"),
    ],
)
def test_options_that_cannot_be(cluster, option, message):
    with pytest.raises(UserError) as caught:
        cluster(option)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_time_limit_is_needed(tmp_path):
    with pytest.raises(UserError, match="needs timeout_min=MINUTES"):
        Slurm(tmp_path, ["nodes=1"])


def test_slurm_is_needed(cluster, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="there is no srun here"):
        cluster()


def test_submitit_is_needed(cluster, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="pip install 'submitit"):
        cluster()


@pytest.fixture
def training(cluster, jobs, monkeypatch):
    """One that runs a program in place of train_net.py, as rank 0 or another."""
    from lab.cluster.training import Training

    def train(script, rank=0, ranks=1):
        (job, _) = jobs
        job.run.output_dir.mkdir(parents=True, exist_ok=True)
        (job.run.output_dir.parents[2] / "train_net.py").write_text(script)
        variables = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "here[1-2]"}
        variables |= {"SLURM_NTASKS": ranks, "SLURM_JOB_NUM_NODES": ranks, "SLURM_PROCID": rank}
        for name, value in {"SUBMITIT_EXECUTOR": "slurm", "SLURM_LOCALID": 0, **variables}.items():
            monkeypatch.setenv(name, str(value))
        training = Training(job)
        handler = signal.getsignal(signal.SIGUSR2)
        try:
            training()
        finally:
            signal.signal(signal.SIGUSR2, handler)
        return training

    train.folder = jobs[0].run.output_dir
    return train


def test_a_rank_has_the_variables_of_torchrun(training, monkeypatch):
    names = ("MASTER_ADDR", "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
    for name in (*names, "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    training(f"import os; print(*map(os.environ.get, {names}))", rank=1, ranks=2)
    assert (training.folder / "console.txt.rank1").read_text() == "here1 2 1 1 0\n"
    assert not (training.folder / MACHINE).exists()  # which the first one writes


def test_the_first_cause_of_a_failure_counts(training):
    for rank in (1, 0):
        with pytest.raises(SystemExit):
            training(f"import sys; print('rank', {rank}); sys.exit({rank + 2})", rank, ranks=2)
        if rank:
            failure = json.loads((training.folder / FAILURE).read_text())
            assert failure == {"tail": ["rank 1"], "exit_code": 3}
    # The first process has begun anew, and forgotten it.
    assert json.loads((training.folder / FAILURE).read_text())["exit_code"] == 2


def test_what_slurm_kills_has_not_failed_by_itself(training):
    with pytest.raises(SystemExit):
        training("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert not (training.folder / FAILURE).exists()


def test_warnings_are_for_the_parent(training):
    script = "import os, signal\nfor n in (15, 12): os.kill(os.getpid(), n)\n"
    with pytest.raises(SystemExit):
        training(script + "print('still here')")
    assert (training.folder / "console.txt").read_text() == "still here\n"


def test_a_run_that_gets_nowhere_is_given_up(training, monkeypatch):
    metrics = training.folder / "metrics.json"
    result = training(f"open({str(metrics)!r}, 'w').write({json.dumps(RESULT)!r})")
    saved = training.folder / "last_checkpoint"
    again = []
    for name in ("a", "a", "a", "b", "b", "b", "b", "b", "b"):
        saved.write_text(name)
        again.append(result.checkpoint() is not None)
    assert (training.folder / MACHINE).exists()
    assert again == [True] * 8 + [False]
    remark = json.loads((training.folder / FAILURE).read_text())["tail"][-1]
    assert "lower SOLVER.CHECKPOINT_PERIOD" in remark

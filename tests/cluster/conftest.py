"""A cluster of Slurm on this machine, and tools/ablate.py on it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .machine import NODES, Machine, missing_programs, wait_for

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny_train.yaml"
CONFIG = f"""
_BASE_: "{TINY}"
INPUT: {{MIN_SIZE_TRAIN: [96]}}
SOLVER: {{IMS_PER_BATCH: 4, MAX_ITER: 60, STEPS: [40], CHECKPOINT_PERIOD: 10}}
VERSION: 2
"""
# Slurm is asked every second, not every 20.
ABLATE = f"""
import runpy, sys
from lab.cluster import slurm
slurm.POLL_SECONDS = 1
sys.argv[0] = "{ROOT / "tools" / "ablate.py"}"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="session")
def machine():
    pytest.importorskip("submitit")
    if missing := missing_programs():
        pytest.skip(f"Slurm is not installed: there is no {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        machine = Machine(Path(folder))
        try:
            machine.start()
            yield machine
        finally:
            machine.stop()


class Ablation:
    """tools/ablate.py with an experiment, in a folder of its own."""

    def __init__(self, folder, environment, arms):
        self.folder, self._environment = folder, environment
        (folder / "tiny.yaml").write_text(CONFIG)
        (folder / "ablate.py").write_text(ABLATE)
        (folder / "experiment.yaml").write_text(f"config_file: tiny.yaml\narms: {{{arms}}}\n")

    def start(self, *arguments, output="output"):
        command = [sys.executable, "ablate.py", "--experiment", "experiment.yaml"]
        return subprocess.Popen(
            [*command, "--output", output, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start_on_cluster(self, *options):
        minutes = "timeout_min=10"
        return self.start("--cluster", "slurm", "--cluster-options", minutes, *options)

    def file(self, arm, name, output="output"):
        return self.folder / output / arm / "seed1" / name

    def wait_for_checkpoint(self, arm):
        wait_for(self.file(arm, "last_checkpoint").exists, f"a checkpoint of {arm}", 300)


@pytest.fixture
def ablation(machine, few_digits, tmp_path):
    """Make an experiment of arms, as in a file."""
    settings = {"DETECTRON2_DATASETS": str(few_digits), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **machine.environment, **settings}
    yield lambda arms: Ablation(tmp_path, environment, arms)
    machine.run("scancel", "--me", "--signal=KILL")
    machine.run("scancel", "--me")
    wait_for(lambda: not machine.run("squeue", "--me", "-h"), "an empty queue")
    for node in NODES:
        if machine.run("sinfo", "-hn", node, "-o%T").strip() != "idle":
            machine.start_node(node)

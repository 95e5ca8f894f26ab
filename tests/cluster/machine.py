"""A cluster of Slurm on this machine: two nodes, each a slurmd of its own, with two processors.

python tests/cluster/machine.py FOLDER starts one that ends with Ctrl-C. It needs slurmctld, slurmd
and munged (Debian: apt install slurm-wlm munge), no network and no service, and touches nothing
but FOLDER.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
HOST = socket.gethostname().partition(".")[0]
NODES = (HOST, f"{HOST}2")  # a job looks up the name of the first one
NODE = "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2"
PATIENCE = 60  # seconds

CONFIG = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# The lifetime of a credential is also how long a job waits before it is started again.
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=5
KillWait=3
ReturnToService=2
MpiDefault=none
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """What of Slurm is not installed here."""
    return [name for name in PROGRAMS if not find_program(name)]


def find_program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Machine:
    """The cluster, from :meth:`start` to :meth:`stop`.

    Args:
        folder: for all of its files; its path must be short, as those of sockets are.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._munged: subprocess.Popen | None = None

    def start(self) -> None:
        munge = self.folder / "munge"
        for part in (munge, self.folder / "state"):
            part.mkdir(mode=0o700)
        key = munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {"key-file": key, "socket": "socket", "seed-file": "seed", "log-file": "log"}
        files["pid-file"] = "pid"
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        command = [find_program("munged"), "--foreground", "--force", *options]
        self._munged = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(lambda: (munge / "socket").exists(), "munged")
        (self.folder / "slurm.conf").write_text(self._config())
        self.run("slurmctld")
        for node in NODES:
            self.start_node(node)

    def _config(self) -> str:
        sockets = [socket.socket() for _ in range(1 + len(NODES))]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        port, *node_ports = (one.getsockname()[1] for one in sockets)
        for one in sockets:
            one.close()
        pairs = zip(NODES, node_ports, strict=True)
        return CONFIG.format(
            host=HOST,
            user=getpass.getuser(),
            folder=self.folder,
            port=port,
            nodes="\n".join(NODE.format(node=node, host=HOST, port=p) for node, p in pairs),
        )

    def start_node(self, node: str) -> None:
        self.run("slurmd", "-N", node)
        wait_for(lambda: self.run("sinfo", "-hn", node, "-o%T").strip() == "idle", node)

    def kill_node(self, node: str) -> None:
        """End all that runs on a node at once, as if the power failed."""
        os.kill(int((self.folder / f"{node}.pid").read_text()), signal.SIGKILL)
        for process in self._processes(node):
            os.kill(process, signal.SIGKILL)

    def _processes(self, node: str | None = None) -> set[int]:
        """The processes of jobs, of one node or all, and those of Slurm that watch over them."""
        marks = {f"SLURM_CONF={self.environment['SLURM_CONF']}"}
        marks |= {f"SLURMD_NODENAME={node}"} if node else set()
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                watcher = Path(f"/proc/{parent}/comm").read_text().strip()
            except OSError:
                continue
            if marks <= set(variables) and any(v.startswith("SLURM_JOB_ID=") for v in variables):
                found |= {int(process.name)} | ({parent} if watcher == "slurmstepd" else set())
        return found

    def run(self, program: str, *arguments: str) -> str:
        """What a program of Slurm prints."""
        return subprocess.run(
            [find_program(program), *arguments],
            env={**os.environ, **self.environment},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def stop(self) -> None:
        for file in self.folder.glob("*.pid"):
            kill_and_wait(int(file.read_text()))
        for process in self._processes():
            kill_and_wait(process)
        if self._munged:
            self._munged.kill()
            self._munged.wait()


def kill_and_wait(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_for(lambda: not Path(f"/proc/{process}/cmdline").exists(), f"the end of {process}")


def wait_for(condition, what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited for {what} in vain"
        time.sleep(0.05)


if __name__ == "__main__":
    machine = Machine(Path(sys.argv[1]).resolve())
    machine.folder.mkdir(parents=True, exist_ok=True)
    try:
        machine.start()
        print(f"export SLURM_CONF={machine.environment['SLURM_CONF']}", flush=True)
        signal.pause()
    finally:
        machine.stop()

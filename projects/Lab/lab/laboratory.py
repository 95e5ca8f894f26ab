"""An experiment from beginning to end: check, train, collect, report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode
from onenet.files import write_text
from tqdm import tqdm

from .cluster import Slurm, check_no_jobs
from .collect import collect_run, describe_machines, history_titles, max_detections
from .experiment import Experiment, Run, plan
from .preflight import ReadConfig, check_comparable, check_folders, check_trainable, read_configs
from .report_html import write_html
from .report_markdown import write_markdown
from .results import Tree, build_results, without_nan
from .runner import Job, count_slots, make_job, run_all
from .wall import draw_wall

RESULTS, MARKDOWN, HTML = "results.json", "report.md", "report.html"


class Laboratory:
    """Trains what an experiment asks for, unless that is done, and reports on it.

    Args:
        experiment: what is compared.
        output: folder for the runs and the report.
        read_config: from a config file and ``[KEY, VALUE, ...]`` to a config.
        train_net: the program that trains.
        cluster: what trains the runs elsewhere; None: this machine does.

    Raises:
        UserError: a config cannot be read, two arms are the same, or a folder in ``output`` holds a
            run with another config.
    """

    def __init__(
        self,
        experiment: Experiment,
        output: Path,
        read_config: ReadConfig,
        train_net: Path,
        cluster: Slurm | None = None,
    ):
        self.experiment = experiment
        self.output = output
        self.cluster = cluster
        self.runs: list[Run] = plan(experiment, output)
        self.configs: list[CfgNode] = read_configs(self.runs, read_config)
        check_comparable(self.runs, self.configs)
        check_folders(self.runs, self.configs)
        self.jobs: list[Job] = [
            make_job(run, cfg.SOLVER.MAX_ITER, train_net)
            for run, cfg in zip(self.runs, self.configs, strict=True)
        ]

    def check(self) -> None:
        """Check the data and the weights of the runs that are not finished.

        Raises:
            UserError: with the arm, what does not fit, and the remedy.
        """
        open_runs = [i for i, job in enumerate(self.jobs) if not job.finished]
        check_trainable(
            [self.runs[i] for i in open_runs],
            [self.configs[i] for i in open_runs],
            num_processes=self.cluster.num_processes if self.cluster else 1,
        )

    def train(self, num_jobs: int | None = None) -> None:
        """Train the runs that are not finished; what a run prints is in ``console.txt`` of it.

        Args:
            num_jobs: how many at a time on this machine, by default one for each GPU, or one on
                the CPU.

        Raises:
            UserError: data or weights are missing, before anything is trained.
        """
        if all(job.finished for job in self.jobs):
            return
        self.check()
        if self.cluster:
            self.cluster.run_all(self.jobs)
        else:
            check_no_jobs(self.output)
            slots = count_slots(num_jobs, self.configs[0].MODEL.DEVICE == "cpu")
            run_all(self.jobs, slots, self.output)

    def report(self, command: str) -> Tree:
        """Write ``report.html``, ``report.md`` and ``results.json`` of what there is.

        Args:
            command: the command line, for the record.

        Returns:
            The tree of results.json.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        runs: dict[str, list[Tree]] = {}
        pairs = zip(self.runs, self.configs, strict=True)
        for run, cfg in tqdm(list(pairs), desc="reading the runs", unit="run"):
            runs.setdefault(run.arm.label, []).append(collect_run(run, cfg))
        results = build_results(
            self.experiment,
            runs,
            command=command,
            machine=describe_machines(self.runs, self.configs[0].MODEL.DEVICE),
            dataset=self.configs[0].DATASETS.TEST[0],
            max_detections=max_detections(self.configs[0]),
            history=history_titles(run for some in runs.values() for run in some),
        )
        results["scenes"] = draw_wall(*self._first_finished(), self.output)
        results = without_nan(results)
        write_text(self.output / RESULTS, json.dumps(results, allow_nan=False))
        write_text(self.output / MARKDOWN, write_markdown(results))
        write_text(self.output / HTML, write_html(results, self.output))
        return results

    def _first_finished(self) -> tuple[Sequence[Run], Sequence[CfgNode]]:
        """Of every arm one finished run, if there is any, and its config."""
        first: dict[str, tuple[Run, CfgNode]] = {}
        for run, cfg, job in zip(self.runs, self.configs, self.jobs, strict=True):
            if job.finished:
                first.setdefault(run.arm.label, (run, cfg))
        return [run for run, _ in first.values()], [cfg for _, cfg in first.values()]

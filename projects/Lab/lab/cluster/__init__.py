"""Train the runs of an experiment as jobs of Slurm; the laboratory knows no more than this."""

from .slurm import Slurm, check_no_jobs

__all__ = ["Slurm", "check_no_jobs"]

"""What the charts of a report are called, and where the runs were made."""

from lab import Arm, Run
from lab.collect import HISTORY, MACHINE, describe_machine, describe_machines, history_titles


def test_titles_of_what_some_run_has_logged():
    runs = [
        {"history": {"dynamics/of_later": [], "dynamics/moved": [], "total_loss": []}},
        {"status": "failed"},
    ]
    assert list(history_titles(runs).items()) == [
        ("total_loss", "training loss"),
        ("dynamics/moved", HISTORY["dynamics/moved"]),
        ("dynamics/of_later", "of later"),
    ]


def test_the_machines_are_those_that_trained(tmp_path):
    runs = [Run(Arm("a", "a.yaml", {}), seed, tmp_path / str(seed)) for seed in (1, 2, 3)]
    assert describe_machines(runs, "cpu") == describe_machine("cpu")
    for run, name in zip(runs, ("B200", "A100", "B200"), strict=True):
        run.output_dir.mkdir()
        (run.output_dir / MACHINE).write_text(name)
    assert describe_machines(runs, "cpu") == "A100 | B200"

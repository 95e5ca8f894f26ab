"""What the charts of a report are called."""

from lab.collect import HISTORY, history_titles


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

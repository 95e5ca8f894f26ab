import pytest
from lab.columns import BY_NAME, run_metrics
from onenet.engine.metrics_file import training_seconds

RESULTS = {
    "bbox/AP": 20.0,
    "bbox_nms/AP": 50.0,
    "bbox/APl": float("nan"),
    "nms_diagnosis/nms_gap": 30.0,
}


def records():
    """Of 40 steps: two positives to a ground truth at the start, three at the end."""
    return [
        {"iteration": 9, "time": 0.1, "assign/time": 0.01, "assign/positives_per_gt": 2.0},
        {"iteration": 19, "time": 0.3, "assign/time": 0.05, "assign/positives_per_gt": 2.0},
        {"iteration": 39, "time": 0.1, "assign/positives_per_gt": 3.0},
        {"iteration": 40, **RESULTS},
    ]


def test_of_a_run():
    metrics = run_metrics(RESULTS, records(), training_seconds(records()))
    assert metrics["AP"] == 20 and metrics["nms_gap"] == 30
    assert metrics["kept"] == pytest.approx(40)
    assert metrics["APl"] is None  # NaN
    assert metrics["duplicates"] is None  # not logged
    assert metrics["positives_per_gt"] == 3.0
    assert metrics["step_seconds"] == pytest.approx((10 * 0.1 + 10 * 0.3 + 20 * 0.1) / 40)
    assert metrics["assignment_share"] == pytest.approx(100 * 0.06 / 0.4)


def test_without_any_ap():
    metrics = run_metrics({"bbox/AP": 0.0, "bbox_nms/AP": 0.0}, [], 0.0)
    assert metrics["kept"] is None and metrics["step_seconds"] is None


def test_formats():
    assert BY_NAME["nms_gap"].format(0.25) == "+0.2"
    assert BY_NAME["AP"].format(None) == "–"
    assert BY_NAME["duplicates"].format(1.0) == "1.00"

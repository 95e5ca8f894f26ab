import json

from onenet.engine import read_metrics
from onenet.visualization import plot_curves
from onenet.visualization.draw import to_array

RUN = [
    {"iteration": 19, "total_loss": 3.0, "loss_ce": 1.0, "loss_giou": 2.0, "bbox/AP": 10.0},
    {"iteration": 39, "total_loss": 2.0, "loss_ce": 0.5, "loss_giou": 1.5},
    # Killed and resumed from iteration 20.
    {"iteration": 39, "total_loss": 1.8, "loss_ce": 0.4, "loss_giou": 1.4},
    {"iteration": 40, "bbox/AP": 20.0, "bbox_nms/AP": 21.0},
]


def lines(ax):
    return {line.get_label(): line.get_xydata().tolist() for line in ax.lines}


def test_curves_of_a_resumed_run(tmp_path):
    (tmp_path / "metrics.json").write_text("\n".join(map(json.dumps, RUN)))
    figure = plot_curves(read_metrics(tmp_path), "a run")
    losses, ap = map(lines, figure.axes)
    assert losses["total loss"] == [[20, 3.0], [40, 1.8]]
    assert losses["loss giou"] == [[20, 2.0], [40, 1.4]]
    assert list(losses) == ["total loss", "loss ce", "loss giou"]
    assert ap["with NMS: 21.0 at the end"] == [[40, 21.0]]
    assert ap["without NMS: 20.0 at the end"] == [[20, 10.0], [40, 20.0]]
    assert to_array(figure).std() > 0


def test_a_run_without_evaluation():
    figure = plot_curves(RUN[1:2])
    assert list(lines(figure.axes[1])) == ["without NMS", "with NMS"]
    to_array(figure)

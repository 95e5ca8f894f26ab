import json

import pytest
from onenet.engine import final_results, read_metrics, training_seconds
from onenet.engine.metrics_file import TAIL, drop_from, last_iteration, was_evaluated


@pytest.fixture
def write(tmp_path):
    def write(*records, end="\n"):
        with open(tmp_path / "metrics.json", "a") as file:
            file.write("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records) + end)
        return tmp_path

    return write


def test_a_folder_without_metrics_has_no_records(tmp_path):
    assert read_metrics(tmp_path) == []


def test_records_of_an_iteration_are_merged_and_sorted(write):
    folder = write({"iteration": 39, "loss": 1.0}, {"iteration": 19, "loss": 2.0})
    write({"iteration": 39, "bbox/AP": 3.0})
    assert read_metrics(folder) == [
        {"iteration": 19, "loss": 2.0},
        {"iteration": 39, "loss": 1.0, "bbox/AP": 3.0},
    ]


def test_after_resuming_the_later_record_counts(write):
    folder = write({"iteration": 19, "loss": 5.0}, {"iteration": 39, "loss": 4.0})
    write({"iteration": 39, "loss": 3.0}, {"iteration": 59, "loss": 2.0})
    assert [record["loss"] for record in read_metrics(folder)] == [5.0, 3.0, 2.0]


@pytest.mark.parametrize("broken", ['{"iteration": 5', "[1, 2]", "7", '{"loss": 1}', ""])
def test_a_broken_line_is_skipped(write, broken):
    folder = write({"iteration": 19}, broken, {"iteration": 39})
    assert [record["iteration"] for record in read_metrics(folder)] == [19, 39]


@pytest.mark.parametrize("end", ["\n", '\n{"iteration": 5', "\n[1]\n", "\n\n"])
def test_the_last_iteration_is_that_of_the_last_complete_record(write, end):
    assert last_iteration(write({"iteration": 19}, {"iteration": 39}, end=end)) == 39


def test_the_last_iteration_costs_no_more_in_a_long_run(write, monkeypatch):
    folder = write(*({"iteration": i, "loss": 0.125} for i in range(TAIL // 10)))
    read = []

    def loads(line):
        read.append(line)
        return json.JSONDecoder().decode(line.decode())

    monkeypatch.setattr("onenet.engine.metrics_file.json.loads", loads)
    assert last_iteration(folder) == TAIL // 10 - 1
    assert len(read) == 1


def test_a_run_without_a_record_has_no_last_iteration(tmp_path, write):
    assert last_iteration(tmp_path) == -1
    assert last_iteration(write("{")) == -1


def test_nan_can_be_read(write):
    (record,) = read_metrics(write('{"iteration": 1, "bbox/APl": NaN}'))
    assert record["bbox/APl"] != record["bbox/APl"]


@pytest.mark.parametrize("at_end", [99, 100, 101])  # of various Detectron2 versions and resumptions
def test_final_results(at_end):
    records = [
        {"iteration": 49, "bbox/AP": 1.0},
        {"iteration": 98, "loss": 1.0},
        {"iteration": at_end, "bbox/AP": 2.0},
    ]
    assert final_results(records, max_iter=100)["bbox/AP"] == 2.0
    assert final_results(records[:-1], max_iter=100) == {}
    assert final_results([], max_iter=100) == {}


def test_training_seconds_counts_each_iteration_once():
    records = [
        {"iteration": 19, "time": 0.5},
        {"iteration": 24, "bbox/AP": 1.0},
        {"iteration": 29, "time": 2.0},
    ]
    assert training_seconds(records) == 20 * 0.5 + 10 * 2.0
    assert training_seconds([]) == 0


def test_training_seconds_adds_up_means_where_there_are_any():
    assert training_seconds([{"iteration": 9, "time": 0.5, "mean_time": 0.25}]) == 2.5


def test_lines_of_iterations_that_come_again_are_cut_off(tmp_path):
    file = tmp_path / "metrics.json"
    kept = [{"iteration": 19, "total_loss": 3.0}, {"iteration": 39, "total_loss": 2.0}]
    evaluated = {"iteration": 29, "bbox/AP": 9.0}  # Detectron2 writes it with the next line
    later = [{"iteration": 59, "total_loss": 1.0}, {"iteration": 49, "bbox/AP": 9.0}]
    lines = [json.dumps(record) + "\n" for record in (*kept, later[0], evaluated, later[1])]
    file.write_text("".join(lines))
    drop_from(tmp_path, 40)
    assert [json.loads(line) for line in file.read_text().splitlines()] == [*kept, evaluated]


def test_unfinished_lines_are_cut_off(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text('{"iteration": 19}\n{"iterat{"iteration": 29}\n{"iterat')
    drop_from(tmp_path, 40)
    assert file.read_text() == '{"iteration": 19}\n'


def test_the_result_of_a_run_that_is_prolonged_stays(tmp_path):
    file = tmp_path / "metrics.json"
    text = '{"iteration": 39, "total_loss": 2.0}\n{"iteration": 40, "bbox/AP": 9.0}\n'
    file.write_text(text)
    drop_from(tmp_path, 40)
    assert file.read_text() == text
    drop_from(tmp_path, 40, keep_end=False)
    assert file.read_text() == text.splitlines(keepends=True)[0]


def test_without_a_log_there_is_nothing_to_cut_off(tmp_path):
    drop_from(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_whether_there_was_an_evaluation(write):
    folder = write({"iteration": 19, "total_loss": 1.0}, {"iteration": 39, "val/bbox/AP": 1.0})
    assert was_evaluated(folder, 39)
    assert not was_evaluated(folder, 19)
    assert not was_evaluated(folder, 29)

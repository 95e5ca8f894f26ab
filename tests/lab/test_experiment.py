from pathlib import Path

import pytest
from lab import Arm, Experiment, grid, parse_vary, plan
from onenet.errors import ConfigError

NAME, SIZE = "MODEL.OneNet.ASSIGNER.NAME", "INPUT.MIN_SIZE_TRAIN"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("K=1,2", ["1", "2"]),
        ("K=1", ["1"]),
        ("K=(1,2),[3, 4]", ["(1,2)", "[3, 4]"]),
        ('K="a,b",c', ['"a,b"', "c"]),
        ("K=((1,),(2,)),x", ["((1,),(2,))", "x"]),
        ("K=a=b", ["a=b"]),
    ],
)
def test_values_of_a_key(text, values):
    assert parse_vary(text) == ("K", values)


@pytest.mark.parametrize("text", ["K", "=1", "K=", "K=1,", "K=,1"])
def test_a_key_without_values(text):
    with pytest.raises(ConfigError, match=r"expected KEY=V1,V2,\.\.\."):
        parse_vary(text)


def test_a_grid_has_every_combination():
    arms = grid(
        "a.yaml", {NAME: ["FCOS", "ATSS"], SIZE: ["(1,)", "(2,)"]}, {"SOLVER.MAX_ITER": "9"}
    )
    assert [arm.label for arm in arms] == [
        "ASSIGNER.NAME=FCOS, INPUT.MIN_SIZE_TRAIN=(1,)",
        "ASSIGNER.NAME=FCOS, INPUT.MIN_SIZE_TRAIN=(2,)",
        "ASSIGNER.NAME=ATSS, INPUT.MIN_SIZE_TRAIN=(1,)",
        "ASSIGNER.NAME=ATSS, INPUT.MIN_SIZE_TRAIN=(2,)",
    ]
    assert arms[2].opts == {"SOLVER.MAX_ITER": "9", NAME: "ATSS", SIZE: "(1,)"}


def test_keys_that_vary_together():
    arms = grid("a.yaml", {"A.B": ["1", "2"], "C.D": ["3", "3"]}, together=True)
    assert [arm.opts for arm in arms] == [{"A.B": "1", "C.D": "3"}, {"A.B": "2", "C.D": "3"}]
    with pytest.raises(ConfigError, match="as many values each"):
        grid("a.yaml", {"A": ["1", "2"], "B": ["3"]}, together=True)


def test_names_that_need_the_whole_key():
    (arm,) = grid("a.yaml", {"X.A.B": ["1"], "Y.A.B": ["2"]})
    assert arm.label == "X.A.B=1, Y.A.B=2"


@pytest.mark.parametrize(
    ("values", "message"),
    [({"A": []}, "A has no values: the grid is empty"), ({"A": ["1", "1"]}, '"1" occurs twice')],
)
def test_a_grid_that_is_none(values, message):
    with pytest.raises(ConfigError, match=message):
        grid("a.yaml", values)


def arm(label, **opts):
    return Arm(label, "a.yaml", opts)


def test_seed_after_seed():
    experiment = Experiment("", (arm("a b"), arm("c")), (1, 2), "c")
    runs = plan(experiment, Path("out"))
    assert [run.name for run in runs] == ["a b, seed 1", "c, seed 1", "a b, seed 2", "c, seed 2"]
    assert runs[2].output_dir == Path("out/a_b/seed2")
    assert runs[2].opts == ["SEED", "2", "OUTPUT_DIR", str(Path("out/a_b/seed2"))]


@pytest.mark.parametrize(
    ("arms", "seeds", "baseline", "message"),
    [
        ([], (1,), "a", "has no arms"),
        ([arm("a")], (), "a", "has no seeds"),
        ([arm("a"), arm("a")], (1,), "a", 'label "a" occurs twice'),
        ([arm("a b"), arm("a_b")], (1,), "a b", 'folder "a_b" occurs twice'),
        ([arm("a")], (1, 1), "a", 'seed "1" occurs twice'),
        ([arm("min-cost")], (1,), "mincost", 'no arm "mincost". Did you mean "min-cost"?'),
        ([arm("a", SEED="1")], (1,), "a", 'arm "a": SEED is set by --seeds'),
    ],
)
def test_parts_that_do_not_fit(arms, seeds, baseline, message):
    with pytest.raises(ConfigError) as caught:
        Experiment("", tuple(arms), seeds, baseline)
    assert message in str(caught.value)


@pytest.mark.parametrize("label", ["..", "a/../b", "/etc", " "])
def test_a_label_cannot_leave_the_output(label):
    folder = arm(label).folder
    assert Path("out", folder).resolve().parent == Path("out").resolve()

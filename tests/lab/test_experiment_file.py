from pathlib import Path

import pytest
from lab import read_experiment, seeds_of
from onenet.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        file = tmp_path / "experiment.yaml"
        file.write_text(text)
        return read_experiment(str(file), **options)

    return read


def test_arms_then_the_grid(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = read(
        """
        config_file: a.yaml
        opts: {SOLVER: {MAX_ITER: 5, BASE_LR: 0.1}}
        arms:
          plain: {}
          other: {config_file: sub/b.yaml, MODEL.OneNet.NMS: true}
        grid: {INPUT.MIN_SIZE_TRAIN: [[64], [96, 128]]}
        """,
        opts={"SOLVER.MAX_ITER": "7"},
    )
    common = {"SOLVER.MAX_ITER": "7", "SOLVER.BASE_LR": "0.1"}
    plain, other, *rest = experiment.arms
    assert (plain.config_file, plain.opts) == ("a.yaml", common)
    assert Path(other.config_file) == Path("sub/b.yaml")
    assert other.opts == {**common, "MODEL.OneNet.NMS": "True"}
    assert [arm.opts["INPUT.MIN_SIZE_TRAIN"] for arm in rest] == ["[64]", "[96, 128]"]
    assert (experiment.title, experiment.baseline) == ("experiment", "plain")
    assert experiment.seeds == (1,)


def test_seeds_of_the_command_line_come_first(read):
    text = "{config_file: a.yaml, seeds: 3, arms: {a: {}}}"
    assert read(text).seeds == (1, 2, 3)
    assert read(text, seeds=(7,)).seeds == (7,)


ARMS = "config_file: a.yaml\narms: {a: {}, b: {}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config_fil: a.yaml", 'unknown key "config_fil". Did you mean "config_file"?'),
        ("{config_file: a.yaml, grid: {}}", "the grid is empty"),
        ("{config_file: a.yaml, grid: {A: []}}", "grid: A must be a list that is not empty"),
        ("{config_file: a.yaml, grid: {A: 1}}", "grid: A must be a list that is not empty, got 1"),
        ("{config_file: a.yaml}", "has no arms"),
        ("{arms: {a: {}}}", 'arm "a": no config_file'),
        ("{grid: {A: [1]}}", "grid: no config_file"),
        ("{config_file: [a.yaml], arms: {a: {}}}", "config_file must name a file, got ['a.yaml']"),
        ("{config_file: a.yaml, arms: {a: 3}}", 'arm "a" must hold config keys, got 3'),
        ("{config_file: a.yaml, arms: [a]}", "arms must be a mapping"),
        ("config_file: a.yaml\narms:\n  a: {}\n  a: {}", 'the key "a" occurs twice'),
        ("[1, 2]", "holds no experiment"),
        ("a: [", "line 1"),
        (ARMS + "seeds: 0", "seeds must be a positive number"),
        (ARMS + "baseline: c", 'baseline: there is no arm "c"'),
        (ARMS + "sections: [{title: t, arms: [a, x]}]", 'section "t": there is no arm "x"'),
        (ARMS + "sections: [{title: t, arm: [a]}]", 'section "t": unknown key "arm"'),
        (ARMS + "sections: [{title: t}]", "arms must be a list"),
        (
            ARMS + "sections: [{arms: [a], claims: [{text: t, arm: a, metric: APP, below: 1}]}]",
            'metric: unknown name "APP". Did you mean "AP"?',
        ),
        (
            ARMS + "sections: [{arms: [a], claims: [{text: t, arm: a, metric: AP}]}]",
            "either below or above",
        ),
        (
            ARMS + "sections: [{arms: [a], claims: [{text: t, arm: a, metric: AP, above: c}]}]",
            'there is no arm "c"',
        ),
    ],
)
def test_a_file_that_cannot_be_used(read, text, message):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "experiment.yaml" in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read experiment file .* No such file"):
        read_experiment(str(tmp_path / "no.yaml"))


@pytest.mark.parametrize("value", [0, -1, [], "3", True, [1, "2"], [-1], None])
def test_what_are_no_seeds(value):
    with pytest.raises(ConfigError, match="seeds must be"):
        seeds_of(value)


@pytest.mark.parametrize("file", sorted((ROOT / "ablations").glob("*.yaml")), ids=lambda f: f.stem)
def test_the_shipped_experiments(file):
    experiment = read_experiment(str(file))
    assert len(experiment.seeds) >= 3
    assert all(Path(arm.config_file).exists() for arm in experiment.arms)
    shown = {label for section in experiment.sections for label in section.arms}
    assert shown == {arm.label for arm in experiment.arms}

from functools import partial
from pathlib import Path

import pytest
from lab import Arm, Experiment, plan
from lab.preflight import check_comparable, check_folders, check_trainable, read_configs
from onenet.engine import setup_cfg
from onenet.errors import UserError

TINY = str(Path(__file__).parents[1] / "tiny.yaml")


def arm(label, **opts):
    return Arm(label, TINY, {key.replace("__", "."): value for key, value in opts.items()})


@pytest.fixture
def prepare(tmp_path):
    """Runs of arms, one seed each, and their configs."""

    def prepare(*arms):
        runs = plan(Experiment("", arms, (1,), arms[0].label), tmp_path)
        return runs, read_configs(runs, partial(setup_cfg))

    return prepare


def refused(check, *arguments):
    with pytest.raises(UserError) as caught:
        check(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wrong_key_names_the_arm(prepare):
    message = refused(prepare, arm("a"), arm("b", SOLVER__MAXITER="5"))
    assert message.startswith('arm "b": there is no config key SOLVER.MAXITER.')
    assert 'Did you mean "SOLVER.MAX_ITER"?' in message


def test_one_dataset_to_compare_on(prepare):
    message = refused(prepare, arm("a", DATASETS__TEST="()"))
    assert message.startswith('arm "a": DATASETS.TEST must name the one dataset')


def test_what_would_not_be_without_nms(prepare):
    message = refused(prepare, arm("a"), arm("b", MODEL__OneNet__NMS="True"))
    assert message.startswith('arm "b": MODEL.OneNet.NMS is True')


def test_a_detector_without_an_assigner(prepare):
    message = refused(prepare, arm("a", MODEL__META_ARCHITECTURE="RetinaNet"))
    assert 'MODEL.META_ARCHITECTURE "RetinaNet" has no assigner to compare' in message


def test_arms_on_different_datasets(prepare):
    crowd = arm("b", DATASETS__TEST="('digits_crowd_val',)")
    message = refused(check_comparable, *prepare(arm("a"), crowd))
    assert "give all arms the same DATASETS.TEST" in message


def test_arms_that_are_the_same(prepare):
    same = arm("b", SOLVER__MAX_ITER="40000")  # the default
    message = refused(check_comparable, *prepare(arm("a"), same))
    assert message == 'arms "a" and "b" are the same config: leave one of them out.'
    check_comparable(*prepare(arm("a"), arm("b", SOLVER__MAX_ITER="5")))


def test_a_folder_with_another_run(prepare):
    runs, (cfg,) = prepare(arm("a", SOLVER__MAX_ITER="5"))
    check_folders(runs, [cfg])  # nothing is there
    runs[0].output_dir.mkdir(parents=True)
    (runs[0].output_dir / "config.yaml").write_text(cfg.dump())
    check_folders(runs, [cfg])
    runs, configs = prepare(arm("a", SOLVER__MAX_ITER="6"))
    message = refused(check_folders, runs, configs)
    assert "SOLVER.MAX_ITER: 5 there, 6 wanted" in message
    assert "choose another --output, or remove that folder" in message


def test_weights_that_are_missing(prepare, few_digits, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(few_digits))
    runs, configs = prepare(arm("a", MODEL__WEIGHTS="no.pth"))
    assert refused(check_trainable, runs, configs).startswith('arm "a": ')


def test_a_batch_that_several_processes_cannot_share(prepare):
    runs, configs = prepare(arm("a", SOLVER__IMS_PER_BATCH="4"))
    message = refused(partial(check_trainable, num_processes=3), runs, configs)
    assert "SOLVER.IMS_PER_BATCH 4 cannot be divided among 3 processes" in message

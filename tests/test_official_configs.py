"""The official YAML files are accepted as they are, and ours say the same.

golden/official_configs.json holds what PeizeSun/OneNet (commit cb860ad) has in onenet/config.py, as
"defaults", and in each file of projects/OneNet/configs. The files are written anew from that.
"""

import json
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from onenet.engine import setup_cfg

from .config_tree import flatten

FACTS = Path(__file__).parent / "golden" / "official_configs.json"
OURS = Path(__file__).parents[1] / "configs"
NAMES = {
    "Base-OneNet": "Base-OneNet",
    "onenet.res50.dcn": "onenet_R50_dcn",
    "onenet.res50.nodcn": "onenet_R50",
    "onenet.res18.dcn": "onenet_R18_dcn",
    "onenet.res18.nodcn": "onenet_R18",
    "onenet.fcos.res50": "onenet_fcos_R50",
    "onenet.fcos.res50.crowdhuman": "onenet_fcos_R50_crowdhuman",
    "onenet.retinanet.res50": "onenet_retinanet_R50",
    "onenet.retinanet.res50.crowdhuman": "onenet_retinanet_R50_crowdhuman",
}
# Every run has a folder of its own here, and the base names the datasets of most recipes.
NOT_SHARED = {"OUTPUT_DIR", "DATASETS.TRAIN", "DATASETS.TEST"}
# What ours do better, each with a key that restores the official way.
DEVIATIONS = {"MODEL.OneNet.IGNORE_REGIONS"}
ANCHORS = "[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] for x in [32, 64, 128, 256, 512 ]]"


@pytest.fixture(scope="module")
def facts():
    return json.loads(FACTS.read_text())


@pytest.fixture(scope="module")
def official(facts, tmp_path_factory):
    """The folder of the official files."""
    folder = tmp_path_factory.mktemp("configs")
    for name in NAMES:
        (folder / f"{name}.yaml").write_text(as_yaml(facts[name]))
    return folder


def as_yaml(values):
    tree = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = "ANCHORS" if key == "MODEL.ANCHOR_GENERATOR.SIZES" else value
    return yaml.safe_dump(tree).replace("ANCHORS", f'!!python/object/apply:eval ["{ANCHORS}"]')


@lru_cache
def load(folder, name, *opts):
    cfg = setup_cfg(str(folder / f"{name}.yaml"), ["MODEL.DEVICE", "cpu", *opts])
    return dict(flatten(cfg))


def parsed(value):
    """As in a config: YAML knows no tuples, Detectron2 reads them in strings."""
    if isinstance(value, str) and value.startswith("("):
        value = list(yaml.safe_load(value.replace("(", "[").replace(")", "]")))
    return value


def as_list(value):
    return [as_list(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_the_defaults_are_the_official_ones(facts):
    ours = dict(flatten(setup_cfg()))
    assert {key: as_list(ours[key]) for key in facts["defaults"]} == facts["defaults"]


def test_every_recipe_is_there(facts):
    assert facts.keys() - {"defaults"} == NAMES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_an_official_file_is_accepted_as_it_is(official, facts, name):
    values = load(official, name)
    expected = {**facts["Base-OneNet"], **facts[name]}
    expected.pop("_BASE_", None)
    assert {key: as_list(values[key]) for key in expected} == {
        key: parsed(value) for key, value in expected.items()
    }


@pytest.mark.parametrize(("theirs", "ours"), NAMES.items())
def test_ours_says_the_same(official, theirs, ours):
    expected, values = load(official, theirs), load(OURS, ours)
    different = {key for key in expected if as_list(values[key]) != as_list(expected[key])}
    assert different <= NOT_SHARED | DEVIATIONS
    assert values.keys() == expected.keys()
    if theirs != "Base-OneNet":
        for key in ("DATASETS.TRAIN", "DATASETS.TEST"):
            (name,), (official_name,) = values[key], expected[key]
            assert name == official_name.lower()


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
def test_the_solver_can_be_chosen(official, solver):
    key = "MODEL.OneNet.ASSIGNER.SOLVER"
    assert load(official, "onenet.res50.dcn", key, solver)[key] == solver


@pytest.mark.parametrize("name", [name for name in NAMES.values() if name != "Base-OneNet"])
def test_a_file_repeats_nothing_of_its_bases(name):
    own = yaml.safe_load((OURS / f"{name}.yaml").read_text())
    bases = own.pop("_BASE_")
    inherited = {}
    for base in [bases] if isinstance(bases, str) else bases:
        inherited.update(load(OURS, base.removesuffix(".yaml")))
    repeated = {k for k, v in flatten(own) if as_list(parsed(v)) == as_list(inherited[k])}
    assert repeated <= {"MODEL.RESNETS.DEPTH"}  # a default that is better seen

"""What the installed Detectron2 misses is lent to it, and nothing else is.

One version is installed. How `install` treats others is tried on stand-ins of a few lines, which
insist on the extension as v0.5 and v0.6 do, or do not, as main. No stand-in can show that such a
version runs: docs/installation.md says how that was tried. That the installed one does, and needs
what it is lent, the tests in new processes show.
"""

import ast
import importlib.util
import logging
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import detectron2
import numpy as np
import pytest
from detectron2.data.build import print_instances_class_histogram
from detectron2.utils.collect_env import collect_env_info
from onenet import compat
from PIL import Image

PROJECTS = Path(__file__).parents[2] / "projects"
UNGUARDED = "from detectron2 import _C\n"
GUARDED = "try:\n    from detectron2 import _C\nexcept ImportError:\n    _C = None\n"


def make_package(folder, deform_conv, text=""):
    """A stand-in for an installed Detectron2: only its sources are read."""
    layers = folder / "detectron2" / "layers"
    layers.mkdir(parents=True)
    (layers / "deform_conv.py").write_text(deform_conv)
    (layers.parent / "build.py").write_text(text)
    (layers.parent / "__init__.py").touch()
    return types.SimpleNamespace(__file__=str(layers.parent / "__init__.py"))


@pytest.fixture
def bare(monkeypatch):
    """NumPy, Pillow and Detectron2 as `install` would meet them first: nothing was lent yet."""
    numpy, image = types.ModuleType("numpy"), types.ModuleType("Image")
    monkeypatch.setattr(compat, "np", numpy)
    monkeypatch.setattr(compat, "Image", image)
    monkeypatch.setattr(compat, "_import_quietly", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    sys.modules.pop("detectron2._C", None)
    while compat._ModelZooFinder in sys.meta_path:
        sys.meta_path.remove(compat._ModelZooFinder)
    return numpy, image


def test_install_lends_what_an_old_version_asks_for(bare, monkeypatch, tmp_path):
    numpy, image = bare
    old = make_package(tmp_path, UNGUARDED, "np.int\nImage.LINEAR\nmy_np.float\nnp.zeros")
    monkeypatch.setattr(compat, "detectron2", old)
    compat.install()
    assert numpy.int is int
    assert image.LINEAR is Image.Resampling.BILINEAR
    assert not hasattr(numpy, "float") and not hasattr(image, "CUBIC")  # not asked for
    assert old._C is sys.modules["detectron2._C"]
    assert compat._ModelZooFinder in sys.meta_path


def test_install_does_nothing_on_main(bare, monkeypatch, tmp_path):
    numpy, image = bare
    before = [dict(vars(module)) for module in bare], dict(sys.modules), list(sys.meta_path)
    main = make_package(tmp_path, GUARDED, "np.int64\nImage.BILINEAR\ndtype=int\nnp.bool_")
    monkeypatch.setattr(compat, "detectron2", main)
    compat.install()
    assert ([vars(numpy), vars(image)], sys.modules, sys.meta_path) == before
    assert not hasattr(main, "_C")


def test_install_leaves_a_compiled_extension_alone(bare, monkeypatch, tmp_path):
    old = make_package(tmp_path, UNGUARDED)
    monkeypatch.setattr(compat, "detectron2", old)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    compat.install()
    assert not hasattr(old, "_C") and "detectron2._C" not in sys.modules
    assert compat._ModelZooFinder not in sys.meta_path


def in_a_new_process(code):
    """What it prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_installed_version_needs_the_extension_or_a_stand_in():
    code = """
import importlib.util, detectron2
print(importlib.util.find_spec("detectron2._C") is None)
try:
    import detectron2.modeling
except ImportError as error:
    print(error)
"""
    missing, *error = in_a_new_process(code).splitlines()
    needed = compat._insists_on_extension() and missing == "True"
    assert ("_C" in "".join(error)) == needed


def test_all_that_the_project_imports_of_detectron2_is_there():
    names = {
        (node.module, alias.name)
        for path in PROJECTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detectron2")
        for alias in node.names
    }
    assert len(names) > 50
    names.discard(("detectron2", "_C"))  # asked for where it may be missing
    lines = [f"from {module} import {name}" for module, name in sorted(names)]
    assert in_a_new_process("\n".join(["import onenet", *lines, "print('all')"])) == "all"


def test_install_again_changes_nothing():
    def state():
        names = set(dir(np)) | {f"Image.{name}" for name in dir(Image)}
        return names, sys.modules.get("detectron2._C"), list(sys.meta_path)

    before = state()
    compat.install()
    filters = list(warnings.filters)
    compat.install()
    assert state() == before
    assert list(warnings.filters) == filters


def test_aliases_do_not_override_what_exists():
    module = types.ModuleType("numpy")
    module.int = "newer meaning"
    compat._add_aliases(module, {"int": int, "float": float}, asked={"int", "float", "zeros"})
    assert (module.int, module.float) == ("newer meaning", float)
    assert not hasattr(module, "zeros")


def test_aliases_stand_for_what_pillow_means():
    for name, method in compat._PILLOW_ALIASES.items():
        if hasattr(Image, name):  # Pillow 9, or lent
            assert getattr(Image, name) == method


def test_extension_stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2._C", None)
    monkeypatch.setattr(detectron2, "_C", None, raising=False)
    compat._install_extension_stand_in()
    from detectron2 import _C

    assert isinstance(_C.get_compiler_version(), str)
    assert isinstance(_C.get_cuda_version(), str)
    assert _C.has_cuda() is False
    assert importlib.util.find_spec("detectron2._C") is not None  # the environment report asks
    assert not compat.has_fast_coco_eval()
    with pytest.raises(AttributeError, match=r"_C\.nms_rotated is compiled code"):
        _ = _C.nms_rotated


def test_pkg_resources_is_lent_to_one_module_only(monkeypatch, tmp_path):
    source = tmp_path / "needy.py"
    source.write_text(
        "import pkg_resources\nFILE = pkg_resources.resource_filename('json', 'configs/a.yaml')\n"
    )
    monkeypatch.setattr(
        sys, "modules", {k: v for k, v in sys.modules.items() if k != "pkg_resources"}
    )
    module = types.ModuleType("needy")
    compat._PkgResourcesLender("needy", str(source)).exec_module(module)
    assert (
        os.path.join(os.path.dirname(sys.modules["json"].__file__), "configs/a.yaml") == module.FILE
    )
    assert "pkg_resources" not in sys.modules


def test_model_zoo_finder_finds_the_model_zoo_only():
    path = [os.path.join(os.path.dirname(detectron2.__file__), "model_zoo")]
    spec = compat._ModelZooFinder.find_spec("detectron2.model_zoo.model_zoo", path)
    assert isinstance(spec.loader, compat._PkgResourcesLender)
    assert compat._ModelZooFinder.find_spec("detectron2.model_zoo", path) is None


def test_environment_report():
    assert "detectron2" in collect_env_info()


def test_class_histogram(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    objects = [{"category_id": 0}, {"category_id": 1}, {"category_id": 1}]
    with caplog.at_level(logging.INFO, logger="detectron2.data.build"):
        print_instances_class_histogram([{"annotations": objects}], ["cat", "dog"])
    table = caplog.text.replace(" ", "")
    assert "|cat|1|" in table and "|dog|2|" in table


BLOCK = """
import importlib.machinery, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name == "detectron2":
            {what}
sys.meta_path.insert(0, Block())
try:
    import onenet
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "what",
    [
        "raise ModuleNotFoundError(name=name)",
        # A clone of its repository in the working folder imports as an empty namespace package.
        "return importlib.machinery.ModuleSpec(name, None, is_package=True)",
    ],
    ids=["missing", "folder"],
)
def test_import_without_detectron2_says_what_to_run(what):
    command = [sys.executable, "-c", BLOCK.format(what=what)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(result.stdout.splitlines()) == 1
    assert "make install" in result.stdout


@pytest.mark.parametrize("compiled", [True, False])
def test_has_fast_coco_eval(monkeypatch, compiled):
    extension = types.ModuleType("detectron2._C")
    if compiled:
        extension.COCOevalEvaluateImages = print
    monkeypatch.setattr(detectron2, "_C", extension, raising=False)
    assert compat.has_fast_coco_eval() is compiled

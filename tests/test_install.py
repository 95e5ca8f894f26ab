"""The installation, without a package index: nothing is downloaded or installed here."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import setuptools
from onenet import image_stream
from onenet.data.photographs import package
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
INPUTS = ("setup.py", "pyproject.toml", "constraints.txt")
INSTALLER = ("tools/install.sh", "tools/detectron2-requirements.txt")

# Takes part in nothing, writes down what it is asked to do and succeeds.
STUB = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls.log"\n'


@pytest.fixture(scope="module")
def arguments():
    """What setup.py passes to setuptools."""
    passed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **keywords: passed.update(keywords))
        patch.chdir(ROOT)
        runpy.run_path("setup.py")
    return passed


def requirements(arguments):
    extras = arguments["extras_require"].values()
    return [Requirement(line) for part in (arguments["install_requires"], *extras) for line in part]


def test_setup_does_not_import_torch():
    code = (
        "import runpy, sys\n"
        "sys.modules.update(torch=None, torchvision=None, detectron2=None, numpy=None)\n"
        "sys.argv[:] = ['setup.py', '--name']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split()[-1] == "onenet-detectron2"


def test_all_packages_are_installed(arguments):
    for name, folder in arguments["package_dir"].items():
        modules = (ROOT / folder).rglob("*.py")
        found = {".".join((name, *m.parent.relative_to(ROOT / folder).parts)) for m in modules}
        assert found == {p for p in arguments["packages"] if p.split(".")[0] == name}


def test_requirements_have_bounds_and_no_address(arguments):
    for requirement in requirements(arguments):
        assert requirement.url is None
        assert requirement.specifier, f"{requirement} has no bound"


def test_messages_without_optional_packages_ask_for_the_bounds_of_the_extras(arguments):
    assert package.REQUIREMENT in arguments["extras_require"]["photographs"]
    assert image_stream.REQUIREMENT in arguments["extras_require"]["large"]


def test_make_photographs_installs_what_the_extra_has(arguments):
    (line,) = re.findall(r"^PHOTOGRAPHS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert shlex.split(line) == arguments["extras_require"]["photographs"]


def test_detectron2_is_left_to_the_user(arguments):
    assert not [r for r in requirements(arguments) if "detectron2" in r.name]


def test_environment_satisfies_the_requirements(arguments):
    for requirement in map(Requirement, arguments["install_requires"]):
        assert requirement.specifier.contains(version(requirement.name), prereleases=True)


def test_constraints_agree_with_setup(arguments):
    """A ceiling that excludes a lower bound could never be installed."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = [Requirement(line) for line in lines if line and not line.startswith("#")]
    ceilings = {one.name.lower(): one.specifier for one in constraints}
    for requirement in requirements(arguments):
        ceiling = ceilings.get(requirement.name.lower())
        for bound in requirement.specifier:
            if ceiling is not None and bound.operator == ">=" and "==" not in str(ceiling):
                assert ceiling.contains(bound.version), f"{requirement} and {ceiling}"


def test_detectron2_is_pinned_by_hash():
    text = (ROOT / "tools/detectron2-requirements.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "".join(lines).replace("\\", "")
    assert joined.startswith("detectron2-cdo==0.5 ")
    assert len(joined.split("--hash=sha256:")[1]) == 64


@pytest.fixture
def project(tmp_path):
    """A copy of what the installer reads, with stubs in place of both Pythons."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    for name in (*INPUTS, *INSTALLER):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in (tmp_path / "base", tmp_path / ".venv" / "bin"):
        folder.mkdir(parents=True)
        (folder / "python").write_text(STUB)
        (folder / "python").chmod(0o755)
    return tmp_path


def install(project, python="base/python"):
    if "/" in python:
        python = str(project / python)
    return subprocess.run(
        ["bash", "tools/install.sh", python], cwd=project, capture_output=True, text=True
    )


def calls(project):
    """The pip installations so far."""
    log = project / ".venv" / "bin" / "calls.log"
    return [line for line in log.read_text().splitlines() if "pip install" in line]


def test_install_is_done_once(project):
    assert install(project).returncode == 0
    first = calls(project)
    assert [("-r tools/detectron2" in call, "--no-deps" in call) for call in first].count(
        (True, True)
    ) == 1
    again = install(project)
    assert (again.returncode, again.stdout) == (0, "")
    assert calls(project) == first


@pytest.mark.parametrize("name", ["setup.py", "constraints.txt"])
def test_changed_requirements_are_installed(project, name):
    install(project)
    before = len(calls(project))
    with (project / name).open("a") as file:
        file.write("# changed\n")
    install(project)
    assert len(calls(project)) == 2 * before


def test_interrupted_installation_goes_on(project):
    """No stamp before the end, and a package whose files were not all written is not kept."""
    python = project / ".venv" / "bin" / "python"
    python.write_text(STUB + 'case "$*" in *torchvision*) exit 1;; esac\n')
    half, whole = (
        project / ".venv/lib/python3.11/site-packages" / f"{name}-1.0.dist-info"
        for name in ("half", "whole")
    )
    for folder in (half, whole):
        folder.mkdir(parents=True)
        (folder / "METADATA").touch()
    (whole / "RECORD").touch()
    assert install(project).returncode != 0
    assert not half.exists() and whole.exists()
    python.write_text(STUB)
    assert install(project).returncode == 0
    assert "Done" not in install(project).stdout


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('case "$*" in *version_info*) exit 1;; *--version*) echo Python 3.9;; esac', "3.10 is"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "no venv module"),
        (None, "not found"),
    ],
)
def test_unusable_python_is_named(project, script, message):
    if script is None:
        result = install(project, "no-such-python")
    else:
        (project / "base" / "python").write_text(f"{STUB}{script}\n")
        result = install(project)
    assert result.returncode != 0
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (project / ".venv" / "bin" / "calls.log").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_installs_nothing_into_an_environment_of_the_user():
    def steps(*variables):
        command = ["make", "--dry-run", "test", *variables]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "tools/install.sh" in steps()
    own = steps("PYTHON=python3")
    assert "tools/install.sh" not in own and "pytest" in own
    assert not [line for line in own.splitlines() if "pip install" in line and "echo" not in line]


def test_ruff_is_the_pinned_one():
    try:
        installed = version("ruff")
    except PackageNotFoundError:
        pytest.skip("ruff is not installed")
    (line,) = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if "ruff" in x]
    assert Requirement(line).specifier.contains(installed), "make lint may judge differently"

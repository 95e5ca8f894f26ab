"""Where the files of the package are that the photographs come with, without importing it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from ...errors import UserError

PACKAGE = "deepforest"
REQUIREMENT = f"{PACKAGE}>=2.1.0"
# Its files are all that is wanted; the code in it would need some fifty packages more.
INSTALL = f"pip install --no-deps '{REQUIREMENT}'"


def package_data(files: Iterable[str]) -> Path:
    """The package's folder of data, in which all of ``files`` are.

    Raises:
        UserError: it is not installed, or has not got one of them; says what to run.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the datasets of trees are made of photographs that the package "
            f"{PACKAGE} holds (MIT, 21 MB), which is not installed: {INSTALL}"
        )
    folder = Path(spec.submodule_search_locations[0], "data")
    for name in files:
        if not (folder / name).is_file():
            raise UserError(f'"{folder}" has no "{name}", which the trees are made of: {INSTALL}')
    return folder

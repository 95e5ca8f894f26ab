"""Paths as users write them."""

from __future__ import annotations

import os

from .errors import ConfigError


def expand_home(path: str, name: str) -> str:
    """Replace a leading ``~`` or ``~user`` by the home folder, as shells do.

    Args:
        path: a file, a folder or a URL.
        name: of the key or flag that it comes from, for the message.

    Raises:
        ConfigError: nobody of that name has a home folder here.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ConfigError(
            f'{name} "{path}": "{path.split("/")[0]}" is no home folder of this machine; write '
            f'"./{path}" for a path that begins like this'
        )
    return expanded

"""Types of command-line arguments."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """The type of whole numbers from ``least`` on, for ``ArgumentParser.add_argument``."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise ArgumentTypeError(f"{text} is below {least}")
        return value

    return whole_number

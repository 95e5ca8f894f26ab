"""Text that a picture can show, in whatever script it is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache, lru_cache

import matplotlib
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

logger = logging.getLogger(__name__)

_FALLBACKS = "font.family"  # matplotlib takes a missing character from the next of these
_PLACEHOLDERS = "Last Resort"  # fonts whose characters are boxes
_MAX_LISTED = 3


def legible(text: str) -> str:
    """A text as matplotlib can write it: "?" for what no font of this machine has.

    Fonts that have what matplotlib's default font lacks are added to its fallbacks. A dollar does
    not begin a formula.
    """
    absent = _add_fallbacks(text)
    return "".join("?" if ord(c) in absent else c for c in text).replace("$", r"\$")


def legible_names(class_names: Sequence[str]) -> list[str]:
    """Class names as matplotlib can write them, see :func:`legible`.

    Args:
        class_names: by class id.

    Returns:
        A text for each. Where no font has all of a name it is the number of the class and the code
        of the first character that is missing, such as "3 U+732B"; a message tells so once.
    """
    return list(_legible_names(tuple(map(str, class_names))))


@lru_cache
def _legible_names(names: tuple[str, ...]) -> tuple[str, ...]:
    absent = _add_fallbacks("".join(names))
    missing = [[ord(c) for c in name if ord(c) in absent] for name in names]
    illegible = [name for name, codes in zip(names, missing, strict=True) if codes]
    if illegible:
        more = ", ..." if len(illegible) > _MAX_LISTED else ""
        logger.warning(
            "No font on this machine can write %s%s: pictures show the numbers of these classes. "
            "Install one that can, such as Noto Sans of that script.",
            ", ".join(illegible[:_MAX_LISTED]),
            more,
        )
    return tuple(
        f"{index} U+{codes[0]:04X}" if codes else legible(name)
        for index, (name, codes) in enumerate(zip(names, missing, strict=True))
    )


def _add_fallbacks(text: str) -> set[int]:
    """Add fonts to matplotlib's fallbacks, first the one with most of what is missing for ``text``.

    Returns:
        The code points that no font has.
    """
    wanted = {ord(character) for character in text if not character.isspace()}
    used = (FontProperties(family=[family]) for family in matplotlib.rcParams[_FALLBACKS])
    absent = wanted.difference(*(_code_points(findfont(font)) for font in used))
    fonts = _fonts() if absent else {}
    while absent:
        best = max(fonts, key=lambda name: len(fonts[name] & absent))
        if not fonts[best] & absent:
            break
        absent -= fonts[best]
        matplotlib.rcParams[_FALLBACKS] = [*matplotlib.rcParams[_FALLBACKS], best]
    return absent


def _fonts() -> dict[str, frozenset[int]]:
    """The code points of every font of this machine, by the name of its family."""
    return {
        font.name: _code_points(font.fname)
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith(_PLACEHOLDERS)
    }


@cache
def _code_points(file: str) -> frozenset[int]:
    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):  # the file has gone, or its characters are bitmaps
        return frozenset()
    return frozenset(font.get_charmap())

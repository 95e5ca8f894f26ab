"""The page: which samples are positive, and why the others are not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...inspection.coverage_report import coverage_tables
from ...web import render_page
from .content import Scene, Tree, scene_content

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("data.js", "picture.js", "table.js", "details.js", "explanation.js")
MAX_BYTES = 4_900_000  # of the images and what is told of them


def explanation_page(
    scenes: Iterable[Scene],
    count: int,
    names: Sequence[str] | None = None,
    *,
    command: str = "",
    coverage: Tree | None = None,
) -> str:
    """One HTML page that needs nothing else.

    Args:
        scenes: the images; each is forgotten when it is written.
        count: how many there are.
        names: of the classes, if they have any.
        command: that made the page.
        coverage: what :func:`coverage_report` found in a whole dataset.
    """
    contents = [scene_content(scene, names, MAX_BYTES // count) for scene in scenes]
    # Nothing in a script of a page may look like the end of it.
    text = json.dumps(contents, allow_nan=False).replace("<", "\\u003c")
    return render_page(
        PAGE,
        "explanation.html",
        ["explanation.css"],
        SCRIPTS,
        content=text,
        names=[content["name"] for content in contents],
        command=command,
        coverage=coverage_tables(coverage) if coverage else [],
    )

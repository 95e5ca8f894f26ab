"""A page of documentation from the results of an experiment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from onenet.errors import UserError

from .charts import nms_chart, precision_charts
from .laboratory import RESULTS
from .report_html import page_file
from .report_markdown import failures, overview, provenance, section_parts
from .results import Tree
from .svg import legend

IMAGES = "images"  # beside the page, in a folder of the page's name


def write_page(folder: Path, page: Path) -> list[Path]:
    """Write the tables and the claims of an experiment as Markdown, and its pictures.

    Args:
        folder: with ``results.json`` and the pictures, as ``tools/ablate.py`` leaves them.
        page: the Markdown file. Pictures go to images/<its name>/ beside it.

    Returns:
        All files that were written.

    Raises:
        UserError: there are no results.
    """
    file = folder / RESULTS
    if not file.exists():
        raise UserError(f"{file} is missing: run tools/ablate.py first.")
    results = json.loads(file.read_text(encoding="utf-8"))
    images = page.parent / IMAGES / page.stem
    images.mkdir(parents=True, exist_ok=True)
    names = ("legend", legend([arm["label"] for arm in results["arms"]]))
    charts = [names, nms_chart(results), *precision_charts(results)]
    written = [_write_svg(svg, images / f"{name}.svg") for name, svg in charts]
    parts = [f"# {results['title']}", provenance(results)]
    for section in results["sections"]:
        parts += section_parts(results, section)
        pictures, text = _pictures(results, section["arms"], folder, images, page)
        written += pictures
        parts.append(text)
    parts.append("## AP against the threshold of NMS after top-k, precision against recall")
    parts += [_image(images / f"{name}.svg", name, page) for name, _ in charts]
    parts += ["## All arms", *overview(results), failures(results)]
    page.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return [page, *written]


def _pictures(
    results: Tree, labels: Sequence[str], folder: Path, images: Path, page: Path
) -> tuple[list[Path], str]:
    """The strips of the first scene for some arms, as a table."""
    if not results["scenes"]:
        return [], ""
    pictures = results["scenes"][0]["pictures"]
    rows, files = [], []
    for label in labels:
        if label in pictures:
            source = folder / pictures[label]["file"]
            target = images / f"{source.parent.name}.jpg"
            shutil.copyfile(source, target)
            files.append(target)
            rows.append(f"| {label} | {_image(target, pictures[label]['caption'], page)} |")
    head = [
        "| | positive samples, highest score of any class, detections without NMS |",
        "|:--|:--|",
    ]
    return files, "\n".join([*head, *rows]) if rows else ""


def _image(file: Path, caption: str, page: Path) -> str:
    return f"![{caption}]({file.relative_to(page.parent).as_posix()})"


def _write_svg(svg: str, path: Path) -> Path:
    """Write a chart of a page as a file of its own."""
    head, _, rest = svg.partition(">")
    style = page_file("chart.css")
    text = f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}'
    path.write_text(text, encoding="utf-8")
    return path

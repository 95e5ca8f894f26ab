"""Pages of one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHARED = Path(__file__).parent


def render_page(
    folder: Path, template: str, styles: Sequence[str], scripts: Sequence[str], **values: Any
) -> str:
    """Fill in a template of Jinja, with the style and the script that all pages share.

    Args:
        folder: of the template and the files.
        template: its name; it has ``style`` and ``script``, beside ``values``.
        styles, scripts: names of files that follow the shared ones.
        values: of the template; texts among them are escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    files = {
        "style": [SHARED / "page.css", *(folder / name for name in styles)],
        "script": [SHARED / "page.js", *(folder / name for name in scripts)],
    }
    texts = {
        name: "".join(file.read_text(encoding="utf-8") for file in some)
        for name, some in files.items()
    }
    return environment.get_template(template).render(**texts, **values)

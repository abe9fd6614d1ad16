"""The README and ``docs/*.md`` as pages of the report: linked to each other, with no other file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

from nbformat.v4 import new_markdown_cell, new_notebook

from kdsuite import places
from kdsuite.analysis.site import notebooks
from kdsuite.analysis.site.layout import environment

# of an installation that is no checkout
ABSENT = "# Documentation\nThe documentation is in the suite's repository, in README.md and docs/."


def pages(suite: str) -> dict[str, str]:
    """Return each page by its file in the report's folder; the README is ``docs/index.html``."""
    names = {path: f"{path.stem}.html" for path in sorted((places.ROOT / "docs").glob("*.md"))}
    names[places.ROOT / "README.md"] = "index.html"
    template, found = environment().get_template("notebook.html"), {}
    for source, name in names.items():
        whole = source.read_text(encoding="utf-8") if source.exists() else ABSENT
        title, _, text = whole.partition("\n")
        facts = {
            "suite": suite,
            "title": title.removeprefix("# "),
            "kind": "Documentation",
            "run": None,
        }
        found[f"docs/{name}"] = template.render(**facts, cells=_html(text, source.parent, names))
    return found


def _html(text: str, folder: Path, names: Mapping[Path, str]) -> str:
    """Return Markdown as HTML: links to other files become text, pictures are embedded."""

    def link(tag: re.Match) -> str:
        name = tag[1] if urlparse(tag[1]).scheme else names.get((folder / tag[1]).resolve())
        return f'<a href="{name}">{tag[2]}</a>' if name else tag[2]

    def picture(tag: re.Match) -> str:
        file = folder / tag[1]
        content = base64.b64encode(file.read_bytes()).decode() if file.exists() else ""
        return f'src="data:image/svg+xml;base64,{content}"'

    body = notebooks.html(new_notebook(cells=[new_markdown_cell(text)]))
    body = re.sub(r'<a href="([^"]*)">(.*?)</a>', link, body, flags=re.DOTALL)
    body = re.sub(r'src="([^":]+\.svg)"', picture, body)
    return body.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )

"""Hooks of MkDocs: pages from files outside `docs/`, formulas without a script, and the list of addresses.

A page is the same text on a Git host and here. README and CHANGELOG are therefore not copied but read, and links are turned.
"""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = {"index.md": "README.md", "changelog.md": "CHANGELOG.md"}
"""Page -> file of the project that it shows."""

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.DOTALL)
_ADDRESS = re.compile(r'(?:href|src)="(https?://[^"]+)"')
_addresses: dict[str, set[str]] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages whose text stands outside `docs/`, and notebooks as pages."""
    for page, source in OUTSIDE.items():
        files.append(File.generated(config, page, content=turn_links((ROOT / source).read_text())))
    for notebook in (ROOT / "docs/notebooks").glob("*.ipynb"):
        page = f"notebooks/{notebook.stem}.md"
        files.append(
            File.generated(config, page, content=show_notebook(json.loads(notebook.read_text()), notebook.name))
        )
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links to README and CHANGELOG to their pages."""
    for name, source in OUTSIDE.items():
        markdown = markdown.replace(f"](../{source}", f"]({name}")
    return markdown


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Write formulas as MathML, which browsers show themselves."""
    html = _FORMULA.sub(lambda match: write_formula(match[2], block=match[1] == "div"), html)
    _addresses[page.url] = set(map(unescape, _ADDRESS.findall(html)))
    return html


def on_post_build(config: MkDocsConfig) -> None:
    """List all addresses on the network that pages link to; nothing fetches them."""
    lines = [f"{address}  {page}" for page, addresses in sorted(_addresses.items()) for address in sorted(addresses)]
    Path(config.site_dir, "addresses.txt").write_text("\n".join(lines) + "\n")


def turn_links(text: str) -> str:
    """Links of a file at the root as those of a page in `docs/`."""
    return re.sub(r'(\]\(|src="|href=")docs/', r"\1", text)


def write_formula(formula: str, *, block: bool) -> str:
    """A formula of LaTeX as MathML."""
    return convert(unescape(formula).strip(), display="block" if block else "inline")


def show_notebook(notebook: dict, name: str) -> str:
    """The cells of a notebook as a page, and a link to the file."""
    cells = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        cells.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*cells, f"[The notebook]({name})"]) + "\n"

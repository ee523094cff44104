"""The docs as a site: built strictly, and read without a network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from emoadapt.reference import _list_sections, _show_type

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Tags whose address a browser fetches by itself."""


class Page(HTMLParser):
    """Addresses that a page loads, and its formulas and folded parts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        # A canonical address is a statement, which nothing fetches.
        if tag in LOADED and values.get("rel") != "canonical" and (address := values.get(LOADED[tag])):
            self.loaded.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strict: a link or anchor that leads nowhere, and a page that no menu names, end the build."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--site-dir", folder],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_load_nothing_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 40
    for path in pages:
        for address in Page(path.read_text()).loaded:
            assert not re.match(r"(https?:)?//", address), f"{path.name} loads {address}"
            file = (path.parent / address.partition("?")[0].partition("#")[0]).resolve()
            assert address.startswith("data:") or path.name == "404.html" or file.exists(), f"{path.name}: {address}"
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", styles)
    assert (site / "search/search_index.js").stat().st_size > 100_000


def test_formulas_are_mathml(site: Path) -> None:
    sources = {path.stem: path.read_text() for path in (ROOT / "docs/papers").glob("*20*.md")}
    assert len(sources) == 5
    for name, text in sources.items():
        html = (site / f"papers/{name}.html").read_text()
        displayed = re.findall(r'<math[^>]* display="block"', html)
        assert len(displayed) == text.count("$$") // 2 > 0
        article = html[html.index("<article") :]
        assert "arithmatex" not in article and "$" not in article and "\\" not in article


def test_reference_is_folded_and_python_reference_is_filled(site: Path) -> None:
    assert Page((site / "configuration.html").read_text()).tags.count("details") > 20
    python = (site / "api.html").read_text()
    assert ":::" not in python and all(name in python for name in ("predict_files", "TrainableBackbone", "Objective"))


def test_addresses_on_the_network_are_listed(site: Path) -> None:
    lines = (site / "addresses.txt").read_text().splitlines()
    assert lines and all(re.fullmatch(r"https?://\S+  \S+\.html", line) for line in lines)


def test_notebook_and_readme_are_pages(site: Path) -> None:
    assert "polars" in (site / "notebooks/results.html").read_text()
    start = (site / "index.html").read_text()
    assert 'href="tutorial.html"' in start and 'href="docs/' not in start


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs/papers").glob("*.md")))
def test_keys_of_a_paper_exist(page: str) -> None:
    """A key that a page names is one of a study, and so is its value, where the key has a list of them."""
    known: dict[str, str] = {}
    for section, path in _list_sections().items():
        for name, field in section.model_fields.items():
            key = f"{path}.{name}"
            known[key] = f"{known.get(key, '')} {_show_type(field.annotation)}"
    text = (ROOT / "docs/papers" / page).read_text()
    scopes = "corpora|features|backbones|adaptations|finetunings|tasks|report"
    named = re.findall(rf"`((?:{scopes})\.[\w.<>]+)(?:: (\w+))?`", text)
    for key, value in named:
        assert key in known, f"{page}: {key}"
        assert not value or value in known[key] or "text" in known[key], f"{page}: {key}: {value}"
    assert named or page in ("index.md", "ahn2024.md", "dutta2025.md")

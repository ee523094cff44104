"""The report in a real browser: sorting, filters, links, pictures, widths, print, contrast.

The browser is Debian's Chromium, driven by Playwright; nothing is asked of the network.
"""

import os
import shutil

import pytest

from emoadapt.reporting.html import write_report
from emoadapt.reporting.kept import list_models
from emoadapt.reporting.pages import collect_pages

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"desk": 1280, "phone": 390}
A4 = 688
"""Pixels of a page of A4 between the margins of the report's print style."""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        assert "EMOADAPT_REQUIRE_BROWSER" not in os.environ, f"none of {', '.join(BROWSERS)} is installed"
        pytest.skip("no Chromium: sorting, filters, links, widths, print and contrast of the report were not looked at")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(study, inputs, results, written, tmp_path_factory):
    """The report of the invented study, with all that a page may hold."""
    page = tmp_path_factory.mktemp("page") / "index.html"
    pages = collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)
    pages[0]["kept"] = ["results/runs/crema/tiny.original/full/b000/models/crema.tiny.original.full.p0f0r0s0"]
    making = {"written": "1 May 2026", "code": "emoadapt 0.1.0", "machine": "Linux", "time": "9 jobs took 3 min"}
    provenance = {"making": making, "versions": {"torch": "2.13"}, "configuration": study.model_dump(mode="json")}
    models = list_models(study, inputs.splits, results)
    write_report(study, written / "tables", written / "figures", provenance, page, pages, models)
    return page.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Open the report in a window of a width; errors of the page fail the test at its end."""
    contexts, said = [], []

    def open_(width=WIDTHS["desk"], place="", **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url)
        )
        page.goto(address + place)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []


def open_all(page):
    """Open everything that can be opened, which draws the pages of all settings."""
    page.evaluate("document.querySelectorAll('details').forEach(function (one) { one.open = true; })")
    page.wait_for_function(
        "Array.from(document.querySelectorAll('.drawn')).every(function (one) { return one.children.length; })"
    )


def read_column(page, name, table="results"):
    """Numbers of a column, from top to bottom, and its button."""
    heads = page.locator(f"#table-{table} thead button")
    names = [text.splitlines()[0].strip() for text in heads.all_inner_texts()]
    cells = page.locator(f"#table-{table} tbody tr td:nth-child({names.index(name) + 1})").all_inner_texts()
    return [float(cell.split()[0]) for cell in cells], heads.nth(names.index(name))


def test_a_click_on_a_head_sorts_by_value_and_the_third_restores(open_page):
    page = open_page()
    before, head = read_column(page, "macro-F1")
    assert before not in (sorted(before), sorted(before, reverse=True))
    head.click()
    assert read_column(page, "macro-F1")[0] == sorted(before)
    head.press("Enter")
    assert read_column(page, "macro-F1")[0] == sorted(before, reverse=True)
    assert page.locator("#table-results tfoot tr.chance").count() == 2, "chance levels stay below"
    head.click()
    assert read_column(page, "macro-F1")[0] == before


def test_a_filter_keeps_the_rows_with_all_of_its_words(open_page):
    page = open_page()
    rows = page.locator("#table-results tbody tr")
    texts = [text.lower() for text in rows.all_inner_texts()]
    page.locator("#filter-results").fill("wavlm 64")
    wanted = sum("wavlm" in text and "64" in text for text in texts)
    assert 0 < wanted < len(texts)
    assert sum(row.is_visible() for row in rows.all()) == wanted
    assert page.locator("#filter-results ~ output").inner_text() == f"{wanted} of {len(texts)}"
    page.locator("#filter-runs").fill("crema egemaps")
    assert {"egemaps" in text for text in page.locator("details.page:visible").all_inner_texts()} == {True}


def test_every_link_leads_somewhere_and_every_picture_is_drawn(open_page):
    page = open_page()
    open_all(page)
    lost = page.evaluate("""Array.from(document.querySelectorAll('a')).map(function (link) { return link.getAttribute('href'); })
        .filter(function (name) { return name[0] !== '#' || !document.getElementById(name.slice(1)); })""")
    assert lost == []
    broken = page.evaluate(
        """Array.from(document.images).filter(function (image) { return !image.complete || !image.naturalWidth; }).length"""
    )
    assert broken == 0 and page.locator("figure img").count() > 8


def test_the_name_of_a_model_opens_its_page(open_page):
    page = open_page()
    link = page.locator("#table-results tbody a", has_text="wavlm multimodal").first
    target = link.get_attribute("href").removeprefix("#")
    link.click()
    opened = page.locator(f"[id='{target}']")
    assert opened.evaluate("one => one.open") and opened.locator("table").first.is_visible()
    assert "\nchance\t" in opened.inner_text()
    assert "wavlm (pretrained) multimodal" in opened.inner_text()


def test_folders_of_kept_models_stand_on_their_page(open_page):
    page = open_page()
    open_all(page)
    assert page.get_by_text("models/crema.tiny.original.full.p0f0r0s0").count() == 1


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_is_not_wider_than_the_window(open_page, width):
    """What is wider scrolls in a box of its own, which says so."""
    page = open_page(width)
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unsaid = page.evaluate("""Array.from(document.querySelectorAll('.scroll, .picture')).filter(function (box) {
        var next = box.nextElementSibling, said = next !== null && next.classList.contains('hint');
        return box.offsetParent !== null && (box.scrollWidth > box.clientWidth + 1) !== said; }).length""")
    assert unsaid == 0


def test_main_tables_fit_on_a_desk(open_page):
    """Symptom: scores were cut off at 1,280 pixels."""
    page = open_page()
    wide = page.evaluate("""Array.from(document.querySelectorAll('table.sortable')).filter(function (table) {
        return table.parentNode.scrollWidth > table.parentNode.clientWidth + 1; }).map(function (table) { return table.id; })""")
    assert not {"table-results", "table-low_resource", "table-per_class_f1", "table-f1_bias", "table-leaks"} & set(wide)


def test_print_shows_all_that_matters_within_the_paper(open_page):
    page = open_page(A4)
    page.emulate_media(media="print")
    assert page.locator(".notice").is_visible() and page.locator("section.models").is_visible()
    assert all(heading.is_visible() for heading in page.locator("main h2").all())
    assert all(image.is_visible() for image in page.locator("figure img").all())
    assert page.evaluate("document.documentElement.scrollWidth") <= A4
    hidden = page.evaluate("""Array.from(document.querySelectorAll('main table')).filter(function (table) {
        return !table.closest('details:not([open])') && (table.offsetParent === null || table.getBoundingClientRect().right > 688.5);
    }).map(function (table) { return table.id || table.className; })""")
    assert hidden == []
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details.page').forEach(function (one, place) { one.open = place < 2; })")
    page.wait_for_function("document.querySelectorAll('.drawn > *').length > 0")
    # A few rows of each table hold all kinds of cells.
    page.evaluate("document.querySelectorAll('tbody tr:nth-child(n+5)').forEach(function (row) { row.remove(); })")
    # What a colour scheme changes is contrast: all other rules are asked once.
    options = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    found = Axe().run(page, options=options).response["violations"]
    serious = [
        (rule["id"], node["html"][:120], node["failureSummary"][:300])
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"][:3]
    ]
    assert serious == []

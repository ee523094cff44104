"""The page: self-contained, escaped, with the warning before the numbers."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.flow.shards import shard_names
from emoadapt.flow.store import read_table, write_table
from emoadapt.reporting import list_run_curves, write_all
from emoadapt.reporting.figures import figure_names, write_figures
from emoadapt.reporting.html import write_report
from emoadapt.reporting.tables import write_tables

SCRIPT = "<script>alert(1)</script>"


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.ids, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.addresses += [(tag, values[name]) for name in ("src", "href", "action", "data") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(study, written, tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "report" / "index.html"
    provenance = {
        "versions": {"torch": "2.13"},
        "config": {"note": SCRIPT, "nested": {"a": [1]}},
        "licences": {"microsoft/wavlm-base": "L1"},
    }
    write_report(study, written / "tables", written / "figures", provenance, page)
    return page.read_text(encoding="utf-8")


def test_page_is_well_formed_and_asks_nothing_of_the_network(text):
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith(("data:", "#")) for _, address in page.addresses)
    assert {address[1:] for tag, address in page.addresses if tag == "a"} <= set(page.ids)
    assert "url(" not in text
    assert not {"link", "iframe", "object"} & set(page.tags)


def test_labels_reasons_and_configuration_are_escaped(text):
    assert SCRIPT not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert Page(text).tags.count("script") == 1


def test_only_the_own_script_may_run(text):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]+'$", policy)


def test_warnings_come_before_the_first_number(text):
    parts = ("<h1>trial</h1>", "is UNTRAINED", "HEARD IN STAGE 1", "comparisons of an adapted model", 'id="results"')
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_every_figure_and_section_is_there(study, text):
    assert text.count("data:image/svg+xml;base64,") == len(figure_names(study)) == text.count("<figcaption>")
    for section in ("results", "low-resource", "classes", "bias", "distance", "cross-corpus", "stage-1", "stage-2", "data", "quarantine",
                    "weights", "provenance", "paper"):  # fmt: skip
        assert f'<section id="{section}">' in text
    assert 'id="speech-recognition"' not in text, "nothing was compared with transcripts"


def test_weights_are_listed_with_state_and_licence(text):
    weights = text[text.index('id="weights"') : text.index('id="provenance"')]
    assert "<strong>UNTRAINED</strong>" in weights
    assert re.search(r"microsoft/wavlm-base</td><td>pretrained</td><td>L1", weights)


def test_a_study_without_tasks_still_reports(inputs, tmp_path, make_study):
    study = make_study(tasks={}, report={"title": "Only Stage 1"})
    write_tables(study, [], [], inputs.quarantine, [], inputs.manifests, inputs.parts, tmp_path / "tables")
    write_figures(study, [], [], [], inputs.curves, [], inputs.quarantine, tmp_path / "figures")
    write_report(study, tmp_path / "tables", tmp_path / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "<h1>Only Stage 1</h1>" in text
    assert 'id="results"' not in text


def test_an_empty_quarantine_is_a_sentence_without_a_key_to_bars(study, inputs, written, tmp_path):
    write_table(tmp_path / "none.parquet", [], schema.QUARANTINE)
    rest = (inputs.splits, inputs.manifests, inputs.parts, tmp_path / "tables")
    write_tables(study, inputs.metrics, inputs.comparisons, tmp_path / "none.parquet", *rest)
    write_report(study, tmp_path / "tables", written / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "Nothing: every feature could be computed for every clip." in text
    assert "Longer bars" not in text


def test_missing_figure_is_a_sentence(study, written, tmp_path):
    with pytest.raises(DataError, match="is missing; write tables and figures"):
        write_report(study, written / "tables", tmp_path, {}, tmp_path / "index.html")


def test_write_all_reads_the_layout_of_the_results(study, inputs, tmp_path):
    results = tmp_path / "results"
    for names, pattern in [(inputs.metrics, "metrics/{}.parquet"), (inputs.confusion, "metrics/{}.confusion.parquet"),
                           (inputs.comparisons, "metrics/{}.comparisons.parquet"), (inputs.splits, "splits/{}.parquet")]:  # fmt: skip
        for task, source in zip(study.tasks, names, strict=True):
            target = results / pattern.format(task)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    (results / "curves").mkdir()
    for source in inputs.curves:
        shutil.copy(source, results / "curves" / source.name.removeprefix("curves."))
    shutil.copy(inputs.quarantine, results / "quarantine.parquet")
    for name, source in inputs.parts.items():
        (results / "targets" / name).mkdir(parents=True)
        shutil.copy(source, results / "targets" / name / "parts.parquet")
    for source in inputs.manifests:
        (results / "manifests" / source.parent.name).mkdir(parents=True)
        for shard in shard_names(study.corpora[source.parent.name].shards):
            table = read_table(source) if shard == "000" else []
            write_table(results / "manifests" / source.parent.name / f"{shard}.parquet", table, schema.MANIFEST)
    for path in list_run_curves(study, results, [results / "splits" / f"{task}.parquet" for task in study.tasks]):
        path.parent.mkdir(parents=True)
        shutil.copy(inputs.run_curves[0], path)
    word_errors = results / "metrics" / "word_errors.parquet"
    counts = dict(clips=4, wordless=1, unheard=0, words=40, substitutions=1, deletions=3, insertions=0)
    row = dict(corpus="crema_d", language="en", engine="whisper", model="small", word_error_rate=0.1, **counts)
    write_table(word_errors, [row], schema.WORD_ERRORS)
    write_all(study, results, tmp_path / "tables", tmp_path / "figures", tmp_path / "index.html", word_errors)
    text = (tmp_path / "index.html").read_text()
    assert "evaluation.evaluate" in text
    assert "polars" in text
    section = text[text.index('<section id="speech-recognition">') : text.index('<section id="quarantine">')]
    assert "whisper small" in section and "10.0 %" in section


def test_reporting_and_evaluation_load_no_torch():
    code = "import sys, emoadapt.reporting.html, emoadapt.evaluation.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

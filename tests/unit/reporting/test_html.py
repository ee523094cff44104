"""The page: self-contained, escaped, with the warning before the numbers."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.reporting import write_all
from emoadapt.reporting.declared import write_declared
from emoadapt.reporting.figures import figure_names, write_figures
from emoadapt.reporting.html import write_report
from emoadapt.reporting.pages import collect_pages
from emoadapt.reporting.tables import read_tidy, write_tables
from emoadapt.storage.tables import write_table

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
        if tag not in ("meta", "img", "br", "link", "input", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(study, inputs, results, written, tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "report" / "index.html"
    pages = collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)
    provenance = {
        "versions": {"torch": "2.13"},
        "config": {"note": SCRIPT, "nested": {"a": [1]}},
        "licences": {"microsoft/wavlm-base": "L1"},
        "checksums": {"microsoft/wavlm-base": "hub:microsoft/wavlm-base@c0ffee"},
    }
    write_report(study, written / "tables", written / "figures", provenance, page, pages)
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
    assert Page(text).tags.count("script") == 2, "the report's own, and the data of its pages"
    assert text.count("<script") == text.count("</script>") == 2


def test_no_folder_of_this_machine_is_shown(study, written, tmp_path, make_study):
    home = tmp_path / "jane"
    corpora = {
        name: {**corpus.model_dump(exclude_unset=True), "root": str(home / corpus.root)}
        for name, corpus in study.corpora.items()
    }
    away = make_study(corpora=corpora, models_dir=str(home / "models"))
    weights = str(home / "models/mine")
    provenance = {
        "configuration": away.model_dump(mode="json"),
        "folders": {str(home / "films"): f"{home}/crema, and {Path.cwd()}/results"},
        "checksums": {weights: "sha256"},
    }
    write_report(away, written / "tables", written / "figures", provenance, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert str(home) in str(provenance) and "jane" not in text and str(Path.cwd()) not in text
    assert "&#34;root&#34;: &#34;.../crema&#34;" in text, "but which corpus is meant"
    assert not [path for path in (written / "tables").iterdir() if "jane" in path.read_text()]


def test_only_the_own_script_may_run(text):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]+'$", policy)


def test_warnings_come_before_the_first_number(text):
    parts = ("<h1>trial</h1>", "is UNTRAINED", "USED IN STAGE 1", "comparisons of an adapted model", 'id="results"')
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_class_without_a_test_clip_is_named_before_the_first_number(study, written, tmp_path, text):
    assert "NO CLIP" not in text
    tables = shutil.copytree(written / "tables", tmp_path / "tables")
    per_class = read_tidy(tables / "per_class_f1.csv")
    absent = (pl.col("test_corpus") == "msp_improv") & (pl.col("task") == "crema") & (pl.col("label") == "sadness")
    per_class.with_columns(n_least=pl.when(absent).then(0).otherwise("n")).write_csv(tables / "per_class_f1.csv")
    write_report(study, tables, written / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert text.index("msp_improv (task crema) has NO CLIP of class sadness") < text.index('id="results"')


def test_every_figure_and_section_is_there(study, text):
    assert text.count("data:image/svg+xml;base64,") == len(figure_names(study)) == text.count("<figcaption>")
    for section in ("results", "low-resource", "classes", "bias", "distance", "cross-corpus", "stage-1", "stage-2", "data", "quarantine",
                    "weights", "provenance", "paper"):  # fmt: skip
        assert f'<section id="{section}">' in text
    assert 'id="speech-recognition"' not in text, "nothing was compared with transcripts"


def test_weights_are_listed_with_state_and_licence(text):
    weights = text[text.index('id="weights"') : text.index('id="provenance"')]
    assert "<strong>UNTRAINED</strong>" in weights
    assert re.search(
        r"microsoft/wavlm-base</td><td>pretrained</td><td[^>]*>hub:microsoft/wavlm-base@c0ffee</td><td>L1", weights
    )
    assert '<td class="wrap">seed 0</td>' in weights


def test_every_model_of_a_table_leads_to_its_page(text):
    table = text[text.index('id="table-results"') : text.index("</table>", text.index('id="table-results"'))]
    rows = re.findall(r'<a href="#(page-[^"]+)">([^<]+)</a>', table)
    assert len(rows) == table.count("<tr>") - 1
    assert ("page-crema.wavlm.multimodal.64", "wavlm multimodal") in rows
    assert ("page-crema.egemaps.original.mlp.full", "egemaps mlp") in rows


def test_columns_of_numbers_are_sorted_by_value(text):
    found = {name: "data-number" in kind for kind, name in re.findall(
        r'<th scope="col"([^>]*)><button type="button">([^<]+)', text[text.index('id="table-results"') :].partition("</thead>")[0])}  # fmt: skip
    assert found["macro-F1"] and found["training clips"] and found["p over runs"]
    assert not found["model"] and not found["task"]


def test_long_tables_have_a_filter_and_files_are_named(text):
    assert 'data-filter="table-results"' in text
    assert 'data-filter="table-quarantine"' not in text
    assert "<code>results/tables/results.csv</code>" in text


def test_footnotes_stand_below_their_table(study, written, tmp_path):
    shutil.copytree(written / "tables", tmp_path / "tables")
    (tmp_path / "tables" / "f1_bias.notes.json").write_text(json.dumps(["Speakers are shared.", SCRIPT]))
    write_report(study, tmp_path / "tables", written / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    after = text[text.index('id="table-f1_bias"') : text.index("results/tables/f1_bias.csv")]
    assert "<li>Speakers are shared.</li>" in after
    assert SCRIPT not in text


def test_declared_tables_stand_with_their_footnotes_and_picture(inputs, written, tmp_path, make_study):
    parts = [{"models": ["wavlm.original", "wavlm.multimodal"], "baseline": "original"}]
    table = {"title": f"Ours {SCRIPT}", "tasks": ["crema"], "subsets": [64, "full"], "columns": ["subset", "start"],
             "rows": ["task"], "parts": parts, "notes": ["A note of the study."]}  # fmt: skip
    study = make_study(tables={"ours": table})
    for name in ("tables", "figures"):
        shutil.copytree(written / name, tmp_path / name)
    write_declared(study, inputs.comparisons, tmp_path / "tables", tmp_path / "figures")
    write_report(study, tmp_path / "tables", tmp_path / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    section = text[text.index('<section id="tables">') : text.index('<section id="low-resource">')]
    assert "<h3>Ours &lt;script&gt;" in section
    assert SCRIPT not in text
    assert "<li>A note of the study.</li>" in section
    assert 'id="figure-ours"' in section
    assert section.count('<th scope="col" colspan="2" class="number">') == 2, "two models below each number of clips"
    assert Page(text).open == []


def test_parts_left_out_are_reported_and_listed(study, written, tmp_path, make_study):
    values = {"corpora": {"films": {"importer": "folder", "root": "films", "modalities": ["audio", "video"]},
                          "crema_d": {"importer": "crema_d", "root": "crema", "labels": "audiovisual"},
                          "msp_improv": {"importer": "csv", "root": "improv", "file": "labels.csv"},
                          "podcast": {"importer": "folder", "root": f"nowhere/{SCRIPT}", "optional": True}},
              "tasks": {name: task.model_dump(exclude_defaults=True) for name, task in study.tasks.items()}
                       | {"natural": {"corpus": "podcast", "classes": ["a", "b"], "split": {"by": "official"}}}}  # fmt: skip
    absent = make_study(**values)
    write_report(absent, written / "tables", written / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "Not computed, because corpora are missing: the task natural." in text
    section = text[text.index('<section id="left-out">') : text.index('<section id="weights">')]
    assert "needs corpus podcast" in section
    assert SCRIPT not in text


def test_a_study_without_tasks_still_reports(inputs, tmp_path, make_study):
    study = make_study(tasks={}, report={"title": "Only Stage 1"})
    alone = replace(inputs, metrics=[], confusion=[], comparisons=[], splits={}, run_curves=[], audits={})
    write_tables(study, alone, tmp_path / "tables")
    write_figures(study, alone, tmp_path / "figures")
    write_report(study, tmp_path / "tables", tmp_path / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "<h1>Only Stage 1</h1>" in text
    assert 'id="results"' not in text


def test_an_empty_quarantine_is_a_sentence_without_a_key_to_bars(study, inputs, written, tmp_path):
    write_table(tmp_path / "none.parquet", [], schema.QUARANTINE)
    write_tables(study, replace(inputs, quarantine=tmp_path / "none.parquet"), tmp_path / "tables")
    write_report(study, tmp_path / "tables", written / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "Nothing: every feature could be computed for every clip." in text
    assert "Longer bars" not in text


def test_what_was_left_out_elsewhere_is_counted_beside_what_was_set_aside(study, inputs, written, tmp_path):
    """Symptom: `Nothing` stood beside three clips that were left out for their label, and an unlisted file was nowhere."""
    write_table(tmp_path / "none.parquet", [], schema.QUARANTINE)
    write_tables(study, replace(inputs, quarantine=tmp_path / "none.parquet"), tmp_path / "tables")
    data = read_tidy(tmp_path / "tables/data.csv").with_columns(
        left_out=pl.when(pl.col("task") == "crema", pl.col("label").is_null()).then(pl.lit("crema_d: label boredom 3"))
    )
    data.write_csv(tmp_path / "tables/data.csv")
    unread = [f"Corpus films: 1 media file below its root {SCRIPT} belongs to no clip."]
    write_report(study, tmp_path / "tables", written / "figures", {}, tmp_path / "index.html", unread=unread)
    text = (tmp_path / "index.html").read_text()
    section = text[text.index('<section id="quarantine">') :]
    section = section[: section.index("</section>")]
    assert "<p>Every feature could be computed for every clip.</p>" in section and "Nothing" not in section
    assert "<li>Task crema: clips that are in no part, by reason: crema_d: label boredom 3." in section
    assert section.count("<li>") == 2 and "1 media file below its root" in section and SCRIPT not in text


def test_missing_figure_is_a_sentence(study, written, tmp_path):
    with pytest.raises(DataError, match="is missing; write tables and figures"):
        write_report(study, written / "tables", tmp_path, {}, tmp_path / "index.html")


def test_write_all_reads_the_layout_of_the_results(study, results, tmp_path):
    word_errors = tmp_path / "word_errors.parquet"
    counts = dict(clips=4, wordless=1, unheard=0, words=40, substitutions=1, deletions=3, insertions=0)
    row = dict(corpus="crema_d", language="en", engine="whisper", model="small", word_error_rate=0.1, **counts)
    write_table(word_errors, [row], schema.WORD_ERRORS)
    pages = tmp_path / "tables", tmp_path / "figures", tmp_path / "index.html"
    write_all(study, results, *pages, word_errors, versions={"polars": "99.1"})
    text = (tmp_path / "index.html").read_text()
    assert "evaluation.evaluate" in text and "methods.finetune" in text and "methods.probe" in text
    assert "polars" in text and "99.1" in text
    section = text[text.index('<section id="speech-recognition">') : text.index('<section id="quarantine">')]
    assert "whisper small" in section and "10.0 %" in section


def test_reporting_and_evaluation_load_no_torch():
    code = "import sys, emoadapt.reporting.html, emoadapt.evaluation.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_column_of_dashes_is_hidden(study, written, tmp_path, text):
    head = '<button type="button">p over runs'
    assert head in text[text.index('id="table-results"') :].partition("</thead>")[0]
    tables = shutil.copytree(written / "tables", tmp_path / "tables")
    results = read_tidy(tables / "results.csv")
    results.with_columns(p_value=pl.lit(None, pl.Float64)).write_csv(tables / "results.csv")
    write_report(study, tables, written / "figures", {}, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert head not in text[text.index('id="table-results"') :].partition("</thead>")[0]


def test_every_entry_of_the_contents_has_a_heading_of_its_name(text):
    contents = text[text.index('<nav aria-label="Contents">') : text.index("</nav>")]
    for name, title in re.findall(r'<a href="#([^"]+)">([^<]+)</a>', contents):
        heading = re.search(r"<h2[^>]*>([^<]+)", text[text.index(f'id="{name}"') :])
        assert heading is not None and heading[1].startswith(title), name


def test_a_sentence_below_several_tables_is_said_once(text):
    """Symptom: the leaks stood under nearly every table."""
    leak = "1 of the 2 test speakers of crema_d are in train too (s8): scores there are not those of unseen speakers."
    assert text.count(leak) == 1
    later = text[text.index('id="notes-low_resource"') :].partition("</ul>")[0]
    assert 'See also the notes below <a href="#notes-results">Scores and differences</a>' in later


def test_the_first_screen_says_which_backbones_are_pretrained(text):
    shown = text[text.index('<section class="models"') : text.index('<section class="summary"')]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", shown)]
    assert rows[1:] == [
        ["tiny", "<strong>UNTRAINED: random weights</strong>", "wav2vec2"],
        ["wavlm", "pretrained", "wavlm, microsoft/wavlm-base"],
        ["egemaps", "none: descriptors", "25 low-level descriptors of eGeMAPSv02"],
    ]


@pytest.mark.parametrize("name", ["results", "low_resource", "per_class_f1", "f1_bias", "cross_corpus", "fairness", "calibration",
                                  "cosine_distance", "objectives"])  # fmt: skip
def test_every_row_that_compares_models_says_its_weights(text, name):
    table = text[text.index(f'id="table-{name}"') :].partition("</tbody>")[0].partition("<tbody>")[2]
    rows = [row for row in table.split("<tr>") if "<td" in row]
    assert rows and all(re.search(r"<small> (pretrained|untrained|descriptors: 25 low-level)", row) for row in rows)


def test_scores_have_chance_levels_below_them(text):
    """Of 240 test clips in four classes, a guess has about a quarter of everything."""
    for name in ("results", "low_resource", "per_class_f1", "f1_bias", "cross_corpus"):
        foot = text[text.index(f'id="table-{name}"') :].partition("</table>")[0].partition("<tfoot>")[2]
        assert re.search(r"<td[^>]*>chance</td>", foot) and re.search(r"0\.[0-9]{2,}", foot), name
    summary = text[text.index('id="summary"') : text.index('id="results"')]
    assert re.search(r"The highest macro-F1 on crema with all clips is .*; chance 0\.2\d\d\)", summary)


def test_runs_are_those_of_the_tables(text, study):
    """Symptom: the head counted each fold, the tables the folds of a seed together."""
    settings = len(study.list_settings())
    assert f"2 tasks, 3 backbones, 2 adaptations, {5 * settings} runs." in text


def test_classes_of_targets_are_counted_and_no_example_is_shown(text):
    section = text[text.index('<section id="stage-1">') : text.index('<section id="stage-2">')]
    table = section[section.index('id="table-pretext"') :]
    assert "neutral" in table and "25 (62 %)" in table and "no target" in table
    assert "emoadapt contact-sheet films --feature faces --target TARGET" in table and "multimodal.sentiment" in table
    assert "data:image/jp" not in text and "data:image/png" not in text

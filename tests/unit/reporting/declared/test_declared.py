"""Markdown, LaTeX, footnotes and pictures of the paper's tables."""

import re

import polars as pl
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.config.tables import TAKEN
from emoadapt.errors import DataError
from emoadapt.reporting import declared
from emoadapt.reporting.declared import declared_names, pictures, read_declared, write_declared
from emoadapt.reporting.declared.cells import build_cells
from emoadapt.reporting.declared.footnotes import _say_runs, list_footnotes
from emoadapt.reporting.declared.grid import build_grid, write_markdown
from emoadapt.reporting.declared.latex import escape_latex, write_latex
from emoadapt.reporting.figures import figure_names
from emoadapt.reporting.tables import OPTIONAL, table_names
from emoadapt.study.nodes import Model


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they were about to be saved, by name: rendering all of them takes long."""
    found = {}
    monkeypatch.setattr(pictures, "save_figure", lambda figure, out, name: found.__setitem__(name, figure))
    return found


def shown(paper, name):
    tidy = build_cells(paper.study, name, paper.frame)
    return build_grid(paper.study, name, tidy), list_footnotes(paper.study, name, tidy), tidy


def test_a_row_is_a_corpus_and_headings_are_those_of_the_paper(paper):
    grid, _, tidy = shown(paper, "table_1")
    assert grid.stubs == ("Corpus",)
    assert grid.columns[:3] == (("eGeMAPS", ""), ("Wav2vec 2.0", "Original"), ("Wav2vec 2.0", "Adapted"))
    assert [line.stub[0] for line in grid.lines if line.kind == "value"] == ["CREMA-D", "MSP-IMPROV", "MSP-Podcast"]
    assert [line.kind for line in grid.lines[:4]] == ["value", "interval", "test", "paper"]
    row = tidy.filter(task="crema_d", backbone="wavlm", start="adapted").row(0, named=True)
    assert grid.lines[0].cells[4] == f"{row['mean']:.3f} ± {row['std']:.3f}{row['stars']}"
    assert grid.lines[1].cells[4] == "[0.200, 0.800]"
    assert grid.lines[3].cells[4] == "0.724 ± 0.02"


def test_a_row_is_a_task_where_tasks_are_not_called_as_their_corpora(paper):
    other = paper.study.tasks["crema_d"].model_copy(update={"corpus": "msp_improv"})
    study = paper.study.model_copy(update={"tasks": {**paper.study.tasks, "crema_d": other}})
    assert build_grid(study, "table_1", build_cells(paper.study, "table_1", paper.frame)).stubs == ("Task",)


def test_footnote_says_that_models_were_tested_on_different_clips(paper):
    """Symptom: a model of words was tested on fewer clips, and its test is over the clips of both models."""
    tidy = build_cells(paper.study, "table_1", paper.frame)
    said = "models were tested on different clips"
    assert not any(said in note for note in list_footnotes(paper.study, "table_1", tidy))
    least = tidy.filter(task="crema_d")["n"].min()
    fewer = (pl.col("task") == "crema_d") & (pl.col("start") == "adapted")
    unlike = tidy.with_columns(n=pl.when(fewer).then(least - 2).otherwise(pl.col("n")))
    notes = [note for note in list_footnotes(paper.study, "table_1", unlike) if said in note]
    assert notes == [
        f"crema_d (crema_d): models were tested on different clips, n = {least - 2:,} to {least:,}. A mean is over the clips of its model, "
        "a difference and its test are over the clips of both models."
    ]


def test_footnote_says_that_recordings_are_scored_and_not_segments(paper):
    whole = paper.study.tasks["crema_d"].model_copy(update={"score": "parents"})
    study = paper.study.model_copy(update={"tasks": {**paper.study.tasks, "crema_d": whole}})
    notes = list_footnotes(study, "table_1", build_cells(paper.study, "table_1", paper.frame))
    assert [note for note in notes if "segments" in note] == [
        "crema_d: each recording is scored once, with the outputs of its segments averaged; n counts recordings."
    ]


def test_parts_have_their_titles_and_rows_the_names_of_the_table(paper):
    grid, _, _ = shown(paper, "table_6")
    assert [line.stub[0] for line in grid.lines if line.kind == "part"] == [
        "Adding the textual objective",
        "Adding the facial objective",
    ]
    names = [line.stub[0] for line in grid.lines if line.kind == "value"]
    assert names == ["O1", "O1+O2", "O1+.5*O2", "O1+10*O2", "10*O1+O2", ".5*O1+O2", "O1+O2+O3", "O1+.5*O2+O3", "O1+1.5*O2+O3"]  # fmt: skip


def test_the_footnote_says_what_a_reader_must_know(paper):
    _, notes, _ = shown(paper, "table_1")
    text = "\n".join(notes)
    assert (
        "CREMA-D: n = 321 test clips in 5 partitions; split: 70/15/15 by speaker (seed 0); labels: audiovisual, ties random."
        in notes
    )
    assert "tested: session5, session3, session2, session1 and session6" in text and "test: Test1" in text
    assert (
        "over 5 runs (CREMA-D: 5 trials, partition i with seed i; MSP-IMPROV: 5 trials, partition i with seed i; MSP-Podcast: 5 seeds, "
        "on one partition; the standard deviation is over partitions too, each scored alone); the 95 % interval is a bootstrap over "
        "test clips (1,000 draws)"
    ) in text
    assert "p < .05" in text and "two-tailed paired t-test over 5 pairs of runs that share partition, seed" in text
    assert "averaged first" not in text, "each trial is a pair of its own"
    assert "Baseline: Original of the same backbone." in notes
    assert "WavLM (microsoft/wavlm-base)" in text and "UNTRAINED" not in text
    # Section IV-B against Table I.
    assert any("0.636 ± 0.05" in note and note.startswith("On the paper: ") for note in notes)
    _, lower, _ = shown(paper, "table_6")
    assert any("picked by its mean on that test set" in note for note in lower)
    _, best, _ = shown(paper, "table_3")
    assert any("of 4 models the one with the best mean on the test set itself" in note for note in best)
    (across,) = (note for note in shown(paper, "table_5")[1] if note.startswith("MSP-IMPROV: n = "))
    assert "in 5 partitions; the test part of task MSP-IMPROV, that of partition i by run i, after training" in across
    (figure,) = (note for note in shown(paper, "figure_3")[1] if "over 5 runs" in note)
    assert "5 trials, draw i with seed i, on one partition (1K Subset, 5K Subset and 10K Subset) or 5 seeds" in figure


def test_remarks_on_a_task_stand_below_the_tables_that_show_it(paper):
    tidy = {name: build_cells(paper.study, name, paper.frame) for name in ("table_2", "table_4")}
    remarks = {"msp_podcast": ["3 test clips were used in Stage 1."]}
    found = [
        name for name in tidy if remarks["msp_podcast"][0] in list_footnotes(paper.study, name, tidy[name], remarks)
    ]
    assert found == ["table_2"]


def test_a_sentence_that_holds_for_several_tasks_is_said_once(paper):
    tidy = build_cells(paper.study, "table_2", paper.frame)
    said = "2 clips of films are the same recording."
    assert list_footnotes(paper.study, "table_2", tidy, {"msp_podcast": [said, said]}).count(said) == 1


def test_markdown_has_as_many_cells_in_every_line_and_no_accidental_emphasis(paper):
    for name in ("table_1", "table_3", "table_6", "figure_3"):
        grid, notes, _ = shown(paper, name)
        text = write_markdown(grid, notes)
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(grid.stubs) + len(grid.columns) + 1}
    assert "| O1+10\\*O2 |" in write_markdown(*shown(paper, "table_6")[:2])


def cells_of(line):
    """Number of columns that a LaTeX line fills."""
    spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
    return len(re.findall(r"(?<!\\)&", line)) + 1 + spans


def test_latex_is_balanced_and_every_line_fills_the_columns(paper):
    for name in paper.study.tables:
        grid, notes, _ = shown(paper, name)
        text = write_latex(grid, name, notes)
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        opened = []
        for kind, environment in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
            if kind == "begin":
                opened.append(environment)
            else:
                assert opened.pop() == environment
        assert not opened
        width = len(re.search(r"\\begin\{tabular\}\{([lc]+)\}", text)[1])
        assert width == len(grid.stubs) + len(grid.columns)
        lines = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert {cells_of(line) for line in lines} == {width}
        assert not re.search(r"(?<!\\)[%_#](?! \\usepackage)", re.sub(r"\\label\{[^}]*\}", "", text))
        assert text.isascii()


def test_latex_of_table_1_groups_backbones_as_the_paper_does(paper):
    grid, notes, _ = shown(paper, "table_1")
    text = write_latex(grid, "table_1", notes)
    assert r" & eGeMAPS & \multicolumn{2}{c}{Wav2vec 2.0} & \multicolumn{2}{c}{WavLM}" in text
    assert r"\cmidrule(lr){3-4}\cmidrule(lr){5-6}\cmidrule(lr){7-8}\cmidrule(lr){9-10}" in text


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("0.681 ± 0.030*", r"0.681 $\pm$ 0.030$^{*}$"),
        ("0.681 ± 0.030†† (WavLM)", r"0.681 $\pm$ 0.030$^{\dagger\dagger}$ (WavLM)"),
        ("O1+.5*O2", "O1+.5*O2"),
        ("−0.012, p < .001", r"$-$0.012, p $<$ .001"),
        ("95 % of a_b & {c}", r"95 \% of a\_b \& \{c\}"),
        ("[0.1, 0.2]", "{}[0.1, 0.2]"),
        (r"a\b~^", r"a\textbackslash{}b\textasciitilde{}\textasciicircum{}"),
    ],
)
def test_latex_escapes(plain, latex):
    assert escape_latex(plain) == latex


def test_a_table_without_its_corpus_is_listed_not_failed(make_paper, tmp_path):
    paper = make_paper(absent=("MSP_PODCAST",))
    grid, notes, _ = shown(paper, "table_2")
    assert [line.note for line in grid.lines] == ["needs corpus msp_podcast"] * 3
    assert notes == ["Needs corpus msp_podcast: 24 of 24 cells (MSP-Podcast).", *paper.study.tables["table_2"].notes]
    assert "needs corpus msp\\_podcast" in write_latex(grid, "table_2", notes)
    pictures.draw_table(paper.study, "table_2", build_cells(paper.study, "table_2", paper.frame), tmp_path)
    assert (tmp_path / "table_2.svg").stat().st_size and (tmp_path / "table_2.png").stat().st_size
    assert "Needs corpus msp_podcast: 9 of 27 cells (MSP-Podcast)." in shown(paper, "table_1")[1]


def test_untrained_weights_are_named_as_such(paper, tmp_path):
    untrained = {
        name: b.model_copy(update={"weights": None, "untrained": {}}) for name, b in paper.study.backbones.items()
    }
    study = paper.study.model_copy(update={"backbones": untrained})
    tidy = build_cells(study, "table_4", paper.frame)
    assert set(tidy["weights"]) == {"untrained"} and tidy["paper_mean"].null_count() == tidy.height
    assert build_grid(study, "table_4", tidy).columns[0] == ("HuBERT Original (untrained)",)
    assert any(
        note.startswith("UNTRAINED, started from random weights: HuBERT, AV-HuBERT")
        for note in list_footnotes(study, "table_4", tidy)
    )


@pytest.mark.parametrize("name", ["table_1", "table_3", "table_6", "figure_3", "figure_4", "figure_5"])
def test_pictures_show_every_value_and_the_papers_hollow(paper, drawn, tmp_path, name):
    tidy = build_cells(paper.study, name, paper.frame)
    pictures.draw_table(paper.study, name, tidy, tmp_path)
    lines = [line for axis in drawn[name].axes for line in axis.get_lines()]
    hollow = [line for line in lines if line.get_markerfacecolor() == "white" and line.get_marker() not in ("", "None")]
    printed = sorted(tidy["paper_mean"].drop_nulls())
    assert (
        sorted(
            float(v) for line in hollow for v in (line.get_xdata() if tidy_is_points(paper, name) else line.get_ydata())
        )
        == printed
    )
    if paper.study.tables[name].picture == "bars":
        heights = [bar.get_height() for axis in drawn[name].axes for bar in axis.patches]
        assert heights == pytest.approx(tidy["mean"].to_list())


def tidy_is_points(paper, name):
    return paper.study.tables[name].picture == "points"


def test_all_is_written_and_read_back(make_paper, tmp_path, drawn):
    paper = make_paper(absent=("MSP_PODCAST",))
    tables, figures = tmp_path / "tables", tmp_path / "figures"
    write_declared(paper.study, [paper.path], tables, figures)
    names = declared_names(paper.study)
    assert names == [
        "table_1",
        "table_1_longer",
        "table_2",
        "table_3",
        "table_4",
        "table_5",
        "table_6",
        "figure_3",
        "figure_4",
        "figure_5",
    ]
    assert {path.name for path in tables.iterdir()} == {
        f"{n}.{kind}" for n in names for kind in ("csv", "md", "tex", "notes.txt")
    }
    assert drawn.keys() | {path.stem for path in figures.iterdir()} == set(names)
    for name in names:
        back = read_declared(paper.study, name, tables)
        grid, notes, tidy = shown(paper, name)
        assert (back.grid, back.footnotes) == (grid, notes)
        assert back.empty == (name in ("table_2", "table_5", "figure_3"))
        assert pl.read_csv(tables / f"{name}.csv")["missing"].null_count() == tidy["missing"].null_count()
    with pytest.raises(DataError, match="is missing"):
        declared.read_declared(paper.study, "table_1", tmp_path)


def test_names_of_the_reports_own_tables_and_figures_are_taken(paper):
    own = {*table_names(paper.study, OPTIONAL), *figure_names(paper.study)} - {"paper_goncalves2025"}
    assert own <= set(TAKEN)


BOTH = ["wavlm.original", "wavlm.multimodal", "wavlm.original.probe", "wavlm.multimodal.probe", "egemaps.original.mlp"]


def make_both(make_study, **keys):
    """A table of two fine-tunings side by side, and COMPARISONS rows for it."""
    table = {"title": "Both", "tasks": ["improv"], "parts": [{"models": BOTH, "baseline": "original"}], **keys}
    study = make_study(tables={"both": table})
    rows = []
    for place, model in enumerate(map(Model.parse, BOTH)):
        baseline = None if model.start == "original" else model.find_original()
        named = dict(
            zip(("baseline_backbone", "baseline", "baseline_finetuning"), baseline or (None,) * 3, strict=True)
        )
        test = (
            dict(n_pairs=5, difference=0.1, difference_low=0.0, difference_high=0.2, p_value=0.01 * place)
            if baseline
            else {}
        )
        value = dict(metric="macro_f1", n_runs=5, mean=0.3 + 0.1 * place, std=0.01, low=0.2, high=0.8, n=9)
        rows.append(
            dict(task="improv", subset="full", test_corpus="msp_improv", **model._asdict(), **named, **value, **test)
        )
    frame = pl.from_arrow(pa.Table.from_pylist(rows, schema=schema.COMPARISONS))
    return study, build_cells(study, "both", frame)


def test_two_finetunings_stand_side_by_side_each_against_its_own_original(make_study):
    study, tidy = make_both(make_study)
    assert build_grid(study, "both", tidy).columns == (
        ("wavlm original",), ("wavlm multimodal",), ("wavlm original probe",), ("wavlm multimodal probe",), ("egemaps mlp",),
    )  # fmt: skip
    assert tidy["baseline"].to_list() == [None, "wavlm.original", None, "wavlm.original.probe", None]
    notes = list_footnotes(study, "both", tidy)
    assert "Baseline: original of the same backbone and fine-tuning." in notes
    assert "Descriptors, no pretrained weights: egemaps (egemaps)." in notes


def test_finetuning_is_a_dimension_of_its_own(make_study):
    study, tidy = make_both(make_study, rows=["finetuning"], columns=["backbone", "start"])
    grid = build_grid(study, "both", tidy)
    assert grid.stubs == ("Fine-tuning",)
    assert [line.stub[0] for line in grid.lines if line.kind == "value"] == ["default", "probe", "mlp"]
    assert grid.columns == (("wavlm", "original"), ("wavlm", "multimodal"), ("egemaps", ""))


def test_footnotes_say_which_test_it_was_and_what_runs_are(make_study):
    study, tidy = make_both(make_study)
    text = "\n".join(list_footnotes(study, "both", tidy))
    assert "two-tailed paired t-test over 5 pairs of runs that share seed and training clips" in text
    assert "over 5 runs (improv: 5 seeds, on one partition); the 95 % interval" in text
    object.__setattr__(study.tasks["improv"], "partitions", 4)
    object.__setattr__(study.report, "alternative", "greater")
    text = "\n".join(list_footnotes(study, "both", tidy))
    assert "one-tailed paired t-test (better than the baseline)" in text
    assert "that share partition, seed and training clips (runs of one partition are averaged first)" in text
    assert "(improv: 4 partitions × 5 seeds; the standard deviation is over partitions too, each scored alone)" in text


def test_footnote_names_the_fine_tunings_whose_numbers_of_runs_differ(paper):
    how = paper.study.finetunings["default"]
    study = paper.study.model_copy(
        update={
            "finetunings": {"mlp": how, "short": how.model_copy(update={"seeds": [0, 1]})},
            "tasks": {"improv": paper.study.tasks["msp_improv"].model_copy(update={"trials": "crossed"})},
            "report": paper.study.report.model_copy(update={"names": {}}),
        }
    )
    place = {"task": "improv", "test_corpus": "msp_improv", "subset": "full", "backbone": "hubert", "start": "original"}
    shown = pl.DataFrame([place | {"finetuning": name} for name in study.finetunings])
    assert _say_runs(study, study.tables["table_1"], shown) == (
        " (improv: 5 partitions × 5 seeds (mlp) or 5 partitions × 2 seeds (short); the standard deviation is over partitions "
        "too, each scored alone)"
    )

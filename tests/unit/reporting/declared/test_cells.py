"""The cells of the paper's tables, against numpy and scipy on the same scores."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from scipy import stats

from emoadapt.errors import DataError
from emoadapt.reporting.declared.cells import build_cells, mark
from emoadapt.reporting.declared.grid import build_grid
from emoadapt.reporting.reference import read_paper
from emoadapt.study.nodes import Model

PODCAST = "needs corpus msp_podcast"


def cell(tidy, **place):
    rows = tidy.filter(**place)
    assert rows.height == 1, rows
    return rows.row(0, named=True)


def key(task, model, metric="macro_f1", subset="full", corpus=None):
    return (task, corpus or task, subset, metric, Model.parse(model))


def test_a_cell_holds_its_settings_values_and_the_test_against_its_original(paper):
    tidy = build_cells(paper.study, "table_1", paper.frame)
    assert tidy.height == 27 and tidy["missing"].null_count() == 27
    row = cell(tidy, task="msp_improv", backbone="wavlm", start="adapted")
    ours, original = (paper.scores[key("msp_improv", f"wavlm.{start}")] for start in ("adapted", "original"))
    assert row["mean"] == pytest.approx(np.mean(ours))
    assert row["std"] == pytest.approx(np.std(ours, ddof=1))
    assert row["difference"] == pytest.approx(np.mean(ours) - np.mean(original))
    assert row["p_value"] == pytest.approx(stats.ttest_rel(ours, original).pvalue)
    assert row["baseline"] == "wavlm.original"
    assert (row["n"], row["n_runs"], row["n_pairs"]) == (321, 5, 5)
    assert cell(tidy, task="msp_improv", backbone="egemaps")["baseline"] is None


def test_every_value_of_the_paper_stands_in_exactly_one_cell_of_its_tables(paper):
    found = Counter()
    for number, name in enumerate(("I", "II", "III", "IV", "V", "VI"), start=1):
        tidy = build_cells(paper.study, f"table_{number}", paper.frame)
        assert set(tidy["paper_table"]) == {name}
        found.update(tidy.select("paper_table", "paper_row", "paper_column", "paper_mean", "paper_std").rows())
    printed = read_paper("goncalves2025").select("table", "row", "column", "mean", "std").rows()
    assert found == Counter(printed)
    assert max(found.values()) == 1 and len(printed) == 83


def test_the_papers_values_stand_where_the_paper_has_them(paper):
    tables = {n: build_cells(paper.study, f"table_{n}", paper.frame) for n in (1, 2, 4, 6)}
    assert cell(tables[1], task="crema_d", backbone="wavlm", start="adapted")["paper_mean"] == 0.724
    assert cell(tables[2], subset="5000", backbone="data2vec", start="original")["paper_mean"] == 0.563
    assert cell(tables[4], task="msp_improv", backbone="av_hubert")["paper_mean"] == 0.1033
    row = cell(tables[6], task="crema_d", start="ten_o1_o2")
    assert (row["paper_mean"], row["paper_std"], row["paper_stars"]) == (0.673, None, "*")
    # The proposed adaptation has a standard deviation in Table I, and none in Table VI.
    assert cell(tables[6], task="crema_d", start="adapted")["paper_std"] is None
    assert cell(tables[1], task="crema_d", backbone="wav2vec2", start="adapted")["paper_std"] == 0.03
    figure = build_cells(paper.study, "figure_5", paper.frame).filter(task="msp_improv")
    assert figure.select("paper_table", "paper_mean").rows() == [
        ("I", 0.501),
        ("VI", 0.566),
        ("VI", 0.607),
        ("I", 0.614),
    ]
    assert build_cells(paper.study, "figure_3", paper.frame)["paper_mean"].null_count() == 32


def test_the_best_of_several_is_picked_per_corpus_and_tested_against_the_named_baseline(paper):
    tidy = build_cells(paper.study, "table_3", paper.frame)
    for task in ("crema_d", "msp_improv", "msp_podcast"):
        models = [f"{backbone}.adapted" for backbone in ("wav2vec2", "wavlm", "hubert", "data2vec")]
        means = {model: paper.scores[key(task, model)].mean() for model in models}
        best = max(means, key=means.get)
        row = cell(tidy, task=task, entry="Best adapted")
        assert str(Model(row["backbone"], row["start"], row["finetuning"])) == best
        assert row["baseline"] == "av_hubert.original"
        expected = stats.ttest_rel(paper.scores[key(task, best)], paper.scores[key(task, "av_hubert.original")])
        assert row["p_value"] == pytest.approx(expected.pvalue)
        assert row["candidates"] == "; ".join(f"{model} {means[model]:.4f}" for model in models)


def test_the_best_baseline_is_that_of_the_same_test_set(paper):
    tidy = build_cells(paper.study, "table_6", paper.frame).filter(part="1")
    for task in ("crema_d", "msp_improv"):
        names = ("o1_o2", "o1_half_o2", "o1_ten_o2", "ten_o1_o2", "half_o1_o2")
        best = max(names, key=lambda name: paper.scores[key(task, f"wav2vec2.{name}")].mean())
        row = cell(tidy, task=task, start="o1_o2_o3")
        assert row["baseline"] == f"wav2vec2.{best}"
        expected = stats.ttest_rel(*(paper.scores[key(task, f"wav2vec2.{name}")] for name in ("o1_o2_o3", best)))
        assert row["p_value"] == pytest.approx(expected.pvalue)
    top = build_cells(paper.study, "table_6", paper.frame).filter(part="0")
    assert cell(top, task="crema_d", start="o1")["baseline"] is None
    assert set(top.filter(pl.col("start") != "o1")["baseline"]) == {"wav2vec2.o1"}


def test_each_of_several_baselines_must_be_beaten(paper):
    row = cell(build_cells(paper.study, "figure_4", paper.frame), task="crema_d", start="o1")
    ours = paper.scores[key("crema_d", "wav2vec2.o1")]
    tests = {
        name: stats.ttest_rel(ours, paper.scores[key("crema_d", name)]).pvalue
        for name in ("wav2vec2.original", "wav2vec2.energy")
    }
    assert row["p_value"] == pytest.approx(max(tests.values()))
    assert row["baseline"] == max(tests, key=tests.get)
    assert row["baselines"] == "wav2vec2.original; wav2vec2.energy"


@pytest.mark.parametrize(("beside_energy", "stars"), [(0.1, "*"), (-0.1, "")])
def test_no_star_for_a_model_that_is_worse_than_one_of_the_baselines_it_must_beat(paper, beside_energy, stars):
    against = pl.col("baseline").eq_missing("energy") & pl.col("baseline_backbone").eq_missing("wav2vec2")
    original = pl.col("baseline").eq_missing("original") & (pl.col("start") == "o1")
    frame = paper.frame.with_columns(
        difference=pl.when(against).then(beside_energy).when(original).then(0.1).otherwise("difference"),
        p_value=pl.when(against).then(0.001).when(original).then(0.04).otherwise("p_value"),
    )
    row = cell(build_cells(paper.study, "figure_4", frame), task="crema_d", start="o1")
    assert (row["baseline"], row["p_value"], row["difference"]) == ("wav2vec2.original", 0.04, 0.1)
    assert row["stars"] == stars


@pytest.mark.parametrize(
    ("p_value", "difference", "lower", "stars"),
    [(0.04, 0.1, False, "*"), (0.004, 0.1, False, "**"), (0.05, 0.1, False, ""), (0.04, -0.1, False, "†"), (0.004, -0.1, True, "**"),
     (0.004, 0.1, True, "††"), (None, 0.1, False, "")],
)  # fmt: skip
def test_stars_tell_better_from_worse(p_value, difference, lower, stars):
    assert mark(p_value, difference, lower) == stars


def test_without_a_corpus_its_cells_say_so_and_all_others_are_there(make_paper):
    paper = make_paper(absent=("MSP_PODCAST",))
    assert set(build_cells(paper.study, "table_2", paper.frame)["missing"]) == {PODCAST}
    assert set(build_cells(paper.study, "table_5", paper.frame)["missing"]) == {PODCAST}
    tidy = build_cells(paper.study, "table_1", paper.frame)
    assert dict(tidy.group_by("task").agg(pl.col("missing").first()).iter_rows()) == {
        "crema_d": None, "msp_improv": None, "msp_podcast": PODCAST,
    }  # fmt: skip
    assert build_cells(paper.study, "table_6", paper.frame)["missing"].null_count() == 18


def test_a_run_that_was_not_done_yet_is_no_error(paper):
    tidy = build_cells(paper.study, "table_1", paper.frame.filter(pl.col("backbone") != "hubert"))
    assert set(tidy.filter(backbone="hubert")["missing"]) == {"not computed yet"}
    assert tidy.filter(backbone="wavlm")["missing"].null_count() == 6


def test_two_cells_of_one_name_are_refused_not_printed_over_one_another(paper):
    table = paper.study.tables["figure_4"]
    alike = table.model_copy(update={"names": {**table.names, "wav2vec2.o1": "Energy"}})
    study = paper.study.model_copy(update={"tables": {"figure_4": alike}})
    tidy = build_cells(study, "figure_4", paper.frame)
    with pytest.raises(DataError, match=r"tables\.figure_4: two cells are both called CREMA-D, Energy"):
        build_grid(study, "figure_4", tidy)
    # The same model twice hides nothing.
    assert (
        len(
            build_grid(
                paper.study, "figure_4", pl.concat([build_cells(paper.study, "figure_4", paper.frame)] * 2)
            ).columns
        )
        == 3
    )

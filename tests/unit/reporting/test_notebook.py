"""The notebook of the docs, executed cell by cell on a small folder of results."""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import polars as pl
import pytest

NOTEBOOK = Path(__file__).parents[3] / "docs/notebooks/results.ipynb"


def run_cells(notebook, folder, monkeypatch):
    """All names that the cells define, in one namespace as in Jupyter."""
    monkeypatch.chdir(folder)
    matplotlib.use("agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    names = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)
    plt.close("all")
    return names


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text())


def test_notebook_is_valid_and_has_no_outputs(notebook):
    nbformat.validate(nbformat.from_dict(notebook))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 3 and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    imported = {
        line.split()[1].partition(".")[0] for cell in cells for line in cell["source"] if " import" in f" {line}"
    }
    assert imported == {"pathlib", "matplotlib", "polars"}


def test_notebook_draws_the_means_that_the_package_computed(notebook, results, monkeypatch):
    names = run_cells(notebook, results.parent, monkeypatch)
    first = names["first"]
    table = pl.read_parquet(results / "metrics" / f"{first['task']}.comparisons.parquet")
    table = table.filter(pl.col("metric") == "macro_f1", [pl.col(key) == value for key, value in first.items()])
    lines = {line.get_label(): line for line in names["axes"].lines if not line.get_label().startswith("_")}
    assert set(lines) == set(table["start"]) and len(lines) > 1
    for start, line in lines.items():
        drawn = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
        means = dict(table.filter(start=start).select("subset", "mean").iter_rows())
        assert drawn == pytest.approx(means) and list(drawn) == ["64", "256", "full"]
    assert len(names["axes"].collections) == len(lines)


def test_gains_of_the_notebook_are_those_of_the_comparisons(notebook, results, monkeypatch):
    gains = run_cells(notebook, results.parent, monkeypatch)["gains"]
    tables = [pl.read_parquet(path) for path in results.glob("metrics/*.comparisons.parquet")]
    table = (
        pl.concat(tables)
        .filter(metric="macro_f1", baseline="original")
        .filter(pl.col("baseline_backbone") == pl.col("backbone"), pl.col("start") != "original")
    )
    key = ["task", "test_corpus", "subset", "backbone", "start", "finetuning"]
    both = gains.join(table, on=key)
    assert len(both) == len(gains) > 5
    assert both["gain"].to_list() == pytest.approx(both["difference"].to_list())


def copy_metrics(results, folder, change):
    """The metrics of a folder of results, each table changed."""
    (folder / "results/metrics").mkdir(parents=True)
    for path in results.glob("metrics/*.parquet"):
        change(pl.read_parquet(path)).write_parquet(folder / "results/metrics" / path.name)
    return folder


def keep_originals(table):
    return table.filter(pl.col("start") == "original") if "start" in table.columns else table


def make_attributes(table):
    table = table.with_columns(pl.col("metric").replace("macro_f1", "ccc_mean")) if "metric" in table.columns else table
    return table.clear() if "predicted" in table.columns else table


def test_notebook_draws_all_models_of_a_study_without_adaptation(notebook, results, tmp_path, monkeypatch, capsys):
    """Symptom: `OutOfBoundsError` in the cell "The figure", on the quick start of the README."""
    names = run_cells(notebook, copy_metrics(results, tmp_path, keep_originals), monkeypatch)
    assert "no adapted model beside its original" in capsys.readouterr().out
    drawn = {line.get_label() for line in names["axes"].lines if not line.get_label().startswith("_")}
    models = names["runs"].filter(pl.col("task") == names["first"]["task"])
    assert (
        drawn == {" ".join(row) for row in models.select("backbone", "start", "finetuning").iter_rows()}
        and len(drawn) > 1
    )
    assert names["gains"].is_empty() and names["confusion"].height == 4


@pytest.mark.parametrize("adapted", [True, False])
def test_notebook_draws_attributes(notebook, results, tmp_path, monkeypatch, adapted):
    """Symptom: it knew only macro-F1."""
    keep = (lambda table: table) if adapted else keep_originals
    folder = copy_metrics(results, tmp_path, lambda table: make_attributes(keep(table)))
    names = run_cells(notebook, folder, monkeypatch)
    assert names["axes"].get_ylabel() == "ccc mean" and len(names["axes"].lines) > 1
    assert names["confusion"].is_empty() and names["gains"].is_empty() != adapted


def test_notebook_says_that_a_study_has_no_scores(notebook, tmp_path, monkeypatch, capsys):
    (tmp_path / "results/metrics").mkdir(parents=True)
    pl.DataFrame({"corpus": ["a"], "word_error_rate": [0.1]}).write_parquet(
        tmp_path / "results/metrics/word_errors.parquet"
    )
    names = run_cells(notebook, tmp_path, monkeypatch)
    assert names["first"] is None and names["means"].is_empty()
    said = capsys.readouterr().out
    assert "results/metrics has no scores" in said and "There are no scores to draw." in said

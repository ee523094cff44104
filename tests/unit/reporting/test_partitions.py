"""A task that is divided several times: its runs are not those of one split, and every page says so."""

import re

import polars as pl
import pytest

from emoadapt.reporting import write_all
from emoadapt.reporting.display import present_table
from emoadapt.reporting.notices import describe_partitions, list_gaps
from emoadapt.reporting.pages import collect_pages
from emoadapt.reporting.style import describe_runs
from emoadapt.reporting.tables import average_runs, read_tidy

TASK = {
    "corpus": "crema_d",
    "classes": ["anger", "happiness", "neutral", "sadness"],
    "split": {"by": "fractions"},
    "partitions": 3,
}


@pytest.fixture(scope="module")
def study(make_study):
    return make_study(
        backbones={"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}},
        adaptations={"multimodal": {"corpora": ["films"], "objectives": {"egemaps": 1}}},
        finetunings={"default": {"seeds": [0, 1]}},
        tasks={"crema": TASK},
        report={"bootstrap": 100, "alternative": "greater"},
        tables={"ours": {"title": "Ours", "tasks": ["crema"], "parts": [{"models": ["wavlm.original", "wavlm.multimodal"], "baseline": "original"}]}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(study, make_results, tmp_path_factory):
    return make_results(study, tmp_path_factory.mktemp("divided"))


@pytest.fixture(scope="module")
def written(study, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_all(study, made[1], folder / "tables", folder / "figures", folder / "index.html")
    return folder


def test_every_run_of_every_partition_counts(written):
    row = read_tidy(written / "tables" / "results.csv").filter(metric="macro_f1", start="multimodal").row(0, named=True)
    assert (row["n_runs"], row["n_pairs"]) == (6, 6)


def test_splits_are_counted_partition_by_partition(written):
    data = read_tidy(written / "tables" / "data.csv").filter(pl.col("label").is_null())
    assert data.select("partition", "split").rows() == [(p, s) for p in range(3) for s in ("train", "dev", "test")]
    assert (written / "tables" / "data.md").read_text().startswith("| task | corpus | partition | fold | split |")


def test_the_page_says_what_runs_are_and_which_test_it_was(study, written):
    text = (written / "index.html").read_text()
    (sentence,) = describe_partitions(study)
    assert sentence.startswith("crema: 3 partitions of crema_d, each scored alone; a run is one partition, one draw")
    assert sentence in text
    assert (
        "one-tailed paired t-test (better than the baseline) over runs with the same partition, seed and resampling"
        in text
    )
    assert "over seeds and draws of the training clips, on one split" not in text
    headline = re.search(r'class="headline">([^<]+)', text)[1]
    assert "over 6 paired runs" in headline or "for other partitions" in headline
    notes = (written / "tables" / "ours.notes.txt").read_text()
    assert (
        "over 6 runs (crema: 3 partitions × 2 seeds; the standard deviation is over partitions too, each scored alone)"
        in notes
    )


def test_runs_and_curves_name_their_partition(study, made):
    inputs, results = made
    pages = collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)
    assert {page["partitions"] for page in pages} == {3}
    assert [(run["p"], run["s"]) for run in pages[0]["tests"][0]["runs"]] == [
        (p, s) for p in range(3) for s in range(2)
    ]
    assert {curve["run"] for curve in pages[0]["curves"]} == {f"p{p}f0r0s{s}" for p in range(3) for s in range(2)}


def test_runs_are_named_by_what_they_are_the_product_of(study, make_study):
    assert describe_runs(study, "crema", "full", 2) == "3 partitions × 2 seeds"
    assert describe_runs(study, "crema", "full", 1) == "3 partitions"
    drawn = make_study(tasks={"crema": TASK | {"partitions": 1, "subsets": [64, "full"], "resamplings": 5}})
    assert describe_runs(drawn, "crema", "64", 2) == "5 draws × 2 seeds"
    assert describe_runs(drawn, "crema", "full", 1) == "1 run"


def test_sizes_of_tests_are_those_of_runs_where_partitions_differ(study, written):
    """Of each class the largest partition was taken: no run had the sum of these, and a partition without a class was not named."""
    sizes = {"anger": (5, 3, 0), "happiness": (3, 5, 4), "neutral": (1, 1, 1), "sadness": (1, 1, 1)}
    rows = [
        {"task": "crema", "backbone": "wavlm", "start": "original", "finetuning": "default", "subset": "full"}
        | {"partition": partition, "resampling": 0, "seed": seed, "test_corpus": "crema_d"}
        | {"metric": "f1", "label": label, "value": 0.5, "n": counts[partition]}
        for label, counts in sizes.items()
        for partition in range(3)
        for seed in (0, 1)
    ]
    found = average_runs(study, pl.DataFrame(rows))
    assert dict(found.select("label", "n").iter_rows()) == {label: max(counts) for label, counts in sizes.items()}
    assert dict(found.select("label", "n_least").iter_rows())["anger"] == 0
    assert present_table("per_class_f1", found)["n test"].to_list() == ["10"]
    tables = written / "tables"
    notices = list_gaps(found, read_tidy(tables / "cross_corpus.csv"), read_tidy(tables / "data.csv"), study)
    assert notices[0].startswith("The test set of some partition of crema_d (task crema) has NO CLIP of class anger: ")

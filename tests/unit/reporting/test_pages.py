"""Pages of settings: what stands in them is what the tables of the runs hold, and nothing in them can break out."""

import json

import polars as pl
import pytest

from emoadapt.errors import DataError
from emoadapt.reporting.pages import collect_pages, encode_pages, page_id, round_value
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Model


@pytest.fixture(scope="module")
def pages(study, inputs, results):
    return collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)


def find(pages, task, model, subset):
    return next(page for page in pages if page["id"] == page_id(task, Model.parse(model), subset))


def test_every_setting_has_a_page_in_the_order_of_the_report(study, pages):
    assert {page["id"] for page in pages} == {page_id(s.task, s.model, s.subset) for s in study.list_settings()}
    assert [page["task"] for page in pages] == sorted((page["task"] for page in pages), key=list(study.tasks).index)
    sizes = [
        page["subset"]
        for page in pages
        if (page["task"], page["backbone"], page["start"]) == ("crema", "tiny", "original")
    ]
    assert sizes == ["64", "256", "full"]


def test_scores_and_confusion_are_those_of_the_tables(inputs, pages):
    page = find(pages, "crema", "wavlm.multimodal", "64")
    own, other = page["tests"]
    assert (own["corpus"], own["n"], other["corpus"], other["n"]) == ("crema_d", 240, "msp_improv", 90)
    frame = pl.concat([pl.from_arrow(read_table(path)) for path in inputs.metrics]).filter(
        task="crema", backbone="wavlm", start="multimodal", subset="64", test_corpus="crema_d", seed=3
    )
    run = own["runs"][3]
    assert (run["p"], run["r"], run["s"]) == (0, 0, 3)
    for name, value in zip(page["metrics"], run["m"], strict=True):
        metric = name.lower().replace(" ", "_").replace("-", "_")
        assert value == pytest.approx(frame.filter(pl.col("label").is_null(), metric=metric)["value"].item(), rel=1e-3)
    f1 = dict(frame.filter(metric="f1").select("label", "value").iter_rows())
    assert run["f"] == pytest.approx([f1[label] for label in page["classes"]], rel=1e-3)
    # The diagonal of the confusion over all test utterances is the accuracy: an independent way through the other table.
    size = len(page["classes"])
    assert sum(run["c"]) == 240
    hits = sum(run["c"][k * size + k] for k in range(size))
    assert hits / 240 == pytest.approx(run["m"][page["metrics"].index("accuracy")], abs=1e-3)


def test_curves_and_files_lead_to_the_runs(results, pages):
    page = find(pages, "crema", "wavlm.multimodal", "64")
    assert [curve["run"] for curve in page["curves"]] == [f"p0f0r0s{seed}" for seed in range(5)]
    first, values = page["curves"][1]["series"]["dev macro_f1"]
    assert (first, page["curves"][1]["best"]) == (0, 6)
    assert page["labels"] == {"loss": "loss", "macro_f1": "macro-F1"}
    assert values == [round_value(0.1 + (1 - 0.8**epoch) / 2) for epoch in range(8)]
    path = results / "runs/crema/wavlm.multimodal/64/b000/predictions.parquet"
    assert page["files"] == [[str(path), "p0f0r0s0 p0f0r0s1 p0f0r0s2 p0f0r0s3 p0f0r0s4"]]
    assert page["left_out"] == "1 train, 2 test clips, left out", (
        "without usable input, from the provenance of the runs"
    )


def test_an_epoch_without_a_value_is_a_gap(study, inputs, results, pages):
    assert round_value(float("nan")) is None
    assert round_value(0.123456) == 0.1235
    assert round_value(12.0) == 12


def test_a_missing_curve_is_a_sentence(study, inputs, tmp_path):
    with pytest.raises(DataError, match=r"curves\.parquet is missing"):
        collect_pages(study, tmp_path, inputs.metrics, inputs.confusion, inputs.splits)


def test_labels_cannot_leave_the_data_block(pages):
    text = encode_pages(pages)
    assert not set("<>&") & set(text)
    assert json.loads(text) == pages


def test_a_run_takes_a_few_kilobytes(pages):
    """A study of 300 runs stays far below 10 MB."""
    runs = sum(len(page["curves"]) for page in pages)
    assert len(encode_pages(pages)) / runs < 2000

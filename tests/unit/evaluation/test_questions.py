"""Tasks of attributes: CCC of whole test sets, its interval, and paired comparisons."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import TABLES, evaluate_task, name_table
from emoadapt.evaluation.questions import pose_question
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Model


def predictions(start, seed, noise, *, fold=0, utterances=range(40), corpus="home", attributes=("arousal", "valence")):
    random = np.random.default_rng([seed, fold, len(start)])
    rows = []
    for number in utterances:
        for place, name in enumerate(attributes):
            value = 3 + np.sin(number * (place + 1))
            rows.append(
                dict(task="t", backbone="egemaps" if start == "egemaps" else "w", finetuning="default", subset="full",
                     start="original" if start == "egemaps" else start, partition=0, resampling=0, fold=fold, seed=seed, test_corpus=corpus, utterance_id=f"{corpus}/{number}",
                     speaker="s", sex=None, attribute=name, predicted=value + noise * random.standard_normal(),
                     value=None if name == "valence" and number % 4 == 0 else value)
            )  # fmt: skip
    return rows


@pytest.fixture
def run(tmp_path):
    def evaluate(tables, attributes=("arousal", "valence"), parents=False):
        paths = []
        for number, rows in enumerate(tables):
            paths.append(tmp_path / f"p{number}.parquet")
            write_table(paths[-1], rows, schema.ATTRIBUTE_PREDICTIONS)
        scoring = Scoring(bootstrap=200, baseline=Model("egemaps"))
        evaluate_task(pose_question("t", "attributes", attributes, parents=parents), paths, [], tmp_path, scoring)
        found = [pl.from_arrow(read_table(name_table(tmp_path, "t", name), kind)) for name, kind in TABLES.items()]
        assert all(table.is_empty() for table in [found[1], *found[3:]])
        return found[:3]

    return evaluate


def by_library(rows: list[dict], attribute: str) -> float:
    """CCC from numpy's moments over n."""
    x, y = np.array(
        [(r["predicted"], r["value"]) for r in rows if r["attribute"] == attribute and r["value"] is not None]
    ).T
    return 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def test_folds_are_pooled_and_the_unrated_do_not_count(run):
    halves = [
        predictions("original", 0, 0.5, fold=fold, utterances=part)
        for fold, part in ((0, range(13)), (1, range(13, 40)))
    ]
    metrics, confusion, _ = run(halves)
    found = {row["metric"]: row for row in metrics.iter_rows(named=True)}
    expected = {name: by_library(halves[0] + halves[1], name) for name in ("arousal", "valence")}
    assert found["ccc_arousal"]["value"] == pytest.approx(expected["arousal"])
    assert found["ccc_valence"]["value"] == pytest.approx(expected["valence"])
    assert found["ccc_mean"]["value"] == pytest.approx(np.mean([*expected.values()]))
    counts = {"mean": 40, "arousal": 40, "valence": 30}
    assert {name: row["n"] for name, row in found.items()} == {
        f"{metric}_{part}": n for metric in ("ccc", "pearson") for part, n in counts.items()
    }
    assert confusion.is_empty()


def test_rated_utterances_of_all_partitions_are_counted_once(run):
    parts = [range(0, 24), range(16, 40), range(8, 32)]
    tables = [
        [row | {"partition": number} for row in predictions("original", 0, 0.5, utterances=part)]
        for number, part in enumerate(parts)
    ]
    metrics, _, comparisons = run(tables)
    rated = {
        name: len({r["utterance_id"] for t in tables for r in t if r["attribute"] == name and r["value"] is not None})
        for name in ("arousal", "valence")
    }
    found = {row["metric"]: (row["n"], row["n_all"]) for row in metrics.filter(partition=0).iter_rows(named=True)}
    assert found["ccc_arousal"] == (24, rated["arousal"])
    assert found["ccc_valence"][1] == rated["valence"] < 40
    assert found["ccc_mean"] == (24, 40)
    assert set(comparisons.filter(metric="ccc_mean")["n"]) == {40}


def test_comparison_is_paired_and_has_an_interval_that_may_be_negative(run):
    tables = [predictions("adapted", seed, 0.4) for seed in range(3)] + [
        predictions("original", seed, 0.9) for seed in range(3)
    ]
    tables += [
        [{**row, "predicted": 6 - row["predicted"]} for row in predictions("egemaps", seed, 0.4)] for seed in range(3)
    ]
    metrics, _, comparisons = run(tables)
    values = {
        start: metrics.filter(metric="ccc_mean", backbone="w", start=start).sort("seed")["value"].to_numpy()
        for start in ("adapted", "original")
    }
    row = comparisons.filter(metric="ccc_mean", start="adapted", baseline_backbone="w").row(0, named=True)
    assert (row["n_pairs"], row["n_runs"]) == (3, 3)
    assert row["difference"] == pytest.approx((values["adapted"] - values["original"]).mean())
    assert row["p_value"] == pytest.approx(stats.ttest_rel(values["adapted"], values["original"]).pvalue)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["low"] < row["mean"] < row["high"]
    opposite = comparisons.filter(metric="ccc_mean", backbone="egemaps").row(0, named=True)
    assert opposite["low"] < opposite["mean"] < opposite["high"] < 0
    parts = ("mean", "arousal", "valence")
    assert set(comparisons["metric"]) == {f"{metric}_{part}" for metric in ("ccc", "pearson") for part in parts}


def test_equal_models_have_no_difference(run):
    tables = [predictions("original", seed, 0.5) for seed in range(3)]
    same = [{**row, "start": "adapted"} for rows in tables for row in rows]
    _, _, comparisons = run([*tables, same])
    row = comparisons.filter(start="adapted", metric="ccc_mean").row(0, named=True)
    assert (row["difference"], row["difference_low"], row["difference_high"], row["p_value"]) == (0, 0, 0, 1)


def test_attribute_that_a_test_corpus_does_not_have_has_no_say_there(run):
    away = [
        r | {"value": None if r["attribute"] == "valence" else r["value"]}
        for r in predictions("original", 0, 0.5, corpus="away")
    ]
    metrics, _, comparisons = run([predictions("original", 0, 0.5), away])
    found = dict(metrics.filter(test_corpus="away").select("metric", "value").iter_rows())
    assert found.keys() == {"ccc_mean", "ccc_arousal", "pearson_mean", "pearson_arousal"}
    assert found["ccc_mean"] == found["ccc_arousal"]
    assert set(comparisons.filter(test_corpus="away")["metric"]) == found.keys()


def test_segments_are_averaged_per_parent(run):
    """Three segments a parent; parents of valence that are not rated do not count."""
    whole = predictions("original", 0, 0.5, utterances=range(30))
    noise = np.random.default_rng(3).normal(size=(len(whole), 3))
    cut = [
        {**row, "utterance_id": f"{row['utterance_id']}#{place}.00-{place + 2}.00", "predicted": row["predicted"] + shift[place]}
        for row, shift in zip(whole, noise, strict=True) for place in range(3)
    ]  # fmt: skip
    expected, _, tests = run(
        [[{**row, "predicted": row["predicted"] + shift.mean()} for row, shift in zip(whole, noise, strict=True)]]
    )
    metrics, _, comparisons = run([cut], parents=True)
    assert metrics.drop("value").equals(expected.drop("value"))
    np.testing.assert_allclose(metrics["value"], expected["value"])
    np.testing.assert_allclose(comparisons["low"], tests["low"])
    torn = [{**row, "value": 9.0} if row["utterance_id"] == "home/1#0.00-2.00" else row for row in cut]
    with pytest.raises(DataError, match="segments of home/1 have different values"):
        run([torn], parents=True)


def test_wrong_predictions_are_refused_with_a_sentence(run):
    with pytest.raises(DataError, match="valence in the predictions is not among the attributes arousal"):
        run([predictions("original", 0, 0.5)], ("arousal",))
    with pytest.raises(DataError, match=r"predicted twice by w\.original, subset full"):
        run([predictions("original", 0, 0.5)] * 2)
    with pytest.raises(DataError, match="no predictions"):
        run([[]])

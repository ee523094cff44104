"""From prediction tables to metric tables."""

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import evaluate_task, name_table
from emoadapt.evaluation.questions import pose_question
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Model

CLASSES = ("anger", "neutral", "sadness")
EGEMAPS = Model("egemaps")


def predictions(
    backbone, start, seed, skill, *, fold=0, resampling=0, corpus="home", utterances=range(40), subset="full",
    finetuning="default", partition=0
):  # fmt: skip
    # The truth depends on the utterance alone; the guesses on run and model.
    generator = np.random.default_rng([seed, fold, resampling, partition, len(start), len(backbone), len(finetuning)])
    rows = []
    for number in utterances:
        label = CLASSES[(number * 7) % 3]
        predicted = label if generator.random() < skill else CLASSES[generator.integers(3)]
        rows.append(
            dict(task="t", backbone=backbone, start=start, finetuning=finetuning, subset=subset, partition=partition,
                 resampling=resampling, fold=fold, seed=seed, test_corpus=corpus, utterance_id=f"{corpus}/{number}", speaker="s", sex=None, label=label,
                 predicted=predicted, logits=[0.0, 0.0, 0.0])
        )  # fmt: skip
    return rows


@pytest.fixture
def run(tmp_path):
    def evaluate(tables, embeddings=(), draws=200, parents=False, **scoring):
        paths = []
        for number, rows in enumerate(tables):
            paths.append(tmp_path / f"p{number}.parquet")
            write_table(paths[-1], rows, schema.PREDICTIONS)
        others = []
        for number, rows in enumerate(embeddings):
            others.append(tmp_path / f"e{number}.parquet")
            write_table(others[-1], rows, schema.EMBEDDINGS)
        question = pose_question("t", "classes", CLASSES, parents=parents)
        evaluate_task(question, paths, others, tmp_path, Scoring(bootstrap=draws, **{"baseline": EGEMAPS} | scoring))
        kinds = {"metrics": schema.METRICS, "confusion": schema.CONFUSION, "comparisons": schema.COMPARISONS}
        return [pl.from_arrow(read_table(name_table(tmp_path, "t", name), kind)) for name, kind in kinds.items()]

    return evaluate


def study_tables():
    return [
        *(predictions("w", "original", seed, 0.4) for seed in range(4)),
        *(predictions("w", "adapted", seed, 0.8) for seed in range(4)),
        *(predictions("egemaps", "original", seed, 0.3) for seed in range(4)),
    ]


def test_metrics_equal_scikit_learn_per_run(run):
    tables = study_tables()
    metrics, confusion, _ = run(tables)
    for rows in tables:
        chosen = dict(backbone=rows[0]["backbone"], start=rows[0]["start"], seed=rows[0]["seed"])
        expected = f1_score([r["label"] for r in rows], [r["predicted"] for r in rows], average="macro")
        found = metrics.filter(metric="macro_f1", **chosen)
        assert found["value"].to_list() == [pytest.approx(expected)]
        assert found["n"].to_list() == [40]
        assert confusion.filter(**chosen)["count"].sum() == 40
        assert confusion.filter(**chosen).height == 9


def test_class_missing_from_the_test_set_counts_in_every_score_and_interval(run):
    """A corpus without sadness: over the two classes that it has, a model that never says sadness could reach 1."""
    lacking = [number for number in range(40) if CLASSES[(number * 7) % 3] != "sadness"]
    tables = [predictions("w", start, 0, 1.0, corpus="other", utterances=lacking) for start in ("original", "adapted")]
    metrics, confusion, comparisons = run(tables)
    perfect = metrics.filter(start="adapted")
    rows = tables[1]
    expected = f1_score(
        [r["label"] for r in rows], [r["predicted"] for r in rows], labels=CLASSES, average="macro", zero_division=0
    )
    assert expected == pytest.approx(2 / 3)
    assert perfect.filter(metric="macro_f1")["value"].to_list() == [pytest.approx(expected)]
    assert perfect.filter(metric="uar")["value"].to_list() == [pytest.approx(2 / 3)]
    assert perfect.filter(metric="f1", label="sadness").select("value", "n").rows() == [(0.0, 0)]
    assert confusion.filter(start="adapted", label="sadness")["count"].sum() == 0
    row = comparisons.filter(metric="macro_f1", start="adapted", baseline="original").row(0, named=True)
    assert row["low"] == row["mean"] == row["high"] == pytest.approx(2 / 3)
    assert row["difference"] == 0


def test_folds_are_pooled_not_averaged(run):
    halves = [predictions("w", "original", 0, 0.5, fold=0, utterances=range(13)),
              predictions("w", "original", 0, 0.5, fold=1, utterances=range(13, 40))]  # fmt: skip
    metrics, _, comparisons = run(halves)
    rows = halves[0] + halves[1]
    pooled = f1_score([r["label"] for r in rows], [r["predicted"] for r in rows], average="macro")
    assert metrics.filter(metric="macro_f1")["value"].to_list() == [pytest.approx(pooled)]
    assert comparisons["n_runs"].unique().to_list() == [1]
    assert comparisons.filter(metric="macro_f1")["n"].to_list() == [40]


def test_comparison_is_paired_by_seed_and_resampling(run):
    # The tables come in another order than the seeds, and the baseline has a seed the adapted has not.
    tables = [predictions("w", "adapted", seed, 0.8) for seed in (2, 0, 1)]
    tables += [predictions("w", "original", seed, 0.4) for seed in (3, 1, 2, 0)]
    metrics, _, comparisons = run(tables)
    values = {
        start: dict(metrics.filter(metric="macro_f1", start=start).select("seed", "value").iter_rows())
        for start in ("adapted", "original")
    }
    pairs = [[values[start][seed] for seed in (0, 1, 2)] for start in ("adapted", "original")]
    row = comparisons.filter(metric="macro_f1", start="adapted", baseline="original").row(0, named=True)
    assert row["n_pairs"] == 3
    assert row["difference"] == pytest.approx(np.mean(pairs[0]) - np.mean(pairs[1]))
    assert row["p_value"] == pytest.approx(stats.ttest_rel(*pairs).pvalue)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["mean"] == pytest.approx(np.mean(pairs[0]))
    assert row["std"] == pytest.approx(np.std(pairs[0], ddof=1))
    assert row["low"] < row["mean"] < row["high"]


def test_every_model_is_compared_with_its_original_and_the_baseline_of_the_study(run):
    _, _, comparisons = run(study_tables())
    found = comparisons.filter(metric="uar").select("backbone", "start", "baseline_backbone", "baseline").rows()
    assert found == [
        ("egemaps", "original", None, None),
        ("w", "adapted", "w", "original"),
        ("w", "adapted", "egemaps", "original"),
        ("w", "original", None, None),
        ("w", "original", "egemaps", "original"),
    ]
    # Two models without a baseline, by six metrics.
    assert comparisons.filter(pl.col("baseline").is_null())["difference"].null_count() == 12
    assert comparisons.filter(pl.col("baseline").is_null())["alternative"].null_count() == 12
    _, _, without = run(study_tables(), baseline=None)
    assert set(without["baseline_backbone"]) == {None, "w"}


def test_original_of_a_model_has_the_same_finetuning(run):
    tables = [predictions("w", start, seed, 0.5, finetuning=finetuning)
              for start, finetuning in [("original", "default"), ("original", "probe"), ("adapted", "probe"), ("adapted", "svm")]
              for seed in range(3)]  # fmt: skip
    metrics, _, comparisons = run(tables)
    rows = comparisons.filter(metric="uar")
    found = rows.select("start", "finetuning", "baseline", "baseline_finetuning").rows()
    assert found == [
        ("adapted", "probe", "original", "probe"),
        ("adapted", "svm", None, None),
        ("original", "default", None, None),
        ("original", "probe", None, None),
    ]
    values = [
        metrics.filter(metric="uar", start=start, finetuning="probe").sort("seed")["value"].to_numpy()
        for start in ("adapted", "original")
    ]
    assert rows["difference"][0] == pytest.approx((values[0] - values[1]).mean())


def test_embeddings_of_all_partitions_are_counted_once(run):
    parts = [range(0, 24), range(16, 40), range(8, 32)]
    tables = [
        predictions("w", "original", 0, 0.4, partition=number, utterances=part) for number, part in enumerate(parts)
    ]
    vectors = [
        {name: row[name] for name in schema.EMBEDDINGS.names if name in row} | dict(tuned=[1.0, 2.0], start_point=[2.0, 1.0])
        for rows in tables
        for row in rows
    ]  # fmt: skip
    metrics, _, comparisons = run(tables, [vectors])
    found = metrics.filter(metric="cosine_distance")
    assert found.select("n", "n_all").rows() == [(24, 40)] * 3
    assert comparisons.filter(metric="cosine_distance")["n"].to_list() == [40]


def test_partitions_are_scored_alone_and_paired(run):
    parts = [range(0, 24), range(16, 40), range(8, 32)]
    tables = [predictions("w", start, seed, skill, partition=number, utterances=part)
              for start, skill in [("original", 0.4), ("adapted", 0.7)] for seed in range(2)
              for number, part in enumerate(parts)]  # fmt: skip
    metrics, confusion, comparisons = run(tables)
    for rows in tables:
        chosen = {name: rows[0][name] for name in ("start", "seed", "partition")}
        expected = f1_score([r["label"] for r in rows], [r["predicted"] for r in rows], average="macro")
        found = metrics.filter(metric="macro_f1", **chosen)
        assert (found["value"].to_list(), found["n"].to_list()) == ([pytest.approx(expected)], [24])
        assert confusion.filter(**chosen)["count"].sum() == 24
    row = comparisons.filter(metric="macro_f1", start="adapted").row(0, named=True)
    found = metrics.filter(metric="macro_f1").sort("start", "partition", "seed")["value"].to_numpy().reshape(2, 3, 2)
    assert (row["n_runs"], row["n_pairs"], row["n"]) == (6, 6, 40)
    assert set(metrics.filter(metric="macro_f1")["n_all"]) == {40}
    for label in CLASSES:
        of_class = {r["utterance_id"] for rows in tables for r in rows if r["label"] == label}
        assert set(metrics.filter(metric="f1", label=label)["n_all"]) == {len(of_class)}
    assert row["mean"] == pytest.approx(found[0].mean())
    assert row["std"] == pytest.approx(found[0].std(ddof=1))
    # Seeds of a partition share its clips: they are averaged before the test.
    assert row["p_value"] == pytest.approx(stats.ttest_rel(*found.mean(axis=2)).pvalue)


def test_interval_over_partitions_is_that_of_the_mean_over_utterances(run):
    """Two partitions tested on the same clips with the same answers know no more than one: the interval must not be narrower."""
    rows = predictions("w", "original", 0, 0.6, utterances=range(200))
    _, _, one = run([rows], draws=1000)
    _, _, two = run([rows, [{**row, "partition": 1} for row in rows]], draws=1000)
    bounds = [table.filter(metric="accuracy").select("low", "high").row(0) for table in (one, two)]
    assert bounds[0] == bounds[1]


def test_one_tailed_test_asks_whether_a_model_is_better(run):
    metrics, _, comparisons = run(study_tables(), alternative="greater")
    rows = comparisons.filter(start="adapted", baseline_backbone="w")
    assert set(rows["alternative"]) == {"greater"}
    for metric, alternative in [("macro_f1", "greater"), ("uar", "greater"), ("f1_bias", "less")]:
        values = [
            metrics.filter(metric=metric, backbone="w", start=start).sort("seed")["value"].to_numpy()
            for start in ("adapted", "original")
        ]
        expected = stats.ttest_rel(*values, alternative=alternative).pvalue
        assert rows.filter(metric=metric)["p_value"].to_list() == [pytest.approx(expected)]


def test_pair_is_compared_on_the_utterances_of_its_partition_that_both_have(run):
    ours = [predictions("w", "original", 0, 0.6, partition=number, utterances=part)
            for number, part in enumerate([range(24), range(16, 40)])]  # fmt: skip
    theirs = [predictions("egemaps", "original", 0, 0.3, partition=number, utterances=part)
              for number, part in enumerate([range(4, 24), range(16, 36)])]  # fmt: skip
    _, _, comparisons = run([*ours, *theirs])
    row = comparisons.filter(backbone="w", metric="accuracy", baseline_backbone="egemaps").row(0, named=True)
    kept = [[r["label"] == r["predicted"] for r in rows if r["utterance_id"] in {other["utterance_id"] for other in beside}]
            for rows, beside in zip([*ours, *theirs], [*theirs, *ours], strict=True)]  # fmt: skip
    means = [np.mean(right) for right in kept]
    assert row["difference"] == pytest.approx((means[0] + means[1] - means[2] - means[3]) / 2)


def test_single_run_has_no_std_and_no_p_value(run):
    _, _, comparisons = run([predictions("w", "original", 0, 0.4), predictions("w", "adapted", 0, 0.8)])
    row = comparisons.filter(start="adapted", metric="macro_f1").row(0, named=True)
    assert row["std"] is None and row["p_value"] is None
    assert row["difference_low"] < row["difference_high"]


def test_equal_models_have_no_difference(run):
    same = [{**row, "start": "adapted"} for seed in range(3) for row in predictions("w", "original", seed, 0.5)]
    tables = [predictions("w", "original", seed, 0.5) for seed in range(3)]
    _, _, comparisons = run([*tables, same])
    row = comparisons.filter(start="adapted", metric="macro_f1").row(0, named=True)
    assert (row["difference"], row["difference_low"], row["difference_high"], row["p_value"]) == (0, 0, 0, 1)


def test_difference_is_over_the_utterances_both_have(run):
    ours = predictions("w", "original", 0, 0.6)
    theirs = [r for r in predictions("egemaps", "original", 0, 0.3) if int(r["utterance_id"].split("/")[1]) >= 10]
    _, _, comparisons = run([ours, theirs])
    row = comparisons.filter(backbone="w", baseline_backbone="egemaps", metric="accuracy").row(0, named=True)
    kept = [r["label"] == r["predicted"] for r in ours if int(r["utterance_id"].split("/")[1]) >= 10]
    assert row["difference"] == pytest.approx(np.mean(kept) - np.mean([r["label"] == r["predicted"] for r in theirs]))
    assert row["n"] == 40


def test_test_corpora_and_subsets_are_kept_apart(run):
    tables = [predictions("w", "original", 0, 0.6, fold=fold, corpus=corpus, subset=subset, utterances=utterances)
              for subset in ("16", "full")
              for fold, corpus, utterances in
              [(0, "home", range(20)), (1, "home", range(20, 40)), (0, "away", range(9)), (1, "away", range(9))]]  # fmt: skip
    metrics, confusion, _ = run(tables)
    sizes = metrics.filter(metric="macro_f1").select("subset", "test_corpus", "n").rows()
    assert sorted(sizes) == [("16", "away", 9), ("16", "home", 40), ("full", "away", 9), ("full", "home", 40)]
    # A corpus that each fold is tested on is counted once per fold in the confusion, once in n.
    assert confusion.filter(test_corpus="away", subset="full")["count"].sum() == 18


def test_cosine_distance_is_averaged_over_a_runs_utterances(run):
    def embeddings(fold, vectors):
        keys = {
            k: v for k, v in predictions("w", "original", 0, 1, fold=fold)[0].items() if k in schema.EMBEDDINGS.names
        }
        return [
            {**keys, "utterance_id": f"home/{fold}{i}", "tuned": v, "start_point": [1.0, 0.0]}
            for i, v in enumerate(vectors)
        ]

    metrics, _, _ = run(
        [predictions("w", "original", 0, 0.5)],
        [embeddings(0, [[2.0, 0.0]]), embeddings(1, [[0.0, 1.0], [-1.0, 0.0]])],
    )
    row = metrics.filter(metric="cosine_distance").row(0, named=True)
    assert row["value"] == pytest.approx((0 + 1 + 2) / 3)
    assert row["n"] == 3


def test_output_does_not_depend_on_the_order_of_files(run):
    first = run(study_tables())
    second = run(study_tables()[::-1])
    assert all(a.equals(b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(task="other"), "of task other"),
        (dict(predicted="boredom"), "predicted boredom .* not among the classes anger, neutral, sadness"),
    ],
)
def test_wrong_predictions_are_refused_with_a_sentence(run, change, sentence):
    with pytest.raises(DataError, match=sentence):
        run([[{**row, **change} for row in predictions("w", "original", 0, 0.5)]])


def test_no_predictions_and_doubled_ones_are_refused(run):
    with pytest.raises(DataError, match="no predictions"):
        run([[]])
    with pytest.raises(DataError, match=r"predicted twice by w.original, subset full, partition 0, fold 0"):
        run([predictions("w", "original", 0, 0.5)] * 2)


def test_f1_bias_interval_holds_the_f1_bias(run):
    # Resampling inflates absolute differences: the plain percentile interval would lie above a small F1 bias.
    rows = predictions("w", "original", 0, 0.5, utterances=range(300))
    even = [{**r, "predicted": r["label"] if int(r["utterance_id"].split("/")[1]) // 3 % 2 else CLASSES[CLASSES.index(r["label"]) - 1]}
            for r in rows]  # fmt: skip
    _, _, comparisons = run([even])
    row = comparisons.filter(metric="f1_bias").row(0, named=True)
    assert row["mean"] == pytest.approx(0)
    assert row["low"] == 0 < row["high"]


def test_named_baselines_are_compared_too_and_only_once(run):
    tables = [
        predictions(backbone, start, seed, skill)
        for seed in range(4)
        for backbone, start, skill in [("w", "original", 0.4), ("w", "speech", 0.5), ("w", "adapted", 0.8), ("h", "original", 0.6)]
    ]  # fmt: skip
    adapted = Model("w", "adapted")
    named = [
        (adapted, Model(*other)) for other in [("w", "speech"), ("h", "original"), ("w", "original"), ("x", "absent")]
    ]
    metrics, _, comparisons = run(tables, named=named)
    rows = comparisons.filter(start="adapted", metric="macro_f1")
    assert rows.select("baseline_backbone", "baseline").rows() == [
        ("w", "original"),
        ("w", "speech"),
        ("h", "original"),
    ]
    values = {
        (b, s): metrics.filter(metric="macro_f1", backbone=b, start=s).sort("seed")["value"].to_numpy()
        for b, s in [("w", "adapted"), ("h", "original")]
    }
    row = rows.filter(baseline_backbone="h").row(0, named=True)
    expected = stats.ttest_rel(values["w", "adapted"], values["h", "original"])
    assert row["p_value"] == pytest.approx(expected.pvalue)
    assert row["difference"] == pytest.approx((values["w", "adapted"] - values["h", "original"]).mean())
    # What nobody named is not compared.
    assert comparisons.filter(start="speech", metric="uar")["baseline"].to_list() == ["original"]


def embeddings(start, seed, distances, backbone="w"):
    """Unit vectors at the given cosine distances from their starting points."""
    keys = {k: v for k, v in predictions(backbone, start, seed, 1)[0].items() if k in schema.EMBEDDINGS.names}
    return [
        {**keys, "utterance_id": f"home/{i}", "tuned": [1 - d, float(np.sqrt(1 - (1 - d) ** 2))], "start_point": [1.0, 0.0]}
        for i, d in enumerate(distances)
    ]  # fmt: skip


def test_cosine_distances_have_an_interval_and_a_test(run):
    generator = np.random.default_rng(0)
    distances = {(start, seed): generator.uniform(low, low + 0.2, size=40)
                 for start, low in (("original", 0.2), ("adapted", 0.1)) for seed in range(3)}  # fmt: skip
    tables = [predictions("w", start, seed, 0.5) for start, seed in distances]
    _, _, comparisons = run(tables, [embeddings(start, seed, d) for (start, seed), d in distances.items()], draws=2000)
    rows = comparisons.filter(metric="cosine_distance")
    assert rows.select("start", "baseline").rows() == [("adapted", "original"), ("original", None)]
    row = rows.row(0, named=True)
    means = [[distances[start, seed].mean() for seed in range(3)] for start in ("adapted", "original")]
    assert row["mean"] == pytest.approx(np.mean(means[0]), abs=1e-6)
    assert row["p_value"] == pytest.approx(stats.ttest_rel(*means).pvalue, abs=1e-6)
    assert row["n"] == 40 and row["n_pairs"] == 3
    # Over utterances, the standard error of a mean is that of the utterances' means over runs.
    per_utterance = np.mean([distances["adapted", seed] for seed in range(3)], axis=0)
    error = per_utterance.std() / np.sqrt(40)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * error, rel=0.1)

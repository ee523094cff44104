"""Groups scored like test sets of their own, against scikit-learn and sums done by hand."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from emoadapt.evaluation.fairness import measure_gap, score_sexes, score_speakers

CLASSES = ("anger", "neutral", "sadness")


def tabulate(groups, labels, predicted):
    names = sorted(set(groups))
    counts = np.stack(
        [
            confusion_matrix(*zip(*[(t, p) for g, t, p in zip(groups, labels, predicted, strict=True) if g == n], strict=True), labels=CLASSES)
            for n in names
        ]
    )  # fmt: skip
    return names, counts, counts.sum(axis=2)


@pytest.fixture(scope="module")
def drawn():
    generator = np.random.default_rng(5)
    labels = generator.choice(CLASSES, 400)
    sexes = generator.choice(["female", "male"], 400)
    right = generator.random(400) < np.where(sexes == "female", 0.8, 0.4)
    return sexes, labels, np.where(right, labels, generator.choice(CLASSES, 400))


def test_sexes_equal_scikit_learn(drawn):
    sexes, labels, predicted = drawn
    rows = {(r["group"], r["metric"], r["label"]): r for r in score_sexes(*tabulate(*drawn), CLASSES, 10)}
    f1, recall = {}, {}
    for sex in ("female", "male"):
        own = sexes == sex
        f1[sex] = f1_score(labels[own], predicted[own], average="macro")
        recall[sex] = recall_score(labels[own], predicted[own], average=None, labels=CLASSES)
        assert rows[sex, "macro_f1", None]["value"] == pytest.approx(f1[sex])
        assert rows[sex, "macro_f1", None]["n"] == own.sum()
    gaps = recall["female"] - recall["male"]
    assert rows[None, "macro_f1_gap", None]["value"] == pytest.approx(abs(f1["female"] - f1["male"]))
    assert rows[None, "recall_gap", None]["value"] == pytest.approx(np.abs(gaps).mean())
    assert rows[None, "recall_gap", None]["n"] == 400
    for label, gap in zip(CLASSES, gaps, strict=True):
        assert rows[None, "recall_gap", label]["value"] == pytest.approx(abs(gap))


def test_small_groups_make_no_claim():
    groups = ["female"] * 20 + ["male"] * 3
    rows = list(score_sexes(*tabulate(groups, ["anger"] * 23, ["anger"] * 20 + ["sadness"] * 3), CLASSES, 10))
    assert [(row["group"], row["metric"]) for row in rows] == [("female", "macro_f1"), ("female", "recall")]


def test_a_class_with_few_clips_of_one_sex_has_no_recall_gap():
    labels = ["anger"] * 12 + ["neutral"] * 12 + ["anger"] * 12 + ["neutral"] * 4
    predicted = ["anger"] * 12 + ["neutral"] * 12 + ["anger"] * 6 + ["neutral"] * 10
    rows = list(score_sexes(*tabulate(["female"] * 24 + ["male"] * 16, labels, predicted), CLASSES, 10))
    gaps = {row["label"]: (row["value"], row["n"]) for row in rows if row["metric"] == "recall_gap"}
    assert gaps == {"anger": (0.5, 24), None: (0.5, 24)}


def test_speakers_by_hand():
    # a: all right, F1 1. b: anger 1 of 2, neutral right twice: F1 2/3 and 4/5. c: too few.
    groups = ["a"] * 4 + ["b"] * 4 + ["c"] * 3
    labels = ["anger", "anger", "neutral", "neutral"] * 2 + ["anger"] * 3
    predicted = ["anger", "anger", "neutral", "neutral", "anger", "neutral", "neutral", "neutral"] + ["sadness"] * 3
    rows = {(row["group"], row["metric"]): row for row in score_speakers(*tabulate(groups, labels, predicted), 4)}
    other = (2 / 3 + 4 / 5) / 2
    assert set(rows) == {("a", "macro_f1"), ("b", "macro_f1"), (None, "macro_f1_std"), (None, "macro_f1_lowest")}
    assert rows["b", "macro_f1"]["value"] == rows[None, "macro_f1_lowest"]["value"] == pytest.approx(other)
    assert rows[None, "macro_f1_std"]["value"] == pytest.approx((1 - other) / 2**0.5)
    assert (rows[None, "macro_f1_std"]["groups"], rows[None, "macro_f1_std"]["n"]) == (2, 8)


def test_gap_needs_two_values():
    values = np.array([[0.2, 0.5, np.nan], [0.7, np.nan, np.nan], [0.4, np.nan, np.nan]])
    assert measure_gap(values).tolist() == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)

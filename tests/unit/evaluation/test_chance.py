"""Scores without learning: by hand, and against scikit-learn's dummy classifiers."""

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score

from emoadapt.evaluation.chance import find_chance, find_constant, rate_chance, rate_guess


def test_a_guess_by_hand():
    """Six and two clips: a guess names each class four times, 3 and 1 of them right."""
    assert rate_guess("f1", (6, 2)) == pytest.approx([2 * 3 / (6 + 4), 2 * 1 / (2 + 4)])
    assert rate_chance("macro_f1", (6, 2)) == pytest.approx((0.6 + 1 / 3) / 2), "more than .43, always the first"
    assert rate_chance("accuracy", (6, 2)) == 0.75, "always the first is more than a guess, .5"
    assert rate_chance("uar", (6, 2)) == 0.5
    assert rate_chance("f1_bias", (6, 2)) == pytest.approx(0.6 - 1 / 3), "the smaller one, where less is better"


def test_levels_are_those_of_dummy_classifiers():
    true = np.repeat([0, 1, 2, 3], [5000, 1000, 2500, 1500])
    scores = {"uniform": [], "most_frequent": []}
    for strategy, found in scores.items():
        answers = DummyClassifier(strategy=strategy, random_state=0).fit(true[:, None], true).predict(true[:, None])
        found += [
            f1_score(true, answers, average="macro"),
            f1_score(true, answers, average="weighted"),
            (true == answers).mean(),
            balanced_accuracy_score(true, answers),
        ]
    best = np.max(list(scores.values()), axis=0)
    found = [rate_chance(name, (5000, 1000, 2500, 1500)) for name in ("macro_f1", "weighted_f1", "accuracy", "uar")]
    assert found == pytest.approx(best, abs=0.01)


def test_a_test_set_without_a_clip_has_no_level():
    assert rate_chance("macro_f1", (0, 0)) is None


@pytest.mark.parametrize(("score", "level"), [("ccc_mean", 0.0), ("pearson_arousal", 0.0), ("cosine_distance", None)])
def test_scores_of_attributes_have_the_level_that_they_declare(score, level):
    assert find_constant(score) == level


def test_levels_are_means_over_the_runs_of_a_setting():
    """Partitions that test other clips have other levels."""
    setting = dict(
        task="t",
        backbone="b",
        start="original",
        finetuning="default",
        subset="full",
        test_corpus="c",
        resampling=0,
        seed=0,
    )
    rows = [
        {**setting, "partition": partition, "label": label, "predicted": "x", "count": count}
        for partition, counts in enumerate(({"x": 6, "y": 2}, {"x": 1, "y": 9}))
        for label, count in counts.items()
    ]
    levels = find_chance(pl.DataFrame(rows))
    assert levels.filter(metric="accuracy")["chance"].to_list() == [pytest.approx((0.75 + 0.9) / 2)]
    assert set(levels.filter(metric="f1")["label"]) == {"x", "y"}
    assert "ccc" not in levels["metric"].to_list()

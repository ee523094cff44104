"""Scores against scikit-learn, torchmetrics and hand-worked values."""

import numpy as np
import pytest
from sklearn import metrics as sk

from emoadapt.evaluation.confusion import choose_classes
from emoadapt.metrics import accuracy, f1, macro_f1, precision, recall, uar, weighted_f1

CLASSES = ("anger", "happiness", "neutral", "sadness")


def score_summary(confusion):
    metrics = dict(macro_f1=macro_f1, uar=uar, weighted_f1=weighted_f1, accuracy=accuracy)
    return {name: module.score(confusion) for name, module in metrics.items()}


def score_classes(confusion):
    return {name: module.score(confusion) for name, module in dict(f1=f1, recall=recall, precision=precision).items()}


def count_confusion(labels, predicted, classes):
    return sk.confusion_matrix(list(labels), list(predicted), labels=list(classes))


@pytest.fixture(params=[0, 1, 2])
def pairs(request):
    generator = np.random.default_rng(request.param)
    labels = generator.choice(CLASSES, size=300, p=[0.1, 0.2, 0.6, 0.1])
    guesses = np.where(generator.random(300) < 0.5, labels, generator.choice(CLASSES, size=300))
    return list(labels), list(guesses)


def test_scores_equal_scikit_learn(pairs):
    labels, guesses = pairs
    confusion = count_confusion(labels, guesses, CLASSES)
    scores = score_summary(confusion)
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(labels, guesses, labels=CLASSES, average="macro"))
    assert scores["weighted_f1"] == pytest.approx(sk.f1_score(labels, guesses, labels=CLASSES, average="weighted"))
    assert scores["uar"] == pytest.approx(sk.balanced_accuracy_score(labels, guesses))
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(labels, guesses))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, guesses, labels=CLASSES)
    per_class = score_classes(confusion)
    np.testing.assert_allclose(per_class["precision"], precision)
    np.testing.assert_allclose(per_class["recall"], recall)
    np.testing.assert_allclose(per_class["f1"], f1)


def test_macro_f1_equals_torchmetrics(pairs):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    labels, guesses = (torch.tensor([CLASSES.index(name) for name in side]) for side in pairs)
    expected = functional.multiclass_f1_score(guesses, labels, num_classes=4, average="macro")
    assert score_summary(count_confusion(*pairs, CLASSES))["macro_f1"] == pytest.approx(float(expected), abs=1e-6)


def test_hand_worked_example():
    # true a a a b, predicted a a b b: F1(a) = 2*2/(3+2) = .8, F1(b) = 2*1/(1+2) = 2/3
    scores = score_summary(count_confusion("aaab", "aabb", "ab"))
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores["uar"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["weighted_f1"] == pytest.approx((3 * 0.8 + 2 / 3) / 4)
    assert scores["accuracy"] == 0.75


@pytest.mark.parametrize("guesses", ["aabb", "aabc", "aaaa", "cccc", "dddd"])
def test_class_without_test_utterance_counts_as_zero_as_in_scikit_learn(guesses):
    labels, guesses, classes = list("aabb"), list(guesses), list("abcd")
    confusion = count_confusion(labels, guesses, classes)
    average = {"labels": classes, "average": "macro", "zero_division": 0}
    scores = score_summary(confusion)
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(labels, guesses, **average))
    assert scores["uar"] == pytest.approx(sk.recall_score(labels, guesses, **average))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, guesses, labels=classes, zero_division=0)
    per_class = score_classes(confusion)
    np.testing.assert_allclose(per_class["precision"], precision)
    np.testing.assert_allclose(per_class["recall"], recall)
    np.testing.assert_allclose(per_class["f1"], f1)


def test_constant_answer_on_a_test_set_of_one_class_is_not_perfect():
    assert score_summary(count_confusion("aaaa", "aaaa", "ab"))["macro_f1"] == 0.5


def test_group_is_scored_on_the_classes_that_it_has():
    labels, guesses = list("aabb"), list("aabc")
    confusion = count_confusion(labels, guesses, "abc")
    assert choose_classes(confusion.sum(axis=1), "left out").tolist() == [True, True, False]
    assert np.isnan(f1.score(confusion, "left out")[2])
    expected = sk.f1_score(labels, guesses, labels=["a", "b"], average="macro")
    assert macro_f1.score(confusion, "left out") == pytest.approx(expected)


def test_no_utterance_at_all_has_no_score():
    empty = np.zeros((2, 3, 3))
    empty[1, 0, 0] = 1
    assert np.isnan(score_summary(empty)["macro_f1"]).tolist() == [True, False]


def test_never_predicted_class_has_zero_f1():
    labels, guesses = list("aabb"), list("aaaa")
    scores = score_summary(count_confusion(labels, guesses, "ab"))
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(labels, guesses, average="macro", zero_division=0))


def test_leading_axes_are_kept():
    stack = np.random.default_rng(0).integers(0, 9, size=(2, 5, 3, 3))
    scores = score_summary(stack)["macro_f1"]
    assert scores.shape == (2, 5)
    assert scores[1, 4] == score_summary(stack[1, 4])["macro_f1"]

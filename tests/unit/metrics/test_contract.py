"""What every metric declares is true, and its values are those of an independent implementation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from sklearn import metrics as sk

from emoadapt.metrics.base import Metric, list_metrics, list_scores, read_metric
from emoadapt.plugins import list_plugins

CLASSES = range(4)
METRICS = list_metrics()
OF_CLASSES, OF_ATTRIBUTES, OF_EMBEDDINGS = (list_metrics(kind) for kind in ("classes", "attributes", "embeddings"))


def average(values) -> float:
    return float(np.mean(values))


def by_class(true, guessed, scorer):
    return scorer(true, guessed, labels=CLASSES, average=None, zero_division=0)


INDEPENDENT = {
    "f1": lambda true, guessed: by_class(true, guessed, sk.f1_score),
    "recall": lambda true, guessed: by_class(true, guessed, sk.recall_score),
    "precision": lambda true, guessed: by_class(true, guessed, sk.precision_score),
    "macro_f1": lambda true, guessed: sk.f1_score(true, guessed, labels=CLASSES, average="macro", zero_division=0),
    "uar": lambda true, guessed: sk.recall_score(true, guessed, labels=CLASSES, average="macro", zero_division=0),
    "weighted_f1": lambda true, guessed: sk.f1_score(true, guessed, labels=CLASSES, average="weighted", zero_division=0),
    "macro_precision": lambda true, guessed: sk.precision_score(true, guessed, labels=CLASSES, average="macro", zero_division=0),
    "accuracy": sk.accuracy_score,
    "f1_bias": lambda true, guessed: average([abs(a - b) for a, b in combinations(by_class(true, guessed, sk.f1_score), 2)]),
}  # fmt: skip
"""By scikit-learn; a metric that it does not have is proven in a test of its own."""


def inside(metric: Metric, values) -> bool:
    low, high = metric.range
    values = np.asarray(values)[np.isfinite(values)]
    return (low is None or (values >= low).all()) and (high is None or (values <= high + 1e-12).all())


def draw(seed: int):
    """Labels and guesses of a test set, in which the last class may be missing."""
    generator = np.random.default_rng(seed)
    true = generator.integers(3 + seed % 2, size=generator.integers(1, 80))
    return true, np.where(generator.random(true.size) < 0.5, true, generator.integers(4, size=true.size))


@pytest.fixture(params=OF_CLASSES, ids=lambda metric: metric.name)
def of_classes(request) -> Metric:
    return request.param


def test_every_module_is_a_metric_with_a_name_of_its_own() -> None:
    assert sorted(metric.name for metric in METRICS) == list_plugins("metrics")
    for question in ("classes", "attributes"):
        names = list_scores(question, ("arousal", "valence")) + [m.name for m in list_metrics(question) if m.per_class]
        assert len(set(names)) == len(names)
    assert len({metric.label for metric in METRICS}) == len(METRICS)
    assert len({(metric.question, metric.order) for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_declarations_are_of_their_types(metric: Metric) -> None:
    assert isinstance(metric.label, str) and isinstance(metric.lower_is_better, bool)
    low, high = metric.range
    assert low is None or high is None or low < high
    assert callable(metric.load())


@pytest.mark.parametrize("name", INDEPENDENT)
def test_metric_of_classes_equals_scikit_learn(name: str) -> None:
    score = read_metric(name).load()
    for seed in range(30):
        true, guessed = draw(seed)
        found = score(sk.confusion_matrix(true, guessed, labels=CLASSES))
        np.testing.assert_allclose(found, INDEPENDENT[name](true, guessed), err_msg=str(seed))


@pytest.mark.parametrize("scorer", [sk.precision_score, sk.recall_score, sk.f1_score])
def test_accuracy_is_what_micro_averages_are(scorer) -> None:
    """A clip has one label and gets one class: each error is a false positive of one class and a false negative of another."""
    by_hand = np.array([[3, 1, 0], [0, 2, 2], [1, 0, 1]])
    assert read_metric("accuracy").load()(by_hand) == 6 / 10
    for seed in range(5):
        true, guessed = draw(seed)
        found = read_metric("accuracy").load()(sk.confusion_matrix(true, guessed, labels=CLASSES))
        assert found == pytest.approx(scorer(true, guessed, labels=CLASSES, average="micro", zero_division=0))


def test_metric_of_classes_keeps_its_range_on_random_confusions(of_classes: Metric) -> None:
    generator = np.random.default_rng(0)
    confusion = generator.integers(0, 20, size=(500, 4, 4)) * (generator.random((500, 4, 4)) < 0.4)
    values = of_classes.load()(confusion)
    assert values.shape == ((500, 4) if of_classes.per_class else (500,))
    assert inside(of_classes, values)


def test_metric_of_classes_takes_any_leading_axes_and_has_no_value_without_clips(of_classes: Metric) -> None:
    stack = np.random.default_rng(1).integers(0, 9, size=(2, 5, 4, 4)).astype(np.float32)
    stack[0, 0] = 0
    values = of_classes.load()(stack)
    assert values.shape[:2] == (2, 5)
    assert np.isnan(values[0, 0]).all()
    np.testing.assert_array_equal(values[1, 4], of_classes.load()(stack[1, 4]))


def test_metric_of_classes_knows_which_direction_is_better(of_classes: Metric) -> None:
    """Perfect answers beat answers that serve one class alone."""
    perfect, one_sided = np.diag([9, 9, 9, 9]), np.zeros((4, 4))
    one_sided[:, 0] = 9
    values = [np.mean(of_classes.load()(confusion)) for confusion in (perfect, one_sided)]
    assert (values[0] < values[1]) if of_classes.lower_is_better else (values[0] > values[1])


@pytest.mark.parametrize("metric", OF_ATTRIBUTES, ids=lambda metric: metric.name)
def test_metric_of_attributes_keeps_its_range_and_weights_clips(metric: Metric) -> None:
    generator = np.random.default_rng(2)
    score, true = metric.load(), generator.normal(size=40)
    weights = generator.integers(0, 3, size=(40, 30)).astype(np.float32)
    for noise in (0.1, 1, 5):
        predicted = true + noise * generator.normal(size=40)
        found = score(predicted, true, weights)
        assert found.shape == (30,) and inside(metric, found)
        repeats = np.repeat(np.arange(40), weights[:, 0].astype(int))
        once = score(predicted[repeats], true[repeats], np.ones((repeats.size, 1)))
        np.testing.assert_allclose(found[:1], once)
    assert np.isnan(score(predicted, true, np.zeros((40, 1)))).all()
    near, far = (score(true + noise * generator.normal(size=40), true, np.ones((40, 1))) for noise in (0.01, 9))
    assert (near < far) if metric.lower_is_better else (near > far)


@pytest.mark.parametrize("metric", OF_EMBEDDINGS, ids=lambda metric: metric.name)
def test_metric_of_embeddings_keeps_its_range(metric: Metric) -> None:
    tuned, start_point = np.random.default_rng(3).normal(size=(2, 50, 8)).astype(np.float32)
    found = metric.load()(tuned, start_point)
    assert found.shape == (50,) and inside(metric, found)
    near, far = metric.load()(start_point, start_point), metric.load()(-start_point, start_point)
    assert (near < far).all() if metric.lower_is_better else (near > far).all()


def test_cosine_distance_equals_scipy() -> None:
    tuned, start_point = np.random.default_rng(3).normal(size=(2, 5, 8))
    (metric,) = OF_EMBEDDINGS
    expected = [cosine(*pair) for pair in zip(tuned, start_point, strict=True)]
    np.testing.assert_allclose(metric.load()(tuned, start_point), expected)

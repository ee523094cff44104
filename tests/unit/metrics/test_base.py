"""What metrics declare, and the names of their scores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emoadapt import plugins
from emoadapt.errors import ConfigError
from emoadapt.metrics.base import find_metric, label_score, list_metrics, list_scores, name_modules, read_metric


def test_scores_of_a_task_are_in_the_order_of_tables() -> None:
    classes, attributes = (
        list_scores("classes", ("anger", "neutral")),
        list_scores("attributes", ("arousal", "valence")),
    )
    assert classes[:5] == ["macro_f1", "uar", "weighted_f1", "accuracy", "f1_bias"]
    assert attributes[:3] == ["ccc_mean", "ccc_arousal", "ccc_valence"]
    assert classes[-1] == attributes[-1] == "cosine_distance"
    assert "f1" not in classes


@pytest.mark.parametrize(
    ("score", "metric", "label"),
    [("uar", "uar", "UAR"), ("f1", "f1", "F1"), ("f1_bias", "f1_bias", "F1 bias"), ("ccc_mean", "ccc", "mean CCC"),
     ("ccc_arousal", "ccc", "CCC arousal"), ("cosine_distance", "cosine_distance", "cosine distance")],
)  # fmt: skip
def test_score_has_a_metric_and_a_label(score: str, metric: str, label: str) -> None:
    assert (find_metric(score).name, label_score(score)) == (metric, label)


@pytest.mark.parametrize(
    ("score", "hint"), [("macro_f", "did you mean macro_f1"), ("ccc", "there is ccc_mean"), ("x", "there is")]
)
def test_unknown_score_is_answered_with_what_there_is(score: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"metric {score} is not known; {hint}"):
        find_metric(score)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('QUESTION = "classes"\nLABEL = "own"\n', "metric own does not declare LOWER_IS_BETTER, RANGE; see docs/add-a-metric.md"),
        ('QUESTION = "class"\nLABEL = "own"\nLOWER_IS_BETTER = False\nRANGE = (0, 1)\n', "metric own: QUESTION is 'class'; write one of"),
    ],
)  # fmt: skip
def test_incomplete_metric_is_refused_with_a_sentence(own: Path, text: str, sentence: str) -> None:
    (own / "own.py").write_text(text)
    plugins.use_folder(own.parent)
    with pytest.raises(ConfigError, match=sentence):
        read_metric("own")


def test_declarations_are_read_without_a_library(own: Path) -> None:
    (own / "own.py").write_text(
        'import not_installed\nQUESTION = "classes"\nLABEL = "o"\nLOWER_IS_BETTER = True\nRANGE = (0.0, None)\n'
    )
    plugins.use_folder(own.parent)
    assert read_metric("own").range == (0.0, None)
    code = "import sys, emoadapt.metrics.base as b; b.list_metrics(); print({'numpy', 'polars', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_value_is_clipped_to_the_range() -> None:
    assert (find_metric("uar").clip(-0.1), find_metric("uar").clip(1.1), find_metric("ccc_mean").clip(-0.5)) == (
        0,
        1,
        -0.5,
    )


def test_evaluation_of_a_question_has_the_modules_of_its_metrics() -> None:
    assert {"metrics.ccc", "metrics.cosine_distance"} <= {*name_modules("attributes")}
    assert "metrics.uar" not in name_modules("attributes")
    assert {f"metrics.{metric.name}" for metric in list_metrics("classes")} < {*name_modules("classes")}

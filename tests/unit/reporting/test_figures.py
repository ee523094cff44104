"""Figures: all there, equal for equal data, labels apart."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from emoadapt import schema
from emoadapt.reporting.canvas import new_figure, split_panels, spread_labels
from emoadapt.reporting.confidence import _count_columns
from emoadapt.reporting.figures import figure_names, write_figures
from emoadapt.reporting.inputs import ReportInputs
from emoadapt.reporting.matrices import _title_matrix
from emoadapt.reporting.style import name_model
from emoadapt.storage.tables import write_table
from emoadapt.study.nodes import Model


def test_figures_are_complete_valid_and_deterministic(study, inputs, written, tmp_path):
    first = {path.name: path.read_bytes() for path in (written / "figures").iterdir()}
    assert set(first) == {f"{name}.{kind}" for name in figure_names(study) for kind in ("svg", "png")}
    for name, content in first.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(content)
            assert b"<script" not in content
            assert b"dc:date" not in content
    write_figures(study, inputs, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_an_accuracy_is_beside_the_share_of_the_most_frequent_class(study, written):
    """The share has a line in the panel of its accuracy, and none of its own."""
    text = (written / "figures/training_curves.svg").read_text()
    learned = [name for name, adaptation in study.adaptations.items() if "sentiment" in adaptation.objectives]
    shown = text.count("<!-- sentiment: accuracy -->")
    assert shown >= len(learned) > 0 and text.count("<!-- majority -->") == shown and "sentiment: majority" not in text


def test_names_follow_the_study(study, make_study):
    assert figure_names(study) == ["results", "low_resource", "per_class_f1", "confusion", "f1_bias", "reliability", "selective",
                                   "cosine_distance", "training_curves", "finetuning_curves", "quarantine"]  # fmt: skip
    bare = make_study(tasks={})
    assert figure_names(bare) == ["training_curves", "quarantine"]


def test_empty_tables_give_a_sentence_instead_of_a_picture(tmp_path, make_study):
    study = make_study()
    paths = {}
    for name, kind in [
        ("m", schema.METRICS),
        ("c", schema.CONFUSION),
        ("d", schema.COMPARISONS),
        ("q", schema.QUARANTINE),
    ]:
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(paths[name], [], kind)
    write_figures(
        study, ReportInputs([paths["m"]], [paths["c"]], [paths["d"]], paths["q"], {}, [], {}), tmp_path / "out"
    )
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(figure_names(study))


@pytest.mark.parametrize("heights", [[0.5, 0.5, 0.5], [0.1, 0.9], [0.3, 0.31, 0.5, 0.52, 0.53], [0.5]])
def test_labels_keep_their_order_and_distance(heights):
    placed = spread_labels(heights, 0.1)
    pairs = sorted(zip(heights, placed, strict=True))
    gaps = [b[1] - a[1] for a, b in pairwise(pairs)]
    assert all(gap >= 0.1 - 1e-9 for gap in gaps)
    assert sum(placed) == pytest.approx(sum(heights))


def test_labels_far_apart_stay_where_they_are():
    assert spread_labels([0.9, 0.1, 0.5], 0.2) == [0.9, 0.1, 0.5]


def test_the_title_of_a_confusion_matrix_is_whole(make_study):
    """Symptom: of `egemaps svm (88 functionals of eGeMAPSv02)` the end was cut."""
    study = make_study(
        backbones={"egemaps": {"architecture": "vector", "reads": "egemaps_functionals"}},
        adaptations={}, finetunings={"logistic_regression": {"method": "svm"}}, report={},
    )  # fmt: skip
    model = Model("egemaps", "original", "logistic_regression")
    lines = _title_matrix(study, ("crema", "crema_d", "full", model), 36).split("\n")
    assert max(map(len, lines)) <= 36
    assert " ".join(lines) == f"crema {name_model(study, model)} all clips"


def test_a_legend_has_the_columns_that_fit():
    """Symptom: long names beside each other left a panel of a few centimetres."""
    assert _count_columns(5.2, ["egemaps logistic_regression", "egemaps svm"]) == 1
    assert _count_columns(10.8, ["original", "adapted"]) == 8


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_no_empty_panel_is_left(count):
    """Symptom: three tasks had a fourth, empty panel beside them."""
    with new_figure(4, 4) as figure:
        axes = split_panels(figure, count, 2)
        assert figure.axes == axes and len(axes) == count

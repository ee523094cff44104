"""Picture of scores over the sizes of models (Fig. 1 of Dutta & Ganapathy 2025)."""

from __future__ import annotations

import polars as pl
import pytest

from emoadapt.config import load_study
from emoadapt.errors import ConfigError
from emoadapt.reporting.declared import pictures
from emoadapt.reporting.declared.cells import build_cells

SIZES = {"wavlm.original": 94.0, "whisper.original": 800.0, "SONAR [31] Params:600M": 600.0}
SCORES = {
    ("iemocap", "wavlm"): 0.60,
    ("iemocap", "whisper"): 0.50,
    ("emodb", "wavlm"): 0.70,
    ("emodb", "whisper"): 0.20,
}
CLASSES = ["anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"]


def make_study(**table):
    size = {
        "title": "Fig. 1", "paper": ["II", "IV"], "metric": "weighted_f1", "tasks": ["iemocap", "emodb"], "picture": "sizes",
        "sizes": SIZES, "parts": [{"models": ["wavlm.original", "whisper.original"]}], **table,
    }  # fmt: skip
    corpora = {name: {"importer": "csv", "root": "x", "file": "l.csv"} for name in ("iemocap", "emodb")}
    tasks = {
        "iemocap": {"corpus": "iemocap", "classes": ["anger", "happiness", "neutral", "sadness"]},
        "emodb": {"corpus": "emodb", "classes": CLASSES},
    }
    return load_study(
        {
            "study": "s", "corpora": corpora, "tasks": {n: t | {"split": {"by": "fractions"}} for n, t in tasks.items()},
            "backbones": {
                "wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"},
                "whisper": {"architecture": "whisper", "weights": "openai/whisper-large-v3"},
            },
            "finetunings": {"default": {"method": "probe"}},
            "report": {"paper": "dutta2025"}, "tables": {"figure_1": size},
        }
    )  # fmt: skip


def draw(study, tmp_path, monkeypatch, scores=SCORES):
    """Points of the picture, (x, y, hollow), its names, and the sentence below it."""
    keys = dict.fromkeys(("baseline_backbone", "baseline", "baseline_finetuning"))
    rows = [
        {
            "task": task,
            "test_corpus": task,
            "subset": "full",
            "metric": "weighted_f1",
            "backbone": backbone,
            "start": "original",
        }
        | {"finetuning": "default", **keys, "mean": mean, "std": 0.01, "low": 0.1, "high": 0.9, "n_runs": 5, "n": 50}
        for (task, backbone), mean in scores.items()
    ]
    found = {}
    monkeypatch.setattr(pictures, "save_figure", lambda figure, out, name: found.__setitem__(name, figure))
    monkeypatch.setattr(pictures, "save_note", lambda out, name, text: found.__setitem__(name, text))
    pictures.draw_table(study, "figure_1", build_cells(study, "figure_1", pl.DataFrame(rows)), tmp_path)
    figure = found["figure_1"]
    if isinstance(figure, str):
        return figure
    (axis,) = figure.axes
    points = [
        (
            *(round(float(values[0]), 4) for values in (line.get_xdata(), line.get_ydata())),
            line.get_markerfacecolor() == "white",
        )
        for line in axis.get_lines()
    ]
    return points, [text.get_text() for text in axis.texts], figure.get_supxlabel().replace("\n", " ")


def test_means_of_ours_and_of_the_paper_stand_over_the_sizes(tmp_path, monkeypatch):
    points, names, below = draw(make_study(), tmp_path, monkeypatch)
    # Of the paper .659 and .665; .564 and .2477; .594 and .102.
    assert points == [
        (94, 0.662, True), (94, 0.65, False), (800, 0.4058, True), (800, 0.35, False), (600, 0.348, True),
    ]  # fmt: skip
    assert names == ["wavlm original", "whisper original", "SONAR"]
    assert below == "mean over iemocap and emodb; filled: ours; hollow: the paper"


def test_a_set_that_a_model_lacks_counts_for_none(tmp_path, monkeypatch):
    part = {key: value for key, value in SCORES.items() if key != ("emodb", "whisper")}
    points, _, below = draw(make_study(), tmp_path, monkeypatch, part)
    assert points[1] == (94, 0.6, False) and points[0] == (94, 0.659, True) and points[4] == (600, 0.594, True)
    assert (
        below.startswith("mean over iemocap; filled: ours; hollow: the paper;") and "emodb: not of every model" in below
    )


def test_without_a_common_set_there_is_a_note(tmp_path, monkeypatch):
    apart = {("iemocap", "wavlm"): 0.6, ("emodb", "whisper"): 0.2}
    assert draw(make_study(), tmp_path, monkeypatch, apart) == "Fig. 1: no test set has a value of each model."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"sizes": {"wavlm.original": 94}},
            "sizes lacks whisper.original; give the millions of parameters of each model",
        ),
        ({"sizes": {}}, "`sizes` are for `picture: sizes`, which needs them"),
        ({"picture": "bars"}, "`sizes` are for `picture: sizes`, which needs them"),
        ({"sizes": SIZES | {"wavlm.original": 0}}, "greater than 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_study(**change)

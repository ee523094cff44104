"""Published figures that stand beside ours.

`paper/<paper>.csv` holds a paper's tables as printed: paper, table, row, column, mean, std. Where text and table
of a paper disagree the table is taken (Goncalves & Busso 2025, Section IV-B, gives WavLM on MSP-IMPROV as
0.636 ± 0.05; Table I prints 0.612 ± 0.05). Metric: macro-F1, except Table IV (F1 bias).
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import polars as pl

from emoadapt.config import Study

_BACKBONES = {
    "wav2vec2-base": "Wav2vec 2.0",
    "wavlm-base": "WavLM",
    "hubert-base-ls960": "HuBERT",
    "data2vec-audio-base": "Data2vec",
}
_CORPORA = {"cremad": "CREMA-D", "mspimprov": "MSP-IMPROV", "msppodcast": "MSP-Podcast"}
_SUBSETS = {"1000": "1K Subset", "5000": "5K Subset", "10000": "10K Subset"}
_ADAPTED = {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}
_WEIGHTINGS = {
    (1.0, None, None): "O1",
    (1.0, 1.0, None): "O1+O2",
    (1.0, 0.5, None): "O1+.5*O2",
    (1.0, 10.0, None): "O1+10*O2",
    (10.0, 1.0, None): "10*O1+O2",
    (0.5, 1.0, None): ".5*O1+O2",
    (1.0, 1.0, 1.0): "O1+O2+O3",
    (1.0, 1.5, 1.0): "O1+1.5*O2+O3",
}


@cache
def read_paper(name: str) -> pl.DataFrame:
    """Tables of a paper; `std` is null where the paper prints none."""
    text = files("emoadapt.reporting").joinpath("paper").joinpath(f"{name}.csv").read_bytes()
    return pl.read_csv(text, schema_overrides={"mean": pl.Float64, "std": pl.Float64})


def find_paper_value(
    study: Study, task: str, test_corpus: str, backbone: str, start: str, subset: str, metric: str
) -> tuple[float, float | None] | None:
    """Mean and standard deviation that the study's paper prints for a setting, None where it prints nothing.

    A setting matches by what it is, not by what it is called: the corpus (by name), the pretrained weights
    (never an untrained backbone), the objectives with their weights, the training clips.
    """
    if study.report.paper is None:
        return None
    cell = _locate(study, study.tasks[task].corpus, test_corpus, backbone, start, subset, metric)
    if cell is None:
        return None
    found = read_paper(study.report.paper).filter(table=cell[0], row=cell[1], column=cell[2])
    return None if found.is_empty() else (found["mean"][0], found["std"][0])


def _locate(
    study: Study, corpus: str, test_corpus: str, backbone: str, start: str, subset: str, metric: str
) -> tuple[str, str, str] | None:
    """(table, row, column) of the paper."""
    home, away = (_CORPORA.get(re.sub(r"[^a-z]", "", name.lower())) for name in (corpus, test_corpus))
    model, weighting = _name_model(study, backbone, start)
    if home is None or away is None or model is None:
        return None
    if metric == "f1_bias":
        return ("IV", home, model) if subset == "full" and home == away else None
    if metric != "macro_f1":
        return None
    if home != away:
        return ("V", model, away) if (home, subset) == ("MSP-Podcast", "full") else None
    if subset in _SUBSETS and home == "MSP-Podcast":
        return "II", _SUBSETS[subset], model
    if subset != "full":
        return None
    return ("VI", weighting, home) if weighting else ("I", home, model)


def _name_model(study: Study, backbone: str, start: str) -> tuple[str | None, str | None]:
    """(column of Table I, row of Table VI if it is an ablation)."""
    if start == "egemaps":
        return "eGeMAPS", None
    config = study.backbones.get(backbone)
    name = _BACKBONES.get((config.weights or "").rstrip("/").rsplit("/", 1)[-1]) if config else None
    if name is None or start == "original":
        return name and f"{name} Original", None
    objectives = dict(study.adaptations[start].objectives) if start in study.adaptations else {}
    if objectives == _ADAPTED:
        return f"{name} Adapted", None
    if name != "Wav2vec 2.0" or objectives.keys() - _ADAPTED.keys():
        return None, None
    weighting = _WEIGHTINGS.get(tuple(objectives.get(o) for o in _ADAPTED))  # type: ignore[arg-type]
    return (name, weighting) if weighting else (None, None)

"""Published figures that stand beside ours.

`paper/<paper>.csv` holds a paper's tables as printed: paper, table, row, column, mean, std, stars. Where text and table
of a paper disagree the table is taken (Goncalves & Busso 2025, Section IV-B, gives WavLM on MSP-IMPROV as
0.636 ± 0.05; Table I prints 0.612 ± 0.05); `paper/<paper>_notes.csv` says where. Metric: macro-F1, except Table IV (F1 bias).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    (1.0, 0.5, 1.0): "O1+.5*O2+O3",
    (1.0, 1.5, 1.0): "O1+1.5*O2+O3",
}


@dataclass(frozen=True)
class PaperValue:
    """A value as a paper prints it: which of its tables, row and column, mean, standard deviation where there is one, stars."""

    table: str
    row: str
    column: str
    mean: float
    std: float | None
    stars: str | None


@cache
def read_paper(name: str) -> pl.DataFrame:
    """Tables of a paper; `std` and `stars` are null where the paper prints none."""
    text = files("emoadapt.reporting").joinpath("paper").joinpath(f"{name}.csv").read_bytes()
    return pl.read_csv(text, schema_overrides={"mean": pl.Float64, "std": pl.Float64, "stars": pl.String})


@cache
def read_paper_notes(name: str) -> pl.DataFrame:
    """Where a paper's text and tables disagree: table, row, column (null = all of the table), and a note."""
    text = files("emoadapt.reporting").joinpath("paper").joinpath(f"{name}_notes.csv").read_bytes()
    return pl.read_csv(text, schema_overrides=dict.fromkeys(("table", "row", "column", "note"), pl.String))


def find_paper_value(
    study: Study, task: str, test_corpus: str, backbone: str, start: str, subset: str, metric: str
) -> tuple[float, float | None] | None:
    """Mean and standard deviation that the study's paper prints for a setting, None where it prints nothing.

    A setting matches by what it is, not by what it is called: the corpus (by name), the pretrained weights
    (never an untrained backbone), the objectives with their weights, the training clips.
    """
    found = find_in_tables(study, None, task, test_corpus, [(backbone, start)], subset, metric)
    return None if found is None else (found.mean, found.std)


def find_in_tables(
    study: Study,
    tables: Sequence[str] | None,
    task: str,
    test_corpus: str,
    models: Sequence[tuple[str, str]],
    subset: str,
    metric: str,
) -> PaperValue | None:
    """What the study's paper prints for a setting in one of its tables, the first that has it; None where none has.

    Args:
        study: the configuration; `report.paper` names the paper.
        tables: the paper's tables to look into, in this order; None = all, ablations last.
        task: name of the task.
        test_corpus: corpus tested on.
        models: the setting's backbone and start; several = the best of these.
        subset: training clips.
        metric: ours.
    """
    if study.report.paper is None:
        return None
    paper = read_paper(study.report.paper)
    cells = list(_locate(study, study.tasks[task].corpus, test_corpus, models, subset, metric))
    for table in tables if tables is not None else dict.fromkeys(cell[0] for cell in cells):
        for place, row, column in cells:
            found = paper.filter(pl.col("column").str.starts_with(column), table=table, row=row)
            if place == table and not found.is_empty():
                value = found.row(0, named=True)
                return PaperValue(table, row, value["column"], value["mean"], value["std"], value["stars"])
    return None


def _locate(
    study: Study, corpus: str, test_corpus: str, models: Sequence[tuple[str, str]], subset: str, metric: str
) -> Iterator[tuple[str, str, str]]:
    """(table, row, column or how it begins) of the paper."""
    home, away = (_CORPORA.get(re.sub(r"[^a-z]", "", name.lower())) for name in (corpus, test_corpus))
    names = [_name_model(study, *model) for model in models]
    if home is None or away is None:
        return
    if len(models) > 1:
        adapted = all(name and name.endswith(" Adapted") for name, _ in names)
        if adapted and (metric, subset, home) == ("macro_f1", "full", away):
            yield "III", home, "Best Adapted SSL"
        return
    model, weighting = names[0]
    if metric == "f1_bias" and model and subset == "full" and home == away:
        yield "IV", home, model
    if metric != "macro_f1":
        return
    if home != away:
        if model and (home, subset) == ("MSP-Podcast", "full"):
            yield "V", model, away
    elif subset in _SUBSETS and home == "MSP-Podcast" and model:
        yield "II", _SUBSETS[subset], model
    elif subset == "full":
        if model:
            yield "III" if model == "AV-HuBERT" else "I", home, model
        if weighting:
            yield "VI", weighting, home


def _name_model(study: Study, backbone: str, start: str) -> tuple[str | None, str | None]:
    """(column of Table I, row of Table VI); None where the paper has no such model."""
    if start == "egemaps":
        return "eGeMAPS", None
    config = study.backbones.get(backbone)
    if config is None or config.weights is None:
        return None, None
    if config.architecture == "av_hubert":
        return ("AV-HuBERT", None) if start == "original" else (None, None)
    name = _BACKBONES.get(config.weights.rstrip("/").rsplit("/", 1)[-1])
    if name is None or start == "original":
        return name and f"{name} Original", None
    objectives = dict(study.adaptations[start].objectives) if start in study.adaptations else {}
    known = name == "Wav2vec 2.0" and not objectives.keys() - _ADAPTED.keys()
    weighting = _WEIGHTINGS.get(tuple(objectives.get(o) for o in _ADAPTED)) if known else None  # type: ignore[arg-type]
    return f"{name} Adapted" if objectives == _ADAPTED else None, weighting

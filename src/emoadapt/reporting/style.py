"""How numbers, names and colours look, the same in every table and figure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from emoadapt.config import LeaveOnePartOut, LeaveOneSpeakerOut, Study
from emoadapt.listing.reading import describe_source

# Okabe & Ito, "Color Universal Design" (2008): told apart with every common colour vision.
BLUE, GREY, BROWN, INK = "#0072B2", "#7F7F7F", "#8C564B", "#222222"
ADAPTED_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ADAPTED_MARKERS = ("D", "^", "v", "P", "X", "*")

METRIC_NAMES = {
    "macro_f1": "macro-F1",
    "uar": "UAR",
    "weighted_f1": "weighted F1",
    "accuracy": "accuracy",
    "f1_bias": "F1 bias",
    "cosine_distance": "cosine distance",
    "ccc_mean": "mean CCC",
    "ccc_arousal": "CCC arousal",
    "ccc_valence": "CCC valence",
    "ccc_dominance": "CCC dominance",
}

HANDCRAFTED_LABELS = {"egemaps": "eGeMAPS", "classical": "SVM"}
"""Baselines without a backbone."""
HANDCRAFTED_MARKS = {"egemaps": (GREY, "s"), "classical": (BROWN, "p")}
"""Colours and markers that no adaptation has."""

SVM_NOTE = (
    "SVM: a clip's class is the one with the largest one-against-rest decision value (scikit-learn's break_ties=True); "
    "where votes of pairs of classes are tied, SVC.predict without it may name another."
)

MAIN_METRICS = ("macro_f1", "ccc_mean")
"""What a task is judged by: one of classes, one of attributes."""


@dataclass(frozen=True)
class Mark:
    """Colour and marker of a start, the same everywhere."""

    colour: str
    marker: str


def mark_of(study: Study, start: str) -> Mark:
    """Mark of a starting point; adaptations in the order of the configuration."""
    if start == "original":
        return Mark(BLUE, "o")
    if start in HANDCRAFTED_LABELS:
        return Mark(*HANDCRAFTED_MARKS[start])
    names = list(study.adaptations)
    index = names.index(start) if start in names else len(names)
    colour = ADAPTED_COLOURS[index % len(ADAPTED_COLOURS)]
    return Mark(colour, ADAPTED_MARKERS[index // len(ADAPTED_COLOURS) % len(ADAPTED_MARKERS)])


def model_name(backbone: str, start: str) -> str:
    """A model in a sentence or beside a row."""
    return f"{label_of(start)} (handcrafted)" if start in HANDCRAFTED_LABELS else f"{backbone} {start}"


def label_of(start: str) -> str:
    """A starting point in a figure."""
    return HANDCRAFTED_LABELS.get(start, start)


def mark_untrained(study: Study, backbone: str) -> str:
    """Name of a backbone in a figure, with a note if it is untrained."""
    return f"{backbone} (untrained)" if backbone in study.untrained else backbone


def shorten(text: str, limit: int = 16) -> str:
    """Text of at most `limit` characters, for labels in figures."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def subset_key(subset: str) -> tuple[int, float, str]:
    """Sort key: numbers ascending, `full` last."""
    return (0, float(subset), subset) if subset.isdigit() else (1, 0.0, subset)


def subset_name(subset: str) -> str:
    """A subset in words."""
    return f"{int(subset):,} clips" if subset.isdigit() else "all clips" if subset == "full" else subset


def model_key(study: Study, backbone: str, start: str) -> tuple[int, int, str]:
    """Sort key: backbones and adaptations as configured, original first, handcrafted last."""
    backbones = list(study.backbones)
    starts = ["original", *study.adaptations]
    return (
        backbones.index(backbone) if backbone in backbones else len(backbones),
        starts.index(start) if start in starts else len(starts),
        start,
    )


def weights_of(study: Study, backbone: str) -> str:
    """`pretrained`, `untrained` or `handcrafted`."""
    if backbone not in study.backbones:
        return "handcrafted"
    return "pretrained" if study.backbones[backbone].untrained is None else "untrained"


def describe_split(study: Study, task: str) -> str:
    """Kind of split of a task in a few words."""
    split = study.tasks[task].split
    if isinstance(split, LeaveOneSpeakerOut):
        return "leave one speaker out"
    if isinstance(split, LeaveOnePartOut):
        return "leave one official part out"
    match split.by:
        case "official":
            return "official partition"
        case "speakers":
            return "named speakers"
        case "folds":
            return f"{split.k} folds by speaker (seed {split.seed})"
        case "table":
            return f"{'folds' if split.columns.fold else 'parts'} of {split.file}"
        case "all":
            return f"all speakers but {100 * split.dev:g} % for dev (seed {split.seed})"
        case _:
            shares = "/".join(f"{100 * share:g}" for share in (split.train, split.dev, split.test))
            return f"{shares} by speaker (seed {split.seed})"


def describe_labels(study: Study, corpus: str) -> str:
    """Whose judgement the labels of a corpus are."""
    return describe_source(study.corpora[corpus])


def star(p_value: float | None) -> str:
    """`*` for p < .05, `**` for p < .01, as in the paper."""
    if p_value is None:
        return ""
    return "**" if p_value < 0.01 else "*" if p_value < 0.05 else ""


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with fixed digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−")


def spread(mean: float | None, std: float | None, digits: int = 3) -> str:
    """`mean ± std`."""
    return number(mean, digits) + ("" if std is None or math.isnan(std) else f" ± {std:.{digits}f}")


def interval(low: float | None, high: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """`[low, high]`."""
    if low is None or high is None:
        return "–"
    return f"[{number(low, digits, sign=sign)}, {number(high, digits, sign=sign)}]"


def probability(p_value: float | None) -> str:
    """A p-value; a dash where there is none."""
    if p_value is None or math.isnan(p_value):
        return "–"
    return "< .001" if p_value < 0.001 else f"{p_value:.3f}".removeprefix("0")


def listing(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    names = list(names)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "none"

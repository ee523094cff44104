"""Format of numbers, names and colours in tables and figures."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emoadapt.config import Finetuning, LeaveOnePartOut, LeaveOneSpeakerOut, Study
from emoadapt.listing.reading import describe_source
from emoadapt.plugins import load_plugin, read_declaration
from emoadapt.study.nodes import DEFAULT, ORIGINAL, Model

# Okabe & Ito, "Color Universal Design" (2008): told apart with every common colour vision.
BLUE, GREY, BROWN, INK = "#0072B2", "#7F7F7F", "#8C564B", "#222222"
ADAPTED_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ADAPTED_MARKERS = ("D", "^", "v", "P", "X", "*")

VECTOR_COLOURS = (GREY, BROWN, "#BCBD22", "#17BECF")
VECTOR_MARKERS = ("s", "p", "8", "H")
"""Of models of descriptors."""
TUNED_MARKERS = ("<", ">", "h", "d")
LINES = ("-", "--", ":", "-.")
"""Of fine-tunings, the first of `default`."""


@dataclass(frozen=True)
class Mark:
    """How a model is drawn, the same everywhere: colour, marker, and line."""

    colour: str
    marker: str
    line: str = "-"


def mark_of(study: Study, model: Model) -> Mark:
    """How a model is drawn: its start decides the colour, its fine-tuning marker and line, both in the order of the configuration."""
    tuned = _place([name for name in study.finetunings if name != DEFAULT], model.finetuning)
    if is_vector(study, model.backbone):
        place = _place(_list_vectors(study), (model.backbone, model.finetuning))
        return Mark(_pick(VECTOR_COLOURS, place), _pick(VECTOR_MARKERS, place))
    place = _place(list(study.adaptations), model.start)
    colour, marker = BLUE, "o"
    if model.start != ORIGINAL:
        colour, marker = _pick(ADAPTED_COLOURS, place), _pick(ADAPTED_MARKERS, place // len(ADAPTED_COLOURS))
    if model.finetuning == DEFAULT:
        return Mark(colour, marker)
    return Mark(colour, _pick(TUNED_MARKERS, tuned), _pick(LINES, 1 + tuned))


def _list_vectors(study: Study) -> list[tuple[str, str]]:
    """(backbone, fine-tuning) of every model of descriptors."""
    return [
        (backbone, name)
        for backbone in study.backbones
        if is_vector(study, backbone)
        for name, how in study.finetunings.items()
        if how.backbones is None or backbone in how.backbones
    ]


def _place(known: Sequence[Any], name: Any) -> int:
    """Place of a name, behind all others if it is unknown."""
    return known.index(name) if name in known else len(known)


def _pick(values: Sequence[str], place: int) -> str:
    return values[place % len(values)]


def model_of(row: Mapping[str, Any]) -> Model:
    """The model of a row of any table."""
    return Model(*(row[column] for column in Model._fields))


def is_vector(study: Study, backbone: str) -> bool:
    """Whether a backbone is a vector of descriptors, which has no weights and one start."""
    return weights_of(study, backbone) == "descriptors"


def label_model(model: Model, weights: str, names: Mapping[str, str] | None = None) -> str:
    """A model beside a row: its given name, or its backbone, start, and a fine-tuning that is not the usual one.

    Args:
        model: the model.
        weights: as from `weights_of` or `state_weights`; descriptors have one start, which is left out.
        names: names of models and of their parts, as `report.names`. None: every part is called as configured.
    """
    names = names or {}
    return names.get(str(model)) or " ".join(names.get(part, part) for part in _list_parts(model, weights))


def _list_parts(model: Model, weights: str) -> list[str]:
    start = [] if weights.startswith("descriptors") else [model.start]
    return [model.backbone, *start, *([] if model.finetuning == DEFAULT else [model.finetuning])]


def name_place(row: Mapping[str, Any]) -> str:
    """The task, and the corpus that the model was tested on if it is another one than the task's."""
    if row["test_corpus"] == row.get("corpus", row["test_corpus"]):
        return row["task"]
    return f"{row['task']} → {row['test_corpus']}"


def name_model(study: Study, model: Model) -> str:
    """A model in a sentence or a figure, with a note on its weights, or on its descriptors."""
    weights, names = weights_of(study, model.backbone), study.report.names
    text = label_model(model, weights, names)
    if is_vector(study, model.backbone):
        return f"{text} ({describe_vector(study, model.backbone)})"
    if str(model) in names:
        return _mark(text, weights)
    backbone = names.get(model.backbone, model.backbone)
    return _mark(backbone, weights) + text.removeprefix(backbone)


def label_line(study: Study, model: Model) -> str:
    """A model in a panel of its backbone: its given name, or its start and fine-tuning; descriptors by their full name."""
    weights, names = weights_of(study, model.backbone), study.report.names
    if str(model) in names or is_vector(study, model.backbone):
        return label_model(model, weights, names)
    return " ".join(names.get(part, part) for part in _list_parts(model, weights)[1:])


def mark_provenance(study: Study, backbone: str) -> str:
    """Name of a backbone in a figure, with a note on its weights: pretrained or untrained; descriptors have none."""
    return _mark(study.report.names.get(backbone, backbone), weights_of(study, backbone))


def _mark(text: str, weights: str) -> str:
    return f"{text} ({weights})" if weights in ("pretrained", "untrained") else text


def shorten(text: str, limit: int = 16) -> str:
    """Text of at most `limit` characters, for labels in figures."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fold(text: str, width: int = 18) -> str:
    """Text in at most two lines of `width` characters, for labels at the ends of lines in figures."""
    return "\n".join(textwrap.wrap(text, width, max_lines=2, placeholder="…", break_on_hyphens=False))


def subset_key(subset: str) -> tuple[int, float, str]:
    """Sort key: numbers ascending, `full` last."""
    return (0, float(subset), subset) if subset.isdigit() else (1, 0.0, subset)


def subset_name(subset: str) -> str:
    """A subset in words."""
    return f"{int(subset):,} clips" if subset.isdigit() else "all clips" if subset == "full" else subset


def model_key(study: Study, model: Model) -> tuple[int, int, int, str]:
    """Sort key: backbones, starts and fine-tunings as configured, original and default first, descriptors last."""
    return (
        len(study.backbones) * is_vector(study, model.backbone) + _place(list(study.backbones), model.backbone),
        _place([ORIGINAL, *study.adaptations], model.start),
        _place([DEFAULT, *(name for name in study.finetunings if name != DEFAULT)], model.finetuning),
        str(model),
    )


def weights_of(study: Study, backbone: str) -> str:
    """`pretrained`, `untrained` or `descriptors`; `unknown` for a backbone that the study does not have."""
    return study.backbones[backbone].provenance if backbone in study.backbones else "unknown"


def state_weights(study: Study, backbone: str) -> str:
    """Weights of a backbone in tables: `pretrained`, `untrained`, or `descriptors: 88 functionals of eGeMAPSv02`."""
    weights = weights_of(study, backbone)
    return f"{weights}: {describe_vector(study, backbone)}" if weights == "descriptors" else weights


def describe_vector(study: Study, backbone: str) -> str:
    """What a backbone of descriptors reads, in a few words."""
    return listing(describe_feature(feature).split(",")[0] for feature in study.backbones[backbone].features)


def describe_feature(feature: str) -> str:
    """What a feature is: the first line of its module, without references."""
    line = (load_plugin("features", feature).__doc__ or feature).strip().splitlines()[0]
    return re.sub(r" \([^)]*\)", "", line).removeprefix("The ").removesuffix(".")


def vary_runs(study: Study, task: str) -> str:
    """What the paired runs of a task differ in: `seeds`, or `partitions` where there are several."""
    return "partitions" if study.tasks[task].partitions > 1 else "seeds"


def is_one_tailed(study: Study) -> bool:
    """Whether tests ask only if a model is better than its baseline."""
    return study.report.alternative == "greater"


def name_test(study: Study) -> str:
    """The test behind every p-value."""
    return "one-tailed paired t-test (better than the baseline)" if is_one_tailed(study) else "two-tailed paired t-test"


def list_method_notes(study: Study, finetunings: Iterable[str]) -> list[str]:
    """What a reader must know of fine-tunings: the constant `NOTE` of their methods' modules, and what their keys say."""
    used = {name: study.finetunings[name] for name in finetunings if name in study.finetunings}
    methods = dict.fromkeys(config.method for config in used.values())
    notes = [note for method in methods if (note := read_declaration("methods", method, "NOTE"))]
    notes += [f"Fine-tuning {name}: {note}." for name, config in used.items() for note in config.list_notes()]
    return notes + list_scope_notes(used)


_SCOPES = {
    "train": "of the training clips",
    "corpus": "of each corpus, of unlabelled test clips too",
    "speaker": "of each speaker, of unlabelled test clips too",
}


def list_scope_notes(finetunings: Mapping[str, Finetuning]) -> list[str]:
    """A sentence if vectors of some fine-tunings are z-scored with other statistics than those of the training clips."""
    scopes: dict[str, list[str]] = {}
    for name, config in finetunings.items():
        scope = getattr(config, "normalise", None)
        # Of one that trains a backbone too, the default says nothing: audio is not z-scored.
        if scope and (config.frozen or scope != "train"):
            scopes.setdefault(scope, []).append(name)
    if not set(scopes) - {"train"}:
        return []
    said = [f"{text} ({listing(scopes[scope])})" for scope, text in _SCOPES.items() if scope in scopes]
    parts = [f"z-scored with the statistics {', '.join(said)}"] if said else []
    parts += [f"not z-scored ({listing(scopes['none'])})"] if "none" in scopes else []
    mixed = "; rows with different statistics are no fair comparison of models" if len(scopes) > 1 else ""
    return [f"Vectors are {', and '.join(parts)}{mixed}."]


def list_score_notes(study: Study, tasks: Iterable[str]) -> list[str]:
    """A sentence for each task whose segments are scored together."""
    return [
        f"{task}: each recording is scored once, with the outputs of its segments averaged; n counts recordings."
        for task in tasks
        if task in study.tasks and study.tasks[task].score == "parents"
    ]


def name_tested(study: Study, task: str) -> str:
    """What `n` of a task counts: test clips, or recordings where segments are scored together."""
    return "recordings" if study.tasks[task].score == "parents" else "test clips"


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
            return f"all {split.unit} but {100 * split.dev:g} % for dev (seed {split.seed})"
        case _:
            shares = "/".join(f"{100 * share:g}" for share in (split.train, split.dev, split.test))
            return f"{shares} by {split.unit.removesuffix('s')} (seed {split.seed})"


def describe_labels(study: Study, corpus: str) -> str:
    """Whose judgement the labels of a corpus are."""
    return describe_source(study.corpora[corpus])


def star(p_value: float | None) -> str:
    """`*` for p < .05, `**` for p < .01. Goncalves & Busso (2025) print one kind of star and name no test."""
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


def listing(names: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; `last` is the word before the last one."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else "none"

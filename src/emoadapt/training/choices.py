"""Choice among combinations of settings, by inner folds over speakers or on the dev part. Without torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from emoadapt.config.training import list_values
from emoadapt.errors import TrainingError
from emoadapt.machine.starting import hidden
from emoadapt.study.nodes import Run
from emoadapt.training.curve import CHOICE, Curve
from emoadapt.training.runs import RunClips, TaskClips

logger = logging.getLogger(__name__)

CONDITIONAL_LIBRARIES = ("sklearn",)


ALL = -1
"""Number of the division that a classifier is fitted once more to: it is no run, and has neither a log nor a score."""


@dataclass(frozen=True)
class Candidate:
    """A combination of settings.

    Args:
        place: among all, from 0.
        name: `key=value` of each key that is chosen, such as `layer=3 c=0.05`.
        settings: section of the fine-tuning, with one value for each key.
        layer: that it reads; None = all of them.
    """

    place: int
    name: str
    settings: Any
    layer: int | None


@dataclass(frozen=True)
class Division:
    """Clips that a candidate is fitted to, and clips that it then predicts.

    Args:
        number: 0 = the run itself, which is tested; above are inner divisions; `ALL` = the clips of all runs.
        train: utterances to fit to.
        dev: utterances that choose an epoch, where there are epochs.
        asked: utterances to predict.
    """

    number: int
    train: list[str]
    dev: list[str]
    asked: list[str]


Fit = Callable[[Sequence[Candidate], Division], list[np.ndarray]]
"""Candidates and a division -> (n_asked, n_outputs) outputs of each candidate."""


def list_candidates(settings: Any, depth: int) -> list[Candidate]:
    """List the combinations of a section's lists: classifiers vary slowest, then layers, then their other keys, as listed.

    A classifier is combined with the values of the keys that it reads. `weighted` layers are left to those that learn weights.

    Args:
        settings: of `methods.probe` or `methods.svm`.
        depth: layers of the backbone.

    Raises:
        TrainingError: the backbone lacks a layer.
    """
    found: dict[tuple[Any, ...], tuple[str, Any, int | None]] = {}
    chosen = settings.lists
    for classifier in settings.classifiers:
        keys = settings.reads[classifier]
        for values in product(*(_list_values(settings, key, depth) for key in keys)):
            combined = {"classifier": classifier, **dict(zip(keys, values, strict=True))}
            layer = place_layer(combined["layer"], depth)
            if layer is None and depth > 1 and "c" in keys:
                continue  # machines learn no weights of layers
            idle = ("gamma",) if combined.get("kernel") == "linear" else ()
            same = tuple(value for key, value in combined.items() if key not in ("layer", *idle))
            name = " ".join(f"{key}={value}" for key, value in combined.items() if key in chosen and key not in idle)
            update = {key: value for key, value in combined.items() if key in type(settings).model_fields}
            found.setdefault((layer, *same), (name, settings.model_copy(update=update), layer))
    return [Candidate(place, *candidate) for place, candidate in enumerate(found.values())]


def _list_values(settings: Any, key: str, depth: int) -> tuple[Any, ...]:
    """Values of a key; `best` is a list of all layers."""
    values = list_values(getattr(settings, key))
    if key != "layer":
        return values
    listed = [layer for value in values for layer in (range(depth) if value == "best" else [value])]
    return tuple(dict.fromkeys(listed))


def place_layer(layer: int | str, depth: int) -> int | None:
    """Number of a layer; None = all, weighted.

    Raises:
        TrainingError: there are fewer layers.
    """
    if layer == "weighted":
        return None if depth > 1 else 0
    place = depth - 1 if layer == "last" else int(layer)
    if place >= depth:
        raise TrainingError(f"the backbone has no layer {place}; choose one from 0 to {depth - 1}")
    return place


def choose(
    candidates: Sequence[Candidate], divisions: Sequence[Division], clips: TaskClips, curve: Curve, fit: Fit
) -> Candidate:
    """Choose the candidate with the best score over the predicted clips of all divisions; on a tie the first.

    Args:
        candidates: in order of preference.
        divisions: of the run's clips, none of which it is tested on.
        clips: of the task; their score is macro-F1, or the mean CCC of attributes.
        curve: of the run, which the scores are added to.
        fit: see `Fit`.

    Raises:
        TrainingError: no candidate can be scored.
    """
    outputs: list[list[np.ndarray]] = [[] for _ in candidates]
    for division in divisions:
        for found, predicted in zip(outputs, fit(candidates, division), strict=True):
            found.append(predicted)
    asked = pl.DataFrame({"utterance_id": [name for division in divisions for name in division.asked]})
    scores = [clips.score(asked, np.concatenate(found)) for found in outputs]
    known = [(score, -place) for place, score in enumerate(scores) if score is not None]
    if not known:
        raise TrainingError(
            f"{curve.run}: none of the {len(candidates)} combinations can be scored on the {asked.height} clips that choose among them; "
            "use more clips, or name one value for each key"
        )
    best = candidates[-max(known)[1]]
    for candidate, score in zip(candidates, scores, strict=True):
        curve.add(candidate.place, CHOICE, {} if score is None else {candidate.name: score})
    curve.mark_best(best.place)
    logger.info("%s: %s, the best of %d combinations (%.3f)", curve.run, best.name, len(candidates), max(known)[0])
    return best


def divide(settings: Any, run: Run, part: RunClips, train: list[str], clips: TaskClips) -> list[Division]:
    """Divide a run's clips to choose among candidates.

    Args:
        settings: `choose_by` and `inner_folds`.
        run: is named in errors.
        part: clips of the run.
        train: utterances that the chosen candidate will be fitted to.
        clips: of the task.

    Raises:
        TrainingError: no speaker-disjoint inner folds are possible.
    """
    if settings.choose_by == "dev":
        return [Division(1, part.train, part.dev, part.dev)]
    speakers = _find_speakers(run, train, clips)
    return [
        Division(number, rest, part.dev, held)
        for number, (rest, held) in enumerate(
            divide_speakers(str(run), speakers, getattr(clips, "labels", None), settings.inner_folds), start=1
        )
    ]


def _find_speakers(run: Run, train: Sequence[str], clips: TaskClips) -> dict[str, str]:
    of_run = clips.splits.filter(pl.col("utterance_id").is_in(train), partition=run.partition, fold=run.fold)
    rows = of_run.select("utterance_id", "corpus", "speaker").unique()
    if unknown := rows.filter(pl.col("speaker").is_null()).height:
        raise TrainingError(
            f"run {run}: {unknown} of the {len(train)} training clips have no speaker, so inner folds cannot keep speakers apart; set "
            "choose_by: dev, or name one value for each key"
        )
    return {name: f"{corpus}/{speaker}" for name, corpus, speaker in rows.sort("utterance_id").iter_rows()}


def divide_speakers(
    run: str, speakers: Mapping[str, str], labels: Mapping[str, int] | None, most: int
) -> Iterator[tuple[list[str], list[str]]]:
    """Divide utterances into folds without a common speaker, of similar classes and size.

    Args:
        run: is named in errors.
        speakers: utterance -> speaker.
        labels: utterance -> class; None where there are no classes.
        most: largest number of folds; there are no more than speakers.

    Yields:
        Utterances to fit to, and utterances to predict, of each fold.

    Raises:
        TrainingError: the training clips have one speaker, or a fold leaves a single class to learn.
    """
    with hidden("pandas"):
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    names, people = list(speakers), list(speakers.values())
    if len(set(people)) < 2:
        raise TrainingError(
            f"run {run}: its {len(names)} training clips have one speaker, and inner folds over speakers need two; set choose_by: dev, "
            "use more clips, or name one value for each key"
        )
    k = min(most, len(set(people)))
    classes = [0] * len(names) if labels is None else [labels[name] for name in names]
    # Folds of like classes need a class with as many clips as there are folds.
    alike = labels is not None and k <= max(np.bincount(classes))
    division = StratifiedGroupKFold(k) if alike else GroupKFold(k)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(division.split(np.zeros(len(names)), classes, people))
    for rest, held in parts:
        if labels is not None and len({classes[place] for place in rest}) < 2:
            raise TrainingError(
                f"run {run}: without the speakers of one of {k} inner folds, its {len(names)} training clips have one class only; set "
                "choose_by: dev, use more clips, or name one value for each key"
            )
        if len(held):
            yield [names[place] for place in rest], [names[place] for place in held]

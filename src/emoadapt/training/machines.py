"""Support vector machines and logistic regression on frozen vectors or layers. Without torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from emoadapt import schema
from emoadapt.data.vectors import (
    Statistics,
    find_small_groups,
    fit_statistics,
    normalise_vectors,
    read_layers,
    read_vectors,
)
from emoadapt.machine.starting import hidden
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run, name_kept
from emoadapt.training.choices import Candidate, Division, choose, divide, list_candidates
from emoadapt.training.curve import Curve, read_scores
from emoadapt.training.questions import load_clips
from emoadapt.training.runs import RunClips, RunTables
from emoadapt.training.unfinished import UnfinishedJob, place_job

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.keeping import FrozenKeeper
    from emoadapt.training.labelled import LabelledClips

logger = logging.getLogger(__name__)

CONDITIONAL_LIBRARIES = ("sklearn",)

Vectors = dict[str, np.ndarray]
"""Utterance -> (n_layers, width) float32."""
Stack = Callable[[], Sequence[np.ndarray]]
"""Gives the layers of the clips to fit to and of the clips to predict, (n_clips, n_layers, width) each."""

DEV_SCORE = "macro_f1"
"""Name of the dev score of a machine, which learns classes only, in the table of curves."""
KEEPING = "emoadapt.training.keeping"
"""Module that keeps models. It is loaded by name: only a job that keeps some has it in its digest (`study.graph.Graph.training_code`)."""


@dataclass(frozen=True)
class Fitted:
    """A candidate that was fitted.

    Args:
        outputs: (n_asked, n_outputs) of the clips asked about.
        model: a machine of scikit-learn, or a `probing.LayerProbe`.
        curve: of a training by epochs.
        dev: (n_dev, n_outputs) of the dev part of a run, where no epoch was chosen on it and it was not trained on.
    """

    outputs: np.ndarray
    model: Any
    curve: Curve | None = None
    dev: np.ndarray | None = None


@dataclass(frozen=True)
class Chosen:
    """What a run is fitted with.

    Args:
        candidate: among all.
        score: by which it was chosen; None: there was no other.
    """

    candidate: Candidate
    score: float | None


@dataclass(frozen=True)
class Reading:
    """How a candidate reads the layers of a clip.

    Args:
        numbers: layers of the backbone that it reads.
        width: of each.
        statistics: that they are z-scored with, (n_read, width); None: they are not.
    """

    numbers: Sequence[int]
    width: int
    statistics: Statistics | None


def fit_machines(job: TaskJob) -> None:
    """Fit a support vector machine or logistic regression once per run and predict the run's test clips.

    There is no epoch: the table of embeddings is empty, and that of curves has the scores of choices. A job that was killed
    continues with the run that it was in.

    Args:
        job: its settings are of `methods.svm` or `methods.probe`. Logits of its predictions are log-probabilities; of a support vector
            machine they are decision values of one class against the rest, which rank classes and are no log-probabilities.

    Raises:
        TrainingError: a part has no clips, a class has no training clip, or no inner folds are possible.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
    """
    FrozenTraining(job).complete()


class FrozenTraining:
    """The runs of a job on frozen vectors: each chooses among candidates, then fits and tests one.

    Args:
        job: of `methods.svm` or `methods.probe`.
        decisive: what decides the outcome besides the job.
    """

    def __init__(self, job: TaskJob, decisive: Sequence[object] = ()) -> None:
        layers = read_frozen(job)
        self.job, self.settings = job, job.settings
        self.clips = load_clips(job, layers)
        self.tables = RunTables(job.setting, self.clips)
        self.keeper: FrozenKeeper | None = None
        if job.study.keeps_frozen(job.setting.model):
            self.keeper = import_module(KEEPING).FrozenKeeper(job, self.clips)
            decisive = [*decisive, job.study.keep_models, *map(str, job.runs)]
        place = place_job(job, decisive, [KEEPING] if self.keeper else [])
        self.unfinished = UnfinishedJob(place, self.tables, self.keeper)
        # Without any layer, no run has clips, which is said when its clips are selected.
        self.candidates = list_candidates(job.settings, len(next(iter(layers.values())))) if layers else []
        self.layers, self.places = _keep_layers(layers, self.candidates)
        if job.settings.normalise not in ("train", "none"):
            for sentence in find_small_groups(self.clips.splits, layers, job.settings.normalise):
                logger.warning("%s", sentence)

    def complete(self) -> None:
        """Do all runs, and write their tables and the models that are kept."""
        _complete_runs(self.job, self.tables, self.unfinished, self._perform, self._keep_models)

    def fit_candidate(
        self, run: Run, candidate: Candidate, division: Division, vectors: Vectors, stack: Stack
    ) -> Fitted:
        """Fit a candidate and predict the clips asked about.

        Args:
            run: that it is for.
            candidate: what to fit.
            division: clips to fit to, and to predict.
            vectors: normalised layers of the clips of the division.
            stack: gives those to fit to and those to predict as arrays; they are copied at the first call.
        """
        # Contiguous: matrix products round otherwise, and a layer would not be the same in a list as alone.
        place = self.places[candidate.layer]
        train, asked = (np.ascontiguousarray(layers[:, place]) for layers in stack())
        machine = build_machine(candidate.settings)
        machine.fit(train, [self.clips.labels[name] for name in division.train])  # type: ignore[attr-defined]
        n_classes, dev = len(self.clips.outputs), None
        if division.number == 0 and division.dev:
            dev = _decide(machine, np.stack([vectors[name][place] for name in division.dev]), n_classes)
        return Fitted(_decide(machine, asked, n_classes), machine, dev=dev)

    def _perform(self, run: Run, part: RunClips) -> None:
        curve, score = Curve("stage2", self.job.setting.name(run)), None
        tested = self.divide_run(part)
        chosen = self.candidates[0]
        if len(self.candidates) > 1:
            divisions = divide(self.settings, run, part, tested.train, self.clips)
            chosen = choose(
                self.candidates, divisions, self.clips, curve,
                lambda candidates, division: [fitted.outputs for fitted in self.fit(run, candidates, division)],
            )  # fmt: skip
            score = next(row["value"] for row in curve.rows if row["best"])
        (fitted,) = self.fit(run, [chosen], tested)
        self.tables.add_predictions(run, part.test, fitted.outputs)
        dev = self.score_dev(fitted, tested)
        if fitted.curve is not None:
            curve.rows += fitted.curve.rows
        elif dev is not None:
            judged = Curve(curve.stage, curve.run)
            judged.add(0, "dev", {DEV_SCORE: dev})
            judged.mark_best(0)
            curve.rows += judged.rows
        if self.keeper:
            reading = self.describe_reading(run, chosen, tested.train)
            self.keeper.keep_run(run, part, fitted, reading, Chosen(chosen, score), dev)
        if curve.rows:
            self.tables.add_curve(run, curve)

    def divide_run(self, part: RunClips) -> Division:
        """Clips that a run is fitted to and tested on."""
        joined = self.settings.train_on_dev and self.job.setting.subset == "full"
        train = [*part.train, *part.dev] if joined else part.train
        return Division(0, train, [] if joined else part.dev, part.test["utterance_id"].to_list())

    def score_dev(self, fitted: Fitted, division: Division) -> float | None:
        """Score of what was fitted on the dev part of a division; None where that was trained on."""
        if fitted.curve is not None:
            return read_scores(fitted.curve.rows).get(fitted.curve.run)
        if fitted.dev is None:
            return None
        return self.clips.score(pl.DataFrame({"utterance_id": division.dev}), fitted.dev)

    def describe_reading(self, run: Run, chosen: Candidate, train: Sequence[str]) -> Reading:
        """How a candidate that was fitted to training clips reads the layers of any clip."""
        of_run = self.clips.splits.filter(partition=run.partition, fold=run.fold)
        place = None if chosen.layer is None else self.places[chosen.layer]
        read = slice(None) if place is None else slice(place, place + 1)
        numbers = [number for number in self.places if number is not None] if place is None else [chosen.layer or 0]
        statistics = None
        if self.settings.normalise == "train":
            (found,) = fit_statistics(self.layers, of_run, train, "train")
            statistics = Statistics([], found.mean[read], found.scale[read])
        return Reading(numbers, next(iter(self.layers.values())).shape[1], statistics)

    def _keep_models(self) -> None:
        if self.keeper:
            # The layers of all clips need not be held beside a backbone.
            self.layers = {}
            self.keeper.finish(self.job.models)

    def fit(self, run: Run, candidates: Sequence[Candidate], division: Division) -> Iterator[Fitted]:
        """Fit candidates, one after another, to a division, whose layers are normalised once."""
        of_run = self.clips.splits.filter(partition=run.partition, fold=run.fold)
        wanted = {*division.train, *division.dev, *division.asked}
        vectors = normalise_vectors(self.layers, of_run, division.train, self.settings.normalise, wanted)

        @cache
        def stack() -> list[np.ndarray]:
            return [np.stack([vectors[name] for name in names]) for names in (division.train, division.asked)]

        for candidate in candidates:
            yield self.fit_candidate(run, candidate, division, vectors, stack)


def complete_job(
    job: TaskJob, usable: Collection[str], predict: Callable[[Run, RunClips, LabelledClips], np.ndarray]
) -> None:
    """Do the runs of a job of a method that keeps no model and chooses nothing, and write their predictions.

    Args:
        job: on a task of classes.
        usable: utterances that have the input; others are left out and counted.
        predict: run, its clips and the task's -> (n_test, n_classes) logits of `RunClips.test`.
    """
    clips = load_clips(job, usable)
    tables = RunTables(job.setting, clips)

    def perform(run: Run, part: RunClips) -> None:
        tables.add_predictions(run, part.test, predict(run, part, clips))  # type: ignore[arg-type]

    _complete_runs(job, tables, UnfinishedJob(place_job(job), tables), perform)


def _complete_runs(
    job: TaskJob,
    tables: RunTables,
    unfinished: UnfinishedJob,
    perform: Callable[[Run, RunClips], None],
    keep: Callable[[], None] = lambda: None,
) -> None:
    unfinished.complete(job.runs, perform)
    job.models.mkdir(parents=True, exist_ok=True)
    keep()
    seal_folder(job.models)
    tables.write(job.output)
    unfinished.remove()


def read_frozen(job: TaskJob) -> Vectors:
    """What a frozen backbone gives for each clip of the job's task.

    Returns:
        Utterance -> (n_layers, width) float32; a vector of descriptors is one layer.
    """
    names = read_table(job.splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist()
    if job.config.adaptable:
        layers = read_layers(job.shards[name_kept("layers", job.backbone, job.start)], names)
        return layers if job.settings.branch is None else _take_branch(layers, job.config.branches, job.settings.branch)
    (feature,) = job.config.features
    return {name: vector[None] for name, vector in read_vectors(job.shards[feature], feature, names).items()}


def _take_branch(layers: Vectors, branches: Sequence[str], wanted: str) -> Vectors:
    """The part of each layer's width that belongs to a branch."""
    place, number = branches.index(wanted), len(branches)
    return {name: np.array_split(values, number, axis=1)[place] for name, values in layers.items()}


def _keep_layers(layers: Vectors, candidates: Sequence[Candidate]) -> tuple[Vectors, dict[int | None, int]]:
    """The layers that candidates read, and the place of each."""
    read = {candidate.layer for candidate in candidates}
    if None in read or not layers:
        return layers, {layer: layer for layer in range(len(next(iter(layers.values()), [])))}
    kept = sorted(layer for layer in read if layer is not None)
    return {name: values[kept] for name, values in layers.items()}, {layer: n for n, layer in enumerate(kept)}


def build_machine(settings: Any) -> Any:
    """The machine of a candidate's settings, not fitted."""
    weights = "balanced" if settings.class_weights == "balanced" else None
    with hidden("pandas"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import SVC
    if getattr(settings, "classifier", "svm") == "logistic":
        return LogisticRegression(C=settings.c, class_weight=weights, max_iter=2000)
    return SVC(
        C=settings.c, kernel=settings.kernel, gamma=settings.gamma, class_weight=weights, decision_function_shape="ovr"
    )


def _decide(machine: Any, vectors: np.ndarray, n_classes: int) -> np.ndarray:
    """(n, n_classes) log-probabilities or decision values; minus infinity of a class that had no clip to learn from."""
    values = _widen((getattr(machine, "predict_log_proba", None) or machine.decision_function)(vectors))
    if values.shape[1] == n_classes:
        return values
    known = np.full((len(values), n_classes), -np.inf)
    known[:, machine.classes_] = values
    return known


def _widen(values: np.ndarray) -> np.ndarray:
    """Decision values as (n, n_classes): of two classes, scikit-learn gives those of the second only."""
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values

"""Support vector machines and logistic regression on frozen vectors or layers. Without torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt import schema
from emoadapt.data.vectors import find_small_groups, normalise_vectors, read_layers, read_vectors
from emoadapt.machine.starting import hidden
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run, name_kept
from emoadapt.training.choices import Candidate, Division, choose, divide, list_candidates
from emoadapt.training.curve import Curve
from emoadapt.training.questions import load_clips
from emoadapt.training.runs import RunClips, RunTables
from emoadapt.training.unfinished import UnfinishedJob, place_job

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.labelled import LabelledClips

logger = logging.getLogger(__name__)

CONDITIONAL_LIBRARIES = ("sklearn",)

Vectors = dict[str, np.ndarray]
"""Utterance -> (n_layers, width) float32."""
Stack = Callable[[], Sequence[np.ndarray]]
"""Gives the layers of the clips to fit to and of the clips to predict, (n_clips, n_layers, width) each."""


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
    """

    def __init__(self, job: TaskJob) -> None:
        layers = read_frozen(job)
        self.job, self.settings = job, job.settings
        self.clips = load_clips(job, layers)
        self.tables = RunTables(job.setting, self.clips)
        self.unfinished = UnfinishedJob(place_job(job), self.tables)
        # Without any layer, no run has clips, which is said when its clips are selected.
        self.candidates = list_candidates(job.settings, len(next(iter(layers.values())))) if layers else []
        self.layers, self.places = _keep_layers(layers, self.candidates)
        if job.settings.normalise not in ("train", "none"):
            for sentence in find_small_groups(self.clips.splits, layers, job.settings.normalise):
                logger.warning("%s", sentence)

    def complete(self) -> None:
        """Do all runs, and write their tables."""
        _complete_runs(self.job, self.tables, self.unfinished, self._perform)

    def fit_candidate(
        self, run: Run, candidate: Candidate, division: Division, vectors: Vectors, stack: Stack
    ) -> tuple[np.ndarray, Curve | None]:
        """Fit a candidate and predict the clips asked about.

        Args:
            run: that it is for.
            candidate: what to fit.
            division: clips to fit to, and to predict.
            vectors: normalised layers of the clips of the division.
            stack: gives the same layers as arrays; they are copied at the first call.

        Returns:
            (n_asked, n_outputs) outputs, and the curve of a training by epochs.
        """
        # Contiguous: matrix products round otherwise, and a layer would not be the same in a list as alone.
        train, asked = (np.ascontiguousarray(layers[:, self.places[candidate.layer]]) for layers in stack())
        machine = build_machine(candidate.settings)
        machine.fit(train, [self.clips.labels[name] for name in division.train])  # type: ignore[attr-defined]
        return _decide(machine, asked, len(self.clips.outputs)), None

    def _perform(self, run: Run, part: RunClips) -> None:
        settings, curve = self.settings, Curve("stage2", self.job.setting.name(run))
        joined = settings.train_on_dev and self.job.setting.subset == "full"
        train = [*part.train, *part.dev] if joined else part.train
        chosen = self.candidates[0]
        if len(self.candidates) > 1:
            divisions = divide(settings, run, part, train, self.clips)
            chosen = choose(
                self.candidates, divisions, self.clips, curve,
                lambda candidates, division: [outputs for outputs, _ in self._fit(run, candidates, division)],
            )  # fmt: skip
        tested = Division(0, train, part.dev, part.test["utterance_id"].to_list())
        ((outputs, trained),) = self._fit(run, [chosen], tested)
        self.tables.add_predictions(run, part.test, outputs)
        curve.rows += trained.rows if trained else []
        if curve.rows:
            self.tables.add_curve(run, curve)

    def _fit(
        self, run: Run, candidates: Sequence[Candidate], division: Division
    ) -> list[tuple[np.ndarray, Curve | None]]:
        """Fit candidates to a division, whose layers are normalised once."""
        of_run = self.clips.splits.filter(partition=run.partition, fold=run.fold)
        wanted = {*division.train, *division.dev, *division.asked}
        vectors = normalise_vectors(self.layers, of_run, division.train, self.settings.normalise, wanted)

        @cache
        def stack() -> list[np.ndarray]:
            return [np.stack([vectors[name] for name in names]) for names in (division.train, division.asked)]

        return [self.fit_candidate(run, candidate, division, vectors, stack) for candidate in candidates]


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
    job: TaskJob, tables: RunTables, unfinished: UnfinishedJob, perform: Callable[[Run, RunClips], None]
) -> None:
    seal_folder(job.models)
    unfinished.complete(job.runs, perform)
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

"""Support vector machines and logistic regression on frozen vectors or layers. Without torch.

The layers of a job's clips lie in a scratch file. A machine reads one layer of all its clips at once. A training by epochs reads a batch
at a time, so that its memory does not grow with the number of clips.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from emoadapt import schema
from emoadapt.data.vector_file import VectorFile
from emoadapt.data.vectors import (
    Statistics,
    find_small_groups,
    fit_statistics,
    iterate_layers,
    normalise_file,
    read_vectors,
)
from emoadapt.errors import TrainingError
from emoadapt.machine.starting import hidden
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run
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

Frozen = Mapping[str, VectorFile]
"""Part of a fusion -> layers of clips; the only part of another backbone is `SINGLE`. A clip has the first part, and may lack others."""
SINGLE = "layers"
"""Name of the part of a backbone that joins no others."""

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
        further: modules that decide it besides the method's.
    """

    def __init__(self, job: TaskJob, decisive: Sequence[object] = (), further: Sequence[str] = ()) -> None:
        self.job, self.settings = job, job.settings
        self.layers = read_frozen(job)
        usable = next(iter(self.layers.values()))
        self.clips = load_clips(job, usable)
        self.tables = RunTables(job.setting, self.clips)
        self.keeper: FrozenKeeper | None = None
        if job.study.keeps_frozen(job.setting.model):
            self.keeper = import_module(KEEPING).FrozenKeeper(job, self.clips)
            decisive, further = [*decisive, job.study.keep_models, *map(str, job.runs)], [*further, KEEPING]
        place = place_job(job, decisive, further)
        self.unfinished = UnfinishedJob(place, self.tables, self.keeper)
        # Without any layer, no run has clips, which is said when its clips are selected.
        depth = max(found.shape[0] for found in self.layers.values())
        self.candidates = list_candidates(job.settings, depth) if usable else []
        if job.settings.normalise not in ("train", "none"):
            for sentence in find_small_groups(self.clips.splits, usable, job.settings.normalise):
                logger.warning("%s", sentence)

    def complete(self) -> None:
        """Do all runs, and write their tables and the models that are kept."""
        _complete_runs(self.job, self.tables, self.unfinished, self._perform, self._keep_models)

    def fit_candidate(self, run: Run, candidate: Candidate, division: Division, layers: Frozen) -> Fitted:
        """Fit a candidate and predict the clips asked about.

        Args:
            run: that it is for.
            candidate: what to fit.
            division: clips to fit to, and to predict.
            layers: what the candidate reads of these clips, normalised; a machine reads one layer.
        """
        (vectors,) = layers.values()
        machine = build_machine(candidate.settings)
        machine.fit(vectors.read(division.train)[:, 0], [self.clips.labels[name] for name in division.train])  # type: ignore[attr-defined]
        n_classes, dev = len(self.clips.outputs), None
        if division.number == 0 and division.dev:
            dev = _decide(machine, vectors.read(division.dev)[:, 0], n_classes)
        return Fitted(_decide(machine, vectors.read(division.asked)[:, 0], n_classes), machine, dev=dev)

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
        self._note_absent(run, tested)
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

    def _refuse_absent(self, run: Run, division: Division) -> None:
        """Refuse a division none of whose training clips has a part of a fusion, so that nothing can be learned of it.

        Raises:
            TrainingError: names the part.
        """
        inner = f" of inner division {division.number}" if division.number > 0 else ""
        for part, found in self.layers.items():
            if all(name not in found for name in division.train):
                raise TrainingError(
                    f"run {run}: no training clip{inner} has layers of part {part}; see `emoadapt quarantine`, or leave the part out"
                )

    def _note_absent(self, run: Run, division: Division) -> None:
        """Log how many clips lack a part of a fusion."""
        names = [*division.train, *division.dev, *division.asked]
        for part, found in self.layers.items():
            if lacking := sum(name not in found for name in names):
                logger.info(
                    "%s: %d of %d clips lack %s; a learned vector stands for it", run, lacking, len(names), part
                )

    def divide_run(self, part: RunClips) -> Division:
        """Clips that a run is fitted to and tested on."""
        joined = self.settings.train_on_dev and self.job.setting.subset == "full"
        train = [*part.train, *part.dev] if joined else part.train
        return Division(0, train, [] if joined else part.dev, part.test["utterance_id"].to_list())

    def score_dev(self, fitted: Fitted, division: Division) -> float | None:
        """Score on the dev part of a division; None where that part was trained on."""
        if fitted.curve is not None:
            return read_scores(fitted.curve.rows).get(fitted.curve.run)
        if fitted.dev is None:
            return None
        return self.clips.score(pl.DataFrame({"utterance_id": division.dev}), fitted.dev)

    def describe_reading(self, run: Run, chosen: Candidate, train: Sequence[str]) -> Reading:
        """How a fitted candidate reads the layers of any clip. The backbone joins no others."""
        of_run = self.clips.splits.filter(partition=run.partition, fold=run.fold)
        layers = self.layers[SINGLE].select(chosen.layer)
        numbers = range(layers.shape[0]) if chosen.layer is None else [chosen.layer]
        statistics = None
        if self.settings.normalise == "train":
            (found,) = fit_statistics(layers, of_run, train, "train")
            statistics = Statistics([], found.mean, found.scale)
        return Reading(numbers, layers.shape[1], statistics)

    def _keep_models(self) -> None:
        if self.keeper:
            self.keeper.finish(self.job.models)

    def fit(self, run: Run, candidates: Sequence[Candidate], division: Division) -> Iterator[Fitted]:
        """Fit candidates, one after another, to a division; those that follow each other and read the same layer share its normalisation."""
        self._refuse_absent(run, division)
        of_run = self.clips.splits.filter(partition=run.partition, fold=run.fold)
        wanted, scope = {*division.train, *division.dev, *division.asked}, self.settings.normalise
        for layer, group in groupby(candidates, key=lambda candidate: candidate.layer):
            layers = {
                part: normalise_file(found.select(layer), of_run, division.train, scope, wanted)
                for part, found in self.layers.items()
            }
            for candidate in group:
                yield self.fit_candidate(run, candidate, division, layers)


def complete_job(
    job: TaskJob,
    predict: Callable[[Run, RunClips, LabelledClips], np.ndarray],
    usable: Collection[str] | None = None,
) -> None:
    """Do the runs of a job of a method that keeps no model and chooses nothing, and write their predictions.

    Args:
        job: on a task of classes.
        predict: run, its clips and the task's -> (n_test, n_classes) logits of `RunClips.test`.
        usable: utterances that have the input; others are left out and counted. None: those that have what the backbone reads.
    """
    clips = load_clips(job, next(iter(read_frozen(job).values())) if usable is None else usable)
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


def read_frozen(job: TaskJob) -> Frozen:
    """What a frozen backbone, or each part of a fusion, gives for each clip of the job's task.

    Returns:
        Layers by part, in a scratch file each; a vector of descriptors is one layer.
    """
    names = read_table(job.splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist()
    sources = job.study.list_frozen(job.backbone, job.start)
    return {part: VectorFile.build(_iterate(job, source, names)) for part, source in sources.items()}


def _iterate(job: TaskJob, source: str, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Clips and their layers, (n_layers, width), of a kept output or a feature."""
    if "." not in source:
        for name, vector in read_vectors(job.shards[source], source, names).items():
            yield name, vector[None]
        return
    branches, wanted = job.config.branches, job.settings.branch
    for name, layers in iterate_layers(job.shards[source], names):
        # Each layer's width has a part for each branch.
        yield name, layers if wanted is None else np.array_split(layers, len(branches), 1)[branches.index(wanted)]


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

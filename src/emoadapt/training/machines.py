"""Support vector machines and logistic regression on vectors. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt import schema
from emoadapt.data.vectors import normalise_vectors, read_layers, read_vectors
from emoadapt.errors import TrainingError
from emoadapt.machine.starting import hidden
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run
from emoadapt.training.labelled import LabelledClips
from emoadapt.training.questions import load_clips
from emoadapt.training.runs import RunClips, RunTables
from emoadapt.training.scores import measure_macro_f1
from emoadapt.training.unfinished import UnfinishedJob, place_job

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

CONDITIONAL_LIBRARIES = ("sklearn",)

Vectors = dict[str, np.ndarray]
"""Utterance -> (dimension,) float32."""


def fit_machines(job: TaskJob) -> None:
    """Fit a support vector machine once per run and predict the run's test clips.

    Nothing is chosen on the dev part. There is no epoch: the tables of embeddings and curves are empty. A job that was killed
    continues with the run that it was in.

    Args:
        job: its settings are of `methods.svm`. The logits of its predictions are the decision values of one class against the
            rest, which rank classes and are no log-probabilities.

    Raises:
        TrainingError: a part has no clips, or a class has no training clip.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
    """
    settings = job.settings
    vectors = pick_layer(read_frozen(job), settings.layer)

    def predict(run: Run, part: RunClips, clips: LabelledClips) -> np.ndarray:
        train = [*part.train, *(part.dev if settings.train_on_dev and job.setting.subset == "full" else [])]
        fitted = _fit(_build_machine(job), clips, train, vectors, run, settings.normalise)
        return _widen(fitted(part.test["utterance_id"].to_list()))

    complete_job(job, vectors, predict)


def fit_logistic(job: TaskJob) -> None:
    """Fit multinomial logistic regression per run, on one layer or the best on dev.

    Args:
        job: its settings are of `methods.probe`; the logits of its predictions are log-probabilities.

    Raises:
        As `fit_machines`.
    """
    settings = job.settings
    layers = read_frozen(job)
    depth = next(iter(layers.values())).shape[0] if layers else 0
    tried = range(depth) if settings.layers == "best" else [settings.layers]
    candidates = [pick_layer(layers, layer) for layer in tried]

    def predict(run: Run, part: RunClips, clips: LabelledClips) -> np.ndarray:
        dev = np.array([clips.labels[name] for name in part.dev])
        best: tuple[float, np.ndarray] | None = None
        for vectors in candidates:
            fitted = _fit(_build_logistic(job), clips, part.train, vectors, run, settings.normalise)
            score = measure_macro_f1(fitted(part.dev), dev)
            if best is None or score > best[0]:
                best = score, fitted(part.test["utterance_id"].to_list())
        assert best is not None  # a run has clips, so that there are layers
        return best[1]

    complete_job(job, layers, predict)


def read_frozen(job: TaskJob) -> Vectors:
    """What a frozen backbone gives for each clip of the job's task.

    Returns:
        Utterance -> (n_layers, width) float32; a vector of descriptors is one layer.
    """
    names = read_table(job.splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist()
    if job.config.adaptable:
        return read_layers(job.shards["layers"], names)
    (feature,) = job.config.features
    return {name: vector[None] for name, vector in read_vectors(job.shards[feature], feature, names).items()}


def pick_layer(layers: Vectors, layer: int | str) -> Vectors:
    """One layer of each clip.

    Args:
        layers: utterance -> (n_layers, width).
        layer: its number, or `last`.

    Raises:
        TrainingError: there are fewer layers.
    """
    if not layers:
        return {}
    depth = next(iter(layers.values())).shape[0]
    place = depth - 1 if layer == "last" else int(layer)
    if place >= depth:
        raise TrainingError(f"the backbone has no layer {place}; choose one from 0 to {depth - 1}")
    return {name: values[place] for name, values in layers.items()}


def complete_job(job: TaskJob, usable: Vectors, predict: Callable[[Run, RunClips, LabelledClips], np.ndarray]) -> None:
    """Do the runs of a job that keeps no model, and write their predictions.

    Args:
        job: on a task of classes.
        usable: utterances that have the input; others are left out and counted.
        predict: run, its clips and the task's -> (n_test, n_classes) logits of `RunClips.test`.
    """
    clips = load_clips(job, usable)
    tables = RunTables(job.setting, clips)
    unfinished = UnfinishedJob(place_job(job), tables)
    seal_folder(job.models)

    def perform(run: Run, part: RunClips) -> None:
        tables.add_predictions(run, part.test, predict(run, part, clips))

    unfinished.complete(job.runs, perform)
    tables.write(job.output)
    unfinished.remove()


def _fit(
    machine: Any, clips: LabelledClips, train: Sequence[str], vectors: Vectors, run: Run, scope: Any
) -> Callable[[Sequence[str]], np.ndarray]:
    """Fit a machine to the vectors of `train`, normalised for the run; returns what gives (n, n_classes) values of clips."""
    of_run = clips.splits.filter(partition=run.partition, fold=run.fold)
    normalised = normalise_vectors(vectors, of_run, train, scope)
    machine.fit(np.stack([normalised[name] for name in train]), [clips.labels[name] for name in train])
    decide = getattr(machine, "predict_log_proba", None) or machine.decision_function
    return lambda names: decide(np.stack([normalised[name] for name in names]))


def _build_machine(job: TaskJob) -> Any:
    with hidden("pandas"):
        from sklearn.svm import SVC

    settings = job.settings
    weights = "balanced" if settings.class_weights == "balanced" else None
    return SVC(
        C=settings.c, kernel=settings.kernel, gamma=settings.gamma, class_weight=weights, decision_function_shape="ovr"
    )


def _build_logistic(job: TaskJob) -> Any:
    with hidden("pandas"):
        from sklearn.linear_model import LogisticRegression

    weights = "balanced" if job.settings.class_weights == "balanced" else None
    return LogisticRegression(C=job.settings.c, class_weight=weights, max_iter=2000)


def _widen(values: np.ndarray) -> np.ndarray:
    """Decision values as (n, n_classes): of two classes, scikit-learn gives those of the second only."""
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values

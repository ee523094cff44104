"""The classical baseline: a support vector machine on functionals of acoustic descriptors.

The system that INTERSPEECH's ComParE challenges have set beside every new one since 2009 (Schuller et al. 2009, 2016):
openSMILE functionals, z-scored, into an SVM. It is deterministic, so that there is one run per draw and fold, whatever the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.svm import SVC

from emoadapt.errors import TrainingError
from emoadapt.training.classification import LabelledClips
from emoadapt.training.runs import Partition, RunKey, RunTables, Setting
from emoadapt.training.unfinished import UnfinishedJob, place_job
from emoadapt.training.vectors import normalise_vectors, read_vectors

if TYPE_CHECKING:
    from emoadapt.config import ClassicalBaseline, Study


def train_classical(
    study: Study,
    task: str,
    subset: str,
    runs: Sequence[RunKey],
    shards: Mapping[str, Sequence[Path]],
    splits: Path,
    subsets: Path,
    predictions: Path,
    embeddings: Path,
    curves: Path,
    models: Path,
) -> None:
    """Fit the machine once per (resampling, fold) and predict the fold's test clips.

    Nothing is chosen on the dev part. There is no backbone and no epoch: the tables of embeddings and curves are empty. A job
    that was killed continues with the run that it was in.

    Args:
        study: the configuration, with `finetuning.classical`.
        task: which of its tasks; one with classes.
        subset: number of training clips, or `full`.
        runs: (resampling, fold, seed) triples.
        shards: corpus -> shards of the descriptors, of the task's corpus and of `test_also`.
        splits: SPLITS table.
        subsets: SUBSETS table.
        predictions: PREDICTIONS table to write. Its logits are the decision values of one class against the rest, which rank
            classes and are no log-probabilities.
        embeddings: EMBEDDINGS table to write.
        curves: CURVES table to write.
        models: folder for fine-tuned models, of which there are none; beside it is what a killed job leaves.

    Raises:
        TrainingError: a part has no clips, or a class has no training clip.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
    """
    config = study.finetuning.classical
    if config is None:
        raise TrainingError("this study has no classical baseline; set finetuning.classical")
    clips = LabelledClips(splits, subsets, study.tasks[task].classes, ())
    clips.usable = vectors = read_vectors(shards, config.features, clips.splits["utterance_id"].to_list())
    tables = RunTables(Setting(task, "handcrafted", "classical", subset), clips)
    inputs = [splits, subsets, *(path for paths in shards.values() for path in paths)]
    settings = [config.model_dump_json()]
    unfinished = UnfinishedJob(place_job(study, tables.setting, settings, [__name__], inputs, models), tables)

    def perform(run: RunKey, part: Partition) -> None:
        train = [*part.train, *(part.dev if config.train_on_dev and subset == "full" else [])]
        of_fold = clips.splits.filter(fold=run[1])
        normalised = normalise_vectors(vectors, of_fold, train, config.normalise)
        tables.add_predictions(run, part.test, _predict(config, clips, train, part, normalised))

    unfinished.complete(runs, perform)
    tables.write(predictions, embeddings, curves)
    unfinished.remove()


def _predict(
    config: ClassicalBaseline,
    clips: LabelledClips,
    train: Sequence[str],
    part: Partition,
    vectors: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Decision values (n_test, n_classes) of a machine fitted to `train`, which has clips of every class."""
    labels = [clips.labels[name] for name in train]
    weights = "balanced" if config.class_weights == "balanced" else None
    machine = SVC(
        C=config.c, kernel=config.kernel, gamma=config.gamma, class_weight=weights, decision_function_shape="ovr"
    )
    machine.fit(np.stack([vectors[name] for name in train]), labels)
    values = machine.decision_function(np.stack([vectors[name] for name in part.test["utterance_id"]]))
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values

"""The handcrafted baseline: the z-scored eGeMAPS vector into the head that Stage 2 uses (G25, Sec. IV-A)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from emoadapt import schema
from emoadapt.data.batching import Batch, load_batches
from emoadapt.data.clips import Clip
from emoadapt.flow.store import read_table
from emoadapt.models.heads import Head, build_head
from emoadapt.training.classification import EmotionLearner, LabelledClips, RunKey, RunTables, Setting
from emoadapt.training.trainer import Curve, build_trainer, evaluate, train

if TYPE_CHECKING:
    from emoadapt.config import Finetuning, Study

HIDDEN = 768
"""Hidden units where the configuration names none: the width of the base-sized backbones the baseline stands beside."""


def train_handcrafted(
    study: Study,
    task: str,
    subset: str,
    runs: Sequence[RunKey],
    egemaps_shards: Mapping[str, Sequence[Path]],
    splits: Path,
    subsets: Path,
    predictions: Path,
    embeddings: Path,
    curves: Path,
    threads: int,
) -> None:
    """Train the baseline once per (resampling, fold, seed) and predict the fold's test clips.

    Vectors are z-scored with the mean and standard deviation of the run's own training clips. There is no backbone, so the
    embeddings table is empty.

    Args:
        study: the configuration.
        task: which of its tasks.
        subset: number of training clips, or `full`.
        runs: (resampling, fold, seed) triples.
        egemaps_shards: corpus -> EGEMAPS shards, of the task's corpus and of `test_also`.
        splits: SPLITS table.
        subsets: SUBSETS table.
        predictions: PREDICTIONS table to write.
        embeddings: EMBEDDINGS table to write.
        curves: CURVES table to write.
        threads: CPU threads.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        DataError: a table does not fit.
    """
    torch.set_num_threads(threads)
    classes = study.tasks[task].classes
    settings = study.finetuning.model_copy(
        update={"epochs": study.finetuning.egemaps_epochs, "learning_rate": study.finetuning.egemaps_learning_rate}
    )
    vectors = _read_vectors(egemaps_shards)
    clips = LabelledClips(splits, subsets, classes, vectors, soft=settings.targets == "soft")
    tables = RunTables(Setting(task, "handcrafted", "egemaps", subset), classes)
    with tempfile.TemporaryDirectory(prefix="emoadapt-") as scratch:
        for run in runs:
            _perform(run, study.device, settings, clips, vectors, tables, Path(scratch))
    tables.write(predictions, embeddings, curves, clips.count_left_out())


class HandcraftedModel(nn.Module):
    """Head on a vector: batch -> (vector, logits)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors (batch, 25) and logits (batch, n_classes)."""
        vectors = torch.stack(batch.audio)
        return vectors, self.head(vectors)


class VectorDataset(Dataset[Clip]):
    """z-scored vectors by (utterance, epoch).

    Args:
        vectors: utterance -> (dimension,) raw vector.
        train: utterances whose mean and standard deviation are used.
        clips: labels.
    """

    def __init__(self, vectors: Mapping[str, np.ndarray], train: Sequence[str], clips: LabelledClips) -> None:
        known = np.stack([vectors[name] for name in train]).astype(np.float64)
        std = known.std(axis=0)
        self.mean, self.std = known.mean(axis=0), np.where(std > 0, std, 1.0)
        self.vectors, self.clips = vectors, clips

    def __getitem__(self, key: tuple[str, int]) -> Clip:
        name, _ = key
        normalised = ((self.vectors[name] - self.mean) / self.std).astype(np.float32)
        return Clip(name, torch.from_numpy(normalised), self.clips.annotate(name))


def _perform(
    run: RunKey,
    device: str,
    settings: Finetuning,
    clips: LabelledClips,
    vectors: Mapping[str, np.ndarray],
    tables: RunTables,
    scratch: Path,
) -> None:
    *_, seed = run
    part = clips.select(run)
    dataset = VectorDataset(vectors, part.train, clips)
    head = build_head(settings.head, schema.EGEMAPS_LLD, settings.head_hidden or HIDDEN, len(clips.classes), seed)
    curve = Curve("stage2", tables.setting.name(run))
    weights = clips.weigh_classes(part.train) if settings.class_weights == "balanced" else None
    learner = EmotionLearner(HandcraftedModel(head), settings, curve, seed, weights)
    trainer = build_trainer(device, settings, scratch)
    test = part.test["utterance_id"].to_list()
    # All vectors are equally long: only the seed orders the batches.
    training, dev, testing = (
        load_batches(dataset, dict.fromkeys(names, 1), settings.batch_size, order)
        for names, order in ((part.train, seed), (part.dev, None), (test, None))
    )
    train(learner, trainer, training, dev)
    evaluate(learner, trainer, testing)
    tested = learner.take_tested()
    tables.add_predictions(run, part.test, np.stack([tested[name][1] for name in test]))
    tables.curves += curve.rows


def _read_vectors(shards: Mapping[str, Sequence[Path]]) -> dict[str, np.ndarray]:
    paths = [path for paths in shards.values() for path in paths]
    rows = read_table(paths, schema.EGEMAPS, ["utterance_id", "status", "egemaps"]).to_pylist()
    return {row["utterance_id"]: np.asarray(row["egemaps"], dtype=np.float32) for row in rows if row["status"] == "ok"}

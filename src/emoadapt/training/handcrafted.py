"""The handcrafted baseline: the z-scored eGeMAPS vector into the head that Stage 2 uses (G25, Sec. IV-A)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from emoadapt.data.batching import Batch, load_batches
from emoadapt.data.clips import Clip
from emoadapt.models.heads import Head
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.curve import Curve
from emoadapt.training.runs import Partition, RunKey, RunTables, Setting, TaskClips
from emoadapt.training.tasks import load_clips
from emoadapt.training.trainer import Trainer
from emoadapt.training.unfinished import UnfinishedJob, place_job
from emoadapt.training.vectors import normalise_vectors, read_vectors

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
    models: Path,
    threads: int,
) -> None:
    """Train the baseline once per (resampling, fold, seed) and predict the fold's test clips.

    Vectors are z-scored with statistics of the scope `egemaps_normalise`. There is no backbone, so the
    embeddings table is empty. It trains on the CPU in single precision, whatever `device` and `precision` say. A job that was
    killed continues as one of `emoadapt.training.stage2.finetune` does.

    Args:
        study: the configuration.
        task: which of its tasks.
        subset: number of training clips, or `full`.
        runs: (resampling, fold, seed) triples.
        egemaps_shards: corpus -> EGEMAPS shards, of the task's corpus and of `test_also`.
        splits: SPLITS table.
        subsets: SUBSETS table.
        predictions: PREDICTIONS or ATTRIBUTE_PREDICTIONS table to write.
        embeddings: EMBEDDINGS table to write.
        curves: CURVES table to write.
        models: folder for fine-tuned models, of which there are none; beside it is what a killed job leaves.
        threads: CPU threads.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
    """
    torch.set_num_threads(threads)
    given = study.finetuning
    # The job asks for no GPU, where half precision would be refused or only be emulated.
    changed = {"epochs": given.egemaps_epochs, "learning_rate": given.egemaps_learning_rate, "precision": "32-true"}
    settings = given.model_copy(update=changed)
    clips = load_clips(study, task, splits, subsets, ())
    clips.usable = vectors = read_vectors(egemaps_shards, "egemaps", clips.splits["utterance_id"].to_list())
    tables = RunTables(Setting(task, "handcrafted", "egemaps", subset), clips)
    inputs = [splits, subsets, *(path for paths in egemaps_shards.values() for path in paths)]
    read = settings.model_dump_json(exclude={"seeds"})
    unfinished = UnfinishedJob(place_job(study, tables.setting, [read], [__name__], inputs, models), tables)

    def perform(run: RunKey, part: Partition) -> None:
        place, minutes = unfinished.place_checkpoint(run), study.checkpoint_minutes
        state = Checkpoint(place, minutes, sparing=True, notice=unfinished.notice)
        _perform(run, part, settings, clips, vectors, tables, Trainer("cpu", settings, state))

    unfinished.complete(runs, perform)
    tables.write(predictions, embeddings, curves)
    unfinished.remove()


class HandcraftedModel(nn.Module):
    """Head on a vector: batch -> (vector, logits or values)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors (batch, 25) and outputs (batch, n_outputs)."""
        vectors = torch.stack(batch.audio)
        return vectors, self.head(vectors)


class VectorDataset(Dataset[Clip]):
    """z-scored vectors by (utterance, epoch).

    Args:
        vectors: utterance -> (dimension,) float32.
        clips: their targets.
    """

    def __init__(self, vectors: Mapping[str, np.ndarray], clips: TaskClips) -> None:
        self.vectors, self.clips = vectors, clips

    def __getitem__(self, key: tuple[str, int]) -> Clip:
        name, _ = key
        return Clip(name, torch.from_numpy(self.vectors[name]), self.clips.annotate(name))


def _perform(
    run: RunKey,
    part: Partition,
    settings: Finetuning,
    clips: TaskClips,
    vectors: Mapping[str, np.ndarray],
    tables: RunTables,
    trainer: Trainer,
) -> None:
    _, fold, seed = run
    of_fold = clips.splits.filter(fold=fold)
    dataset = VectorDataset(normalise_vectors(vectors, of_fold, part.train, settings.egemaps_normalise), clips)
    head = clips.build_head(settings, 25, settings.head_hidden or HIDDEN, seed, part.train)
    curve = Curve("stage2", tables.setting.name(run))
    learner = clips.build_learner(HandcraftedModel(head), settings, curve, seed, part.train)
    test = part.test["utterance_id"].to_list()
    # All vectors are equally long: only the seed orders the batches.
    training, dev, testing = (
        load_batches(dataset, dict.fromkeys(names, 1), settings.batch_size, order)
        for names, order in ((part.train, seed), (part.dev, None), (test, None))
    )
    trainer.train(learner, training, dev)
    trainer.test(learner, testing)
    tested = learner.take_tested()
    tables.add_predictions(run, part.test, np.stack([tested[name][1] for name in test]))
    tables.add_curve(run, curve)

"""Training of a head on frozen layers by epochs (SUPERB, Yang et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emoadapt.data.batching import Batch, load_batches
from emoadapt.data.clips import VectorDataset
from emoadapt.data.vectors import normalise_vectors
from emoadapt.errors import TrainingError
from emoadapt.layers.heads import Head
from emoadapt.storage.folders import seal_folder
from emoadapt.study.nodes import Run
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.curve import Curve
from emoadapt.training.learner import TestedLearner
from emoadapt.training.logs import open_logs
from emoadapt.training.machines import Vectors, pick_layer, read_frozen
from emoadapt.training.questions import load_clips
from emoadapt.training.runs import RunClips, RunTables, TaskClips
from emoadapt.training.trainer import BestWeights, Trainer
from emoadapt.training.unfinished import UnfinishedJob, place_job

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob


def probe(job: TaskJob) -> None:
    """Train a head on frozen layers once per run and predict the run's test clips.

    The backbone itself is not loaded: its layers, averaged over time, were computed once for each clip and kept. It trains on the
    CPU in single precision, whatever `device` and `precision` say. No model is kept. A job that was killed continues as one of
    `emoadapt.training.finetuning.finetune` does.

    Args:
        job: its settings are of `methods.probe`.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
    """
    torch.set_num_threads(job.threads)
    layers = read_frozen(job)
    clips = load_clips(job, layers)
    tables = RunTables(job.setting, clips)
    unfinished = UnfinishedJob(place_job(job), tables)
    seal_folder(job.models)
    probing = _Probing(job, layers, clips, tables, unfinished)
    unfinished.complete(job.runs, probing.perform)
    tables.write(job.output)
    unfinished.remove()


class LayerProbe(nn.Module):
    """A head on a convex mean of layers: batch -> (mean (batch, width), outputs (batch, n_outputs)).

    Args:
        n_layers: that it reads; the weights of several are learned, beginning with equal ones.
        head: on their mean.
    """

    def __init__(self, n_layers: int, head: Head) -> None:
        super().__init__()
        self.layer_weights = nn.Parameter(torch.zeros(n_layers)) if n_layers > 1 else None
        self.head = head

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean of the layers, and the head's outputs."""
        layers = batch.streams["layers"]
        if self.layer_weights is None:
            mean = layers[:, 0]
        else:
            mean = torch.einsum("l,blw->bw", self.layer_weights.softmax(dim=0), layers)
        return mean, self.head(mean)

    def note_state(self) -> dict[str, float]:
        """Weights of the layers, which sum to 1."""
        if self.layer_weights is None:
            return {}
        weights = self.layer_weights.detach().softmax(dim=0).tolist()
        return {f"layer_weight_{number:02d}": weight for number, weight in enumerate(weights)}


class _Probing:
    """The runs of one setting."""

    def __init__(
        self, job: TaskJob, layers: Vectors, clips: TaskClips, tables: RunTables, unfinished: UnfinishedJob
    ) -> None:
        self.job, self.clips, self.tables, self.unfinished = job, clips, tables, unfinished
        self.settings = job.settings.model_copy(update={"precision": "32-true"})
        self.inputs = self._choose(layers)

    def _choose(self, layers: Vectors) -> list[Vectors]:
        """The stacks of layers that are tried: one, or for `best` one for each layer."""
        wanted = self.settings.layers
        if wanted == "weighted":
            return [layers]
        depth = next(iter(layers.values())).shape[0] if layers else 0
        tried = range(depth) if wanted == "best" else [wanted]
        return [{name: values[None] for name, values in pick_layer(layers, layer).items()} for layer in tried]

    def perform(self, run: Run, part: RunClips) -> None:
        """Train and test a run; the layer with the best dev score counts, on a tie the first."""
        best: tuple[tuple[float, ...], TestedLearner, Curve] | None = None
        for number, layers in enumerate(self.inputs):
            trained, learner, curve = self._train(run, part, layers, number)
            if best is None or trained.score > best[0]:
                best = trained.score, learner, curve
        if best is None:
            raise TrainingError(f"{self.job.setting.name(run)}: no clip has layers; see `emoadapt quarantine`")
        tested = best[1].take_tested()
        outputs = np.stack([tested[name][1] for name in part.test["utterance_id"]])
        self.tables.add_predictions(run, part.test, outputs)
        self.tables.add_curve(run, best[2])

    def _train(
        self, run: Run, part: RunClips, layers: Vectors, number: int
    ) -> tuple[BestWeights, TestedLearner, Curve]:
        settings, clips = self.settings, self.clips
        of_run = clips.splits.filter(partition=run.partition, fold=run.fold)
        normalised = normalise_vectors(layers, of_run, part.train, settings.normalise)
        n_layers, width = normalised[part.train[0]].shape
        head = clips.build_head(settings, width, settings.head_hidden, run.seed, part.train)
        curve = Curve("stage2", self.job.setting.name(run))
        learner = clips.build_learner(LayerProbe(n_layers, head), settings, curve, run.seed, part.train)
        notice, minutes = self.unfinished.notice, self.job.study.checkpoint_minutes
        state = Checkpoint(self._place(run, number), minutes, sparing=True, notice=notice)
        trainer = Trainer("cpu", settings, state, open_logs(self.job.study.logs))
        dataset = VectorDataset(normalised, "layers", clips.annotate)

        def load(names: Sequence[str], seed: int | None = None) -> Any:
            return load_batches(dataset, dict.fromkeys(names, 1), settings.batch_size, seed)

        trained = trainer.train(learner, load(part.train, run.seed), load(part.dev))
        trainer.test(learner, load(part.test["utterance_id"].to_list()))
        return trained, learner, curve

    def _place(self, run: Run, number: int) -> Path:
        """Path of a run's checkpoint, one per layer."""
        place = self.unfinished.place_checkpoint(run)
        return place if len(self.inputs) == 1 else place.with_suffix(f".{number}.ckpt")

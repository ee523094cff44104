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
from emoadapt.layers.heads import Head
from emoadapt.study.nodes import Run
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.choices import Candidate, Division
from emoadapt.training.curve import Curve
from emoadapt.training.logs import open_logs
from emoadapt.training.machines import Fitted, FrozenTraining, Stack, Vectors
from emoadapt.training.trainer import Trainer

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob


def probe(job: TaskJob) -> None:
    """Train a head on frozen layers once per run and predict the run's test clips.

    The backbone itself is not loaded: its layers, averaged over time, were computed once for each clip and kept. It trains on the
    CPU in single precision, whatever `device` and `precision` say. A job that was killed continues as one of
    `emoadapt.training.finetuning.finetune` does.

    Args:
        job: its settings are of `methods.probe`.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
    """
    torch.set_num_threads(job.threads)
    Probing(job).complete()


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


class Probing(FrozenTraining):
    """The runs of a job of which some candidates are trained by epochs."""

    def fit_candidate(
        self, run: Run, candidate: Candidate, division: Division, vectors: Vectors, stack: Stack
    ) -> Fitted:
        """See `FrozenTraining`; the dev part chooses the epoch."""
        if not candidate.settings.by_epochs:
            return super().fit_candidate(run, candidate, division, vectors, stack)
        settings, clips = candidate.settings.model_copy(update={"precision": "32-true"}), self.clips
        inputs = vectors
        if candidate.layer is not None:
            place = self.places[candidate.layer]
            inputs = {name: values[place : place + 1] for name, values in vectors.items()}
        n_layers, width = inputs[division.train[0]].shape
        head = clips.build_head(settings, width, settings.head_hidden, run.seed, division.train)
        curve = Curve("stage2", self.job.setting.name(run))
        learner = clips.build_learner(LayerProbe(n_layers, head), settings, curve, run.seed, division.train)
        notice, minutes = self.unfinished.notice, self.job.study.checkpoint_minutes
        state = Checkpoint(self._place(run, candidate, division), minutes, sparing=True, notice=notice)
        # Of the combinations tried, the log of the one that counts is enough.
        trainer = Trainer("cpu", settings, state, open_logs(self.job.study.logs if division.number == 0 else ()))
        dataset = VectorDataset(inputs, "layers", clips.annotate)

        def load(names: Sequence[str], seed: int | None = None) -> Any:
            n_batches = None if seed is None else settings.epoch_batches
            return load_batches(dataset, dict.fromkeys(names, 1), settings.batch_size, seed, n_batches=n_batches)

        trainer.train(learner, load(division.train, run.seed), load(division.dev))

        def predict(names: Sequence[str]) -> np.ndarray:
            trainer.test(learner, load(names))
            tested = learner.take_tested()
            return np.stack([tested[name][1] for name in names])

        return Fitted(predict(division.asked), learner.model, curve)

    def _place(self, run: Run, candidate: Candidate, division: Division) -> Path:
        """Path of a checkpoint: one for each inner division and candidate, and one for the run itself."""
        place = self.unfinished.place_checkpoint(run)
        return place if division.number == 0 else place.with_suffix(f".{division.number}.{candidate.place}.ckpt")

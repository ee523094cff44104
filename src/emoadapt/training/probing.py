"""Training of a head on frozen layers by epochs (SUPERB, Yang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from emoadapt.training.machines import SINGLE, Fitted, Frozen, FrozenTraining
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

    Of several backbones the means stand side by side (Dutta & Ganapathy 2025, Sec. V-H), each with weights of its own. Where a clip lacks
    a backbone that is not the first, a learned vector stands for its mean; it begins with zeros.

    Args:
        shapes: (n_layers, width) by part, as in `machines.Frozen`; the weights of several layers are learned, beginning
            with equal ones.
        head: on the means.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], head: Head) -> None:
        super().__init__()
        self.names, self.head = tuple(shapes), head
        self.weighed = tuple(name for name, (n_layers, _) in shapes.items() if n_layers > 1)
        self.layer_weights = nn.ParameterList(torch.zeros(shapes[name][0]) for name in self.weighed)
        self.absent = nn.ParameterList(torch.zeros(shapes[name][1]) for name in self.names[1:])

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Means of the layers, and the head's outputs."""
        first, *others = (self._mix(name, batch.streams[name]) for name in self.names)  # type: ignore[arg-type]
        for place, name in enumerate(self.names[1:]):
            others[place] = torch.where(batch.present[name][:, None], others[place], self.absent[place])
        mean = torch.cat([first, *others], dim=1)
        return mean, self.head(mean)

    def share_layers(self, name: str = SINGLE) -> Tensor | None:
        """Weights of a backbone's layers, which sum to 1; None if it has one layer."""
        return self.layer_weights[self.weighed.index(name)].softmax(dim=0) if name in self.weighed else None

    def note_state(self) -> dict[str, float]:
        """Weights of the layers, which sum to 1 for each backbone."""
        return {
            f"layer_weight_{'' if name == SINGLE else f'{name}_'}{number:02d}": weight
            for name, own in zip(self.weighed, self.layer_weights, strict=True)
            for number, weight in enumerate(own.detach().softmax(dim=0).tolist())
        }

    def _mix(self, name: str, layers: Tensor) -> Tensor:
        """Convex mean of a backbone's layers (batch, n_layers, width) -> (batch, width)."""
        shares = self.share_layers(name)
        return layers[:, 0] if shares is None else torch.einsum("l,blw->bw", shares, layers)


class Probing(FrozenTraining):
    """The runs of a job of which some candidates are trained by epochs."""

    def fit_candidate(self, run: Run, candidate: Candidate, division: Division, layers: Frozen) -> Fitted:
        """See `FrozenTraining`; the dev part chooses the epoch."""
        if not candidate.settings.by_epochs:
            return super().fit_candidate(run, candidate, division, layers)
        settings, clips = candidate.settings.model_copy(update={"precision": "32-true"}), self.clips
        shapes = {part: found.shape for part, found in layers.items()}
        width = sum(each for _, each in shapes.values())
        head = clips.build_head(settings, width, settings.head_hidden, run.seed, division.train)
        curve = Curve("stage2", self.job.setting.name(run))
        learner = clips.build_learner(LayerProbe(shapes, head), settings, curve, run.seed, division.train)
        notice, minutes = self.unfinished.notice, self.job.study.checkpoint_minutes
        state = Checkpoint(self._place(run, candidate, division), minutes, sparing=True, notice=notice)
        # Of the combinations tried, the log of the one that counts is enough.
        trainer = Trainer("cpu", settings, state, open_logs(self.job.study.logs if division.number == 0 else ()))
        dataset = VectorDataset(layers, clips.annotate)

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

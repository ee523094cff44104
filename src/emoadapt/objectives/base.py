"""Interface of a Stage-1 objective, and a shared regression.

An objective is a module here, or in the folder `objectives` of a study's own plug-ins, with

* `FEATURE`: name of the feature with its target, a literal; None: it has no target;
* `COLUMN`: name of that feature's column with the target, a literal; not where `FEATURE` is None;
* `LAYOUT = "frames"`, a literal, if that column holds frames, which are cropped with the input; may be left out for a vector;
* `KEEPS = True`, a literal, if it only keeps the model near its start, so that it alone would change nothing; may be left out;
* `Objective`: a subclass of the class of that name below, or without target of `Untargeted` or `Constraint`.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from emoadapt.errors import ConfigError
from emoadapt.plugins import load_plugin, read_declaration
from emoadapt.poolings.base import mask_frames, mean_frames

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.config import Features
    from emoadapt.data.batching import Batch
    from emoadapt.layers.trainable import TrainableBackbone

Reduction = Literal["mean", "sum"]
Preview = Callable[[], Iterable["Batch"]]
"""Batches of training clips, at most some thousand, the same at each call."""


def load_objective(name: str) -> Objective:
    """Load an objective with a target by name.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    return _load(name, Objective)


def load_untargeted(name: str) -> Untargeted:
    """Load an objective without target by name.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    found = _load(name, Untargeted)
    if isinstance(found, Constraint) != bool(read_declaration("objectives", name, "KEEPS")):
        raise ConfigError(
            f"objective {name} cannot be used: `KEEPS = True` is for a `Constraint`, which only keeps the model near its start; declare "
            "both or neither; see docs/add-an-objective.md"
        )
    return found


def _load(name: str, kind: type) -> Any:
    module = load_plugin("objectives", name)
    try:
        found = module.Objective()
    except (AttributeError, TypeError) as error:
        raise ConfigError(f"objective {name} cannot be used ({error}); see docs/add-an-objective.md") from error
    if not isinstance(found, kind):
        target = "has no target (FEATURE is None)" if kind is Untargeted else "has a target (FEATURE)"
        raise ConfigError(
            f"objective {name} cannot be used: it {target}, so that its class must extend `{kind.__name__}`; see docs/add-an-objective.md"
        )
    return found


@dataclass
class Outputs:
    """Outputs of a backbone for a batch. Each is computed when it is first read, and once.

    Args:
        backbone: as it stands.
        batch: what it reads.
        step: steps of the optimiser that are done.
        every: whether `states` are those of all layers, and not of the last one alone.
        read: makes of `states` what `embedding` pools, (batch, n_frames, hidden_width).
    """

    backbone: TrainableBackbone
    batch: Batch
    step: int = 0
    every: bool = True
    read: Callable[[Sequence[Tensor]], Tensor] | None = None

    @cached_property
    def signals(self) -> tuple[Tensor, Tensor]:
        """Front end's frames (batch, n_frames, ...), and the clips' frame counts (batch,)."""
        return self.backbone.run_front_end(self.batch)

    @cached_property
    def states(self) -> Sequence[Tensor]:
        """The layers' input and each layer's output, or the last one alone, (batch, n_frames, hidden_width) each."""
        return self.backbone.encode_layers(*self.signals, self.batch.draws, every=self.every)

    @cached_property
    def embedding(self) -> Tensor:
        """Pooled embeddings (batch, width) float32, which heads read."""
        return self.backbone.pool((self.read or self.backbone.read)(self.states), self.signals[1])

    def take(self, branch: str) -> tuple[Tensor, Tensor]:
        """Frames of a branch in the layer that heads read, (batch, n_frames, width), and the number of frames of each clip, (batch,).

        If the backbone has no such branch, the frames are those of the whole layer.
        """
        state = (self.read or self.backbone.read)(self.states)
        return self.backbone.take_branch(state, branch), self.signals[1]

    @property
    def n_clips(self) -> Tensor:
        """Number of clips, a scalar on the device."""
        return torch.full_like(self.signals[1].sum(), len(self.batch.utterance_ids))

    @property
    def keys(self) -> list[list[int]]:
        """One key for `numpy.random.default_rng` per clip, for what an objective draws.

        It follows from seed, epoch and utterance in training, from the utterance alone in evaluation: a loss on held-out clips is
        then of the same draws in every epoch.
        """
        return self.batch.draws or [[zlib.crc32(name.encode())] for name in self.batch.utterance_ids]


@dataclass(frozen=True)
class Measured:
    """Loss of an objective without target.

    Args:
        loss: scalar, a mean.
        weight: number of clips, or of frames, that it is the mean over, a scalar; losses of batches are averaged with it.
        scores: name -> mean over the same, for the curve of held-out clips.
    """

    loss: Tensor
    weight: Tensor
    scores: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """One Stage-1 objective."""

    normalised: ClassVar[bool]
    """Whether targets are z-scored with the saved normaliser."""
    centre: ClassVar[Literal["mean", "median"]] = "mean"
    """What becomes 0 of a normalised target: the mean over the training part, or its median."""
    branch: ClassVar[str | None] = None
    """Branch of the backbone whose frames it reads (`config.backbones.Backbone.branches`); all frames if the backbone has no such branch.
    None: it reads the pooled embedding."""
    headless: ClassVar[bool] = False
    """Whether it compares what it reads with the target itself; a linear layer is added only if the dimensions differ."""

    def select(self, raw: np.ndarray) -> np.ndarray:
        """The target, (dimension,), in a row of the feature's column: all of it."""
        return raw

    def head(self, width: int, dimension: int) -> nn.Module:
        """The prediction head: a linear layer from the pooled embedding, or from a branch, to the target; see `headless`."""
        return nn.Identity() if self.headless and width == dimension else nn.Linear(width, dimension)

    def classify(self, target: Tensor) -> Tensor | None:
        """Classes (n, n_tasks) of targets (n, dimension), counted from 0; None where they are no classes."""
        return None

    def predict(self, outputs: Outputs, head: nn.Module) -> Tensor:
        """Prediction of the target, (batch, dimension) float32: the head's output for the pooled embedding.

        An objective with a `branch` reads the mean over time of the branch's frames instead.
        """
        pooled = outputs.embedding if self.branch is None else mean_frames(*outputs.take(self.branch))
        return head(pooled).float()

    def find_target(self, name: str, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Target of a batch, (batch, dimension), and which clips have one, (batch,) boolean; `name` is the objective's own."""
        values = outputs.batch.values
        return values[f"target_{name}"], values[f"mask_{name}"]

    def count(self, mask: Tensor) -> Tensor:
        """Number of clips that have the target, a scalar."""
        return mask.sum()

    def collect(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """Tensors of a batch that `metrics` needs: here both. Those of all batches are concatenated along the first axis."""
        return prediction, target

    def name_engine(self, features: Features) -> str:
        """Name the engine that computes the targets, for the model card."""
        return "unknown"

    def loss(self, prediction: Tensor, target: Tensor, mask: Tensor, reduction: Reduction) -> Tensor:
        """Mean loss over the clips that have the target. `Adaptation.mean_over` decides its weight in the total.

        Args:
            prediction: (batch, dimension) output of the head.
            target: (batch, dimension); rows of clips without it are ignored.
            mask: (batch,) boolean, True where the target is there.
            reduction: over the dimensions of a target of several numbers.

        Returns:
            Scalar; 0, with a gradient of zeros, when no clip of the batch has the target.
        """
        if not bool(mask.any()):
            return prediction.float().sum() * 0.0
        return self.clip_losses(prediction[mask].float(), target[mask].float(), reduction).mean()

    @abstractmethod
    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
        """Loss of each clip: (n, dimension), (n, dimension) -> (n,)."""

    @abstractmethod
    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Scores over a whole part, name -> value, of what `collect` gave; all clips given have the target."""


class Regression(Objective):
    """Squared error on a z-scored vector (G25, Eq. 1)."""

    normalised = True

    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
        """Mean or sum of the squared errors over dimensions."""
        errors = (prediction - target).square()
        return errors.mean(dim=1) if reduction == "mean" else errors.sum(dim=1)

    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Concordance correlation coefficient (Lin 1989), mean over dimensions; 0 for a constant dimension."""
        prediction, target = prediction.double(), target.double()
        centred_prediction, centred_target = prediction - prediction.mean(0), target - target.mean(0)
        covariance = (centred_prediction * centred_target).mean(0)
        spread = centred_prediction.square().mean(0) + centred_target.square().mean(0)
        distance = (prediction.mean(0) - target.mean(0)).square()
        ccc = 2 * covariance / (spread + distance)
        return {"ccc": float(torch.nan_to_num(ccc).mean())}


class Frames(Objective):
    """Squared error on a vector for each frame (Dutta & Ganapathy 2025, Eq. 2); its module declares `LAYOUT = "frames"`.

    Each frame of the backbone has a target frame of the same time. The loss of a clip is the mean over its frames.
    """

    normalised = False

    def scale(self, frames: np.ndarray) -> np.ndarray:
        """Scale the target frames of a clip, (n_frames, dimension), by their own statistics; by default not at all."""
        return frames

    def predict(self, outputs: Outputs, head: nn.Module) -> Tensor:
        """(batch, n_frames, dimension) float32: the head's output for each frame of the branch."""
        return head(outputs.take(self.branch or "")[0]).float()

    def find_target(self, name: str, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Target (batch, n_frames, dimension) and mask (batch, n_frames).

        The mask is False beyond the end of a clip's frames or of its targets, and for a clip without target.
        """
        batch, (frames, lengths) = outputs.batch, outputs.take(self.branch or "")
        role, n_frames = name_role(name), frames.shape[1]
        target = batch.streams[role][:, :n_frames].float()
        target = nn.functional.pad(target, (0, 0, 0, n_frames - target.shape[1]))
        valid = mask_frames(torch.minimum(lengths, batch.lengths[role]), n_frames)
        return target, valid & batch.present[role][:, None]

    def count(self, mask: Tensor) -> Tensor:
        """Number of clips with a frame that has a target."""
        return mask.any(dim=1).sum()

    def loss(self, prediction: Tensor, target: Tensor, mask: Tensor, reduction: Reduction) -> Tensor:
        """Mean over clips of the mean over their frames; arguments as `find_target` gives them."""
        there = mask.any(dim=1)
        if not bool(there.any()):
            return prediction.float().sum() * 0.0
        errors = torch.where(mask[..., None], prediction.float() - target, 0.0).square()
        sizes = errors.mean(dim=2) if reduction == "mean" else errors.sum(dim=2)
        return (sizes.sum(dim=1)[there] / mask.sum(dim=1)[there]).mean()

    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
        """Not defined: see `loss`.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{type(self).__name__} has a loss for each frame, not for each clip; call loss")

    def collect(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """(1, 6, dimension) double: number of frames, sums of both, of both squared, and of their product."""
        prediction, target = prediction.double(), target.double()
        parts = (torch.ones_like(target), prediction, target, prediction.square(), target.square(), prediction * target)
        return (torch.stack([part.sum(dim=0) for part in parts])[None],)

    def metrics(self, *collected: Tensor) -> dict[str, float]:
        """Concordance correlation coefficient over all frames, as `Regression.metrics`; none without frames."""
        number, *sums = collected[0].sum(dim=0)
        if not bool(number.any()):
            return {}
        prediction, target, squared, of_target, product = (part / number for part in sums)
        spread = squared - prediction.square() + of_target - target.square() + (prediction - target).square()
        ccc = 2 * (product - prediction * target) / spread
        return {"ccc": float(torch.nan_to_num(ccc).mean())}


def name_role(objective: str) -> str:
    """Role of the stream of an objective's target frames."""
    return f"target_{objective}"


class Level(Objective):
    """Classification of numbers as above or below a threshold, by binary cross-entropy.

    The threshold of each number is `centre`, the mean (G22) or the median (G25, text to Fig. 4), over the training part.
    """

    normalised = True

    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
        """Mean or sum of the binary cross-entropies of a clip's numbers."""
        above = (target > 0).float()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(prediction, above, reduction="none")
        return losses.mean(dim=1) if reduction == "mean" else losses.sum(dim=1)

    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """As `count_hits`."""
        return count_hits(self.classify(prediction), self.classify(target))

    def classify(self, target: Tensor) -> Tensor:
        """1 above the threshold, else 0, for each number."""
        return (target > 0).long()


class Classes(Objective):
    """Classification by cross-entropy against the arg-max of a vector with one number a class."""

    normalised = False

    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
        """Cross-entropy of each clip; `reduction` concerns several numbers only."""
        return torch.nn.functional.cross_entropy(prediction, target.argmax(dim=1), reduction="none")

    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """As `count_hits`."""
        return count_hits(self.classify(prediction), self.classify(target))

    def classify(self, target: Tensor) -> Tensor:
        """The class of the largest number."""
        return target.argmax(dim=1, keepdim=True)


def count_hits(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Share of clips whose class is predicted (`accuracy`), and of the most frequent class (`majority`).

    Args:
        predicted: (n, n_tasks) classes.
        true: (n, n_tasks) classes.

    Returns:
        Means over the tasks.
    """
    most = torch.stack([column.unique(return_counts=True)[1].max() for column in true.unbind(dim=1)])
    return {
        "accuracy": float((predicted == true).double().mean()),
        "majority": float(most.double().mean() / len(true)),
    }


class Untargeted(ABC):
    """An objective without target, which runs the backbone as it likes.

    Learned weights (`weighting`) leave its own as the study gives it. Stage 1 uses clips without any target too, unless it is a
    `Constraint`.
    """

    reads_layers: ClassVar[bool] = False
    """Whether it needs `Outputs.states` of all layers."""

    def begin(self, backbone: TrainableBackbone) -> None:
        """Look at the start; called once before training, also where a run continues.

        Raises:
            ModelError: it cannot be learned by this backbone.
        """
        return

    def look(self, clips: Preview) -> None:
        """Learn something of training clips; called once after `begin`, also where a run continues, and before `head`.

        What it finds and a continued run must not find anew, such as centres of clusters, belongs into the state of the head.
        """
        return

    def head(self, backbone: TrainableBackbone, seed: int) -> nn.Module | None:
        """What is trained besides the backbone, and saved among the heads: nothing.

        Args:
            backbone: as it starts.
            seed: of initial weights, which depend on nothing else.
        """
        return None

    @abstractmethod
    def measure(self, outputs: Outputs, head: Any) -> Measured:
        """Loss of a batch; `head` is that of `head`, in training or evaluation mode as the backbone is."""


class Constraint(Untargeted):
    """An objective without target that keeps the model near its start; its module declares `KEEPS = True`."""

    @abstractmethod
    def begin(self, backbone: TrainableBackbone) -> None:
        """Remember the start; called once before training, also where a run continues."""

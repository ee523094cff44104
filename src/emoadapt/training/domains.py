"""Training on a labelled source and an unlabelled target (Ahn et al. 2024, Sec. 3.1 and 4.2)."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.augmentations.base import Augmenter
from emoadapt.data.batching import AlternatingBatches, Batch, BucketedBatches, load_in_order
from emoadapt.data.clips import Annotate
from emoadapt.data.views import AUGMENTATION, ViewDataset, collate_views
from emoadapt.errors import TrainingError
from emoadapt.layers.heads import seeded
from emoadapt.layers.unlabelled import Projector, contrast, maximise_information
from emoadapt.study.nodes import Run
from emoadapt.training.finetuning import finetune
from emoadapt.training.runs import RunClips, TaskClips
from emoadapt.training.signals import StreamSignals
from emoadapt.training.terms import FurtherTerm
from emoadapt.training.totals import Term

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

logger = logging.getLogger(__name__)

CONTRASTIVE, INFORMATION, AUGMENTATION_TYPE = "contrastive", "information", "augmentation_type"


def adapt_to_target(job: TaskJob) -> None:
    """Fine-tune once per run on source and target in turn; see `training.finetuning.finetune`.

    Args:
        job: its settings are of `methods.domain`.

    Raises:
        TrainingError: the target has no usable clip to read, or as `finetune`.
    """
    finetune(job, partial(build_terms, job.settings), load_alternating)


def build_terms(settings: Any, run: Run, part: RunClips, clips: TaskClips, width: int) -> Sequence[FurtherTerm]:
    """Build the loss terms that need no labels, as `settings.objectives` lists them.

    Args:
        settings: section of `methods.domain`.
        run: run, whose seed decides the initial weights.
        part: clips of the run; not used.
        clips: clips of the task; not used.
        width: width of the embedding.
    """
    losses: dict[str, Any] = {
        CONTRASTIVE: lambda weight: ContrastiveTerm(weight, width, run.seed, settings.temperature),
        INFORMATION: lambda weight: InformationTerm(weight),
        AUGMENTATION_TYPE: lambda weight: AugmentationTerm(weight, width, len(settings.augment), run.seed),
    }
    return [build(settings.objectives[name]) for name, build in losses.items() if name in settings.objectives]


def load_alternating(run: Run, part: RunClips, signals: StreamSignals, settings: Any, annotate: Annotate) -> Any:
    """Load two views of each clip, of source and target in turn; see `training.terms.LoadTraining`.

    Raises:
        TrainingError: the target has no usable clip to read without labels.
    """
    if settings.target and not part.unlabelled:
        raise TrainingError(
            f"run {run}: the target has no usable clip to read without labels; see `emoadapt quarantine`"
        )
    target = part.unlabelled if settings.target else []
    bare = set(target)
    logger.info("run %s: %d labelled clips and %d clips without labels are read", run, len(part.train), len(target))
    seconds = None if settings.batch_seconds is None else settings.batch_seconds / 2  # of two views

    def order(names: Sequence[str]) -> BucketedBatches:
        return BucketedBatches(signals.measure(names, settings), settings.batch_size, run.seed, seconds)

    chains = [Augmenter([section]) for section in settings.augment]
    smaller = len(target) < len(part.train)
    batches = AlternatingBatches(
        order(part.train),
        order(target) if target else None,
        (
            len(chains) * (1 if smaller or not target else settings.duplicate),
            len(chains) * (settings.duplicate if smaller else 1),
        ),
        mixed=settings.alternate == "batches",
        n_batches=settings.epoch_batches,
    )
    clips = signals.open(lambda name: {} if name in bare else annotate(name), settings, run.seed)
    views = ViewDataset(clips, chains, run.seed, settings.token_cutoff)
    return load_in_order(views, batches, partial(collate_views, streams=clips.streams, seed=run.seed))


class _ViewTerm(FurtherTerm, ABC):
    """A loss on two views of each clip; batches without views, such as those of the dev part, do not have it."""

    def measure(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Term:
        """See `FurtherTerm`."""
        if AUGMENTATION not in batch.values:
            return Term(outputs.sum() * 0.0, outputs.new_zeros(()))
        return Term(self.compare(embedding, outputs, batch), outputs.new_tensor(len(outputs)))

    @abstractmethod
    def compare(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss of 2 n rows: the first views of n clips, then their second views."""


class ContrastiveTerm(_ViewTerm):
    """Contrastive loss: the two views of a clip against the other clips of the batch (Eq. 4 and 5).

    Args:
        weight: weight in the total loss.
        width: width of the embedding.
        seed: seed of the projector's initial weights.
        temperature: temperature of the softmax over cosine similarities.
    """

    def __init__(self, weight: float, width: int, seed: int, temperature: float) -> None:
        super().__init__(CONTRASTIVE, weight)
        self.temperature = temperature
        self.projector = Projector(width, seed=seed)

    def compare(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """See `contrast`.

        Raises:
            TrainingError: nothing before the embedding is trained.
        """
        if torch.is_grad_enabled() and not embedding.requires_grad:
            raise TrainingError(
                "the contrastive loss needs a backbone of which something is trained; give the backbone train_layers above 0, a "
                "pooling with weights or an embedding, or leave contrastive out of objectives"
            )
        first, second = self.projector(embedding).chunk(2)
        return contrast(first, second, self.temperature)


class InformationTerm(_ViewTerm):
    """Information maximisation of the task's own logits (Eq. 6).

    Args:
        weight: in the total.
    """

    def __init__(self, weight: float) -> None:
        super().__init__(INFORMATION, weight)

    def compare(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """See `maximise_information`."""
        return maximise_information(outputs)


class AugmentationTerm(_ViewTerm):
    """Cross-entropy of a linear layer that predicts which chain made a view (Eq. 7).

    Args:
        weight: weight in the total loss.
        width: width of the embedding.
        n_chains: number of chains.
        seed: seed of the layer's initial weights.
    """

    def __init__(self, weight: float, width: int, n_chains: int, seed: int) -> None:
        super().__init__(AUGMENTATION_TYPE, weight)
        with seeded(seed):
            self.layer = nn.Linear(width, n_chains)

    def compare(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over all views."""
        return nn.functional.cross_entropy(self.layer(embedding), batch.values[AUGMENTATION])

"""Further loss terms of a training on a task.

A method gives `training.finetuning.finetune` a function that builds them for each run. The engine adds them to the loss of the task,
trains their parameters along, and keeps these in checkpoints, but in no saved model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from emoadapt.data.batching import Batch
from emoadapt.study.nodes import Run
from emoadapt.training.totals import Term

if TYPE_CHECKING:
    from emoadapt.data.clips import Annotate
    from emoadapt.training.runs import RunClips, TaskClips
    from emoadapt.training.signals import Signals


class FurtherTerm(nn.Module, ABC):
    """A loss term beside that of the task.

    It is measured in training, and on the dev part too, where `training` is False. A batch without a clip that has the term gives a
    `Term` of weight 0. What is drawn must follow from torch's global generator, which is seeded for each batch, or from `Batch.draws`.

    Args:
        name: of the term in the curve (`loss_<name>`), and of the curve's part with what `summarise` gives.
        weight: in the total.
    """

    def __init__(self, name: str, weight: float) -> None:
        super().__init__()
        self.name, self.weight = name, weight

    @abstractmethod
    def measure(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Term:
        """Measure the term on a batch.

        Args:
            embedding: (batch, width) float32, pooled.
            outputs: (batch, n_outputs) float32, logits or values.
            batch: its `values` hold what `annotate` and the task give for each clip.
        """

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """Tensors that go with a clip of any part, of the same shape for each clip."""
        return {}

    def summarise(self) -> dict[str, float]:
        """What is known of the run before training, for the curve."""
        return {}

    def describe_clips(self, names: Sequence[str]) -> dict[str, Sequence[Any]]:
        """Columns of `schema.TRAINING_CLIPS` on training clips, in their order: `use`, and `residuals` if there are any."""
        return {}


BuildTerms = Callable[[Run, "RunClips", "TaskClips", int], Sequence[FurtherTerm]]
"""(run, its clips, those of the task, width of the embedding) -> further terms; their weights depend on the run's seed."""


LoadTraining = Callable[[Run, "RunClips", Any, Any, "Annotate"], Any]
"""(run, its clips, signals, settings, annotate) -> loader of the batches that the run trains on."""


def load_labelled(run: Run, part: RunClips, signals: Signals, settings: Any, annotate: Annotate) -> Any:
    """Load the labelled training clips, each once in a pass."""
    return signals.load(part.train, annotate, settings, run.seed)


def build_none(run: Run, part: RunClips, clips: TaskClips, width: int) -> Sequence[FurtherTerm]:
    """Build no further term."""
    return ()


def join_annotations(
    annotate: Callable[[str], dict[str, Tensor]], terms: Sequence[FurtherTerm], name: str
) -> Mapping[str, Tensor]:
    """Tensors of the task and of all terms that go with a clip."""
    found = annotate(name)
    for term in terms:
        found |= term.annotate(name)
    return found

"""Learners: a model, its losses, and the scores of its epochs."""

from __future__ import annotations

import logging
import time
import zlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emoadapt.data.batching import Batch
from emoadapt.machine.ranks import find_rank, gather
from emoadapt.training.curve import Curve
from emoadapt.training.guard import GradientGuard, check_loss
from emoadapt.training.late_checks import LateChecks
from emoadapt.training.totals import Sums, Term, Totals

if TYPE_CHECKING:
    from emoadapt.config import Optimisation
    from emoadapt.training.terms import FurtherTerm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0
"""How often an epoch is reported in the log."""


@dataclass
class Position:
    """How far a training has come.

    Args:
        epoch: epochs done.
        batch: batches of the epoch under way that are done.
        step: steps of the optimiser done.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0


class Learner(nn.Module):
    """A model that learns from batches; subclasses say what the loss terms are.

    Args:
        model: what is trained, and what `BestWeights` keeps.
        settings: optimiser, learning rate and its course.
        curve: collects losses and scores.
        part: name of the evaluated part: `held_out` or `dev`.
        seed: of dropout.
        weights: loss term -> weight in the total. The curve names a term `loss_<term>` if there is more than one.
    """

    def __init__(
        self, model: nn.Module, settings: Optimisation, curve: Curve, part: str, seed: int, weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.curve = curve
        self.part = part
        self.seed = seed
        self.weights = dict(weights)
        self.compared = list(self.weights)
        """Terms that are compared with the loss before training, which has no others."""
        self.position = Position()
        self.epochs = settings.epochs
        """Epochs that the training has; where it is as long as so many steps, the trainer counts them."""
        self.history: list[tuple[float, ...]] = []
        """Scores of the epochs done."""
        self.last = Sums({}, {}, torch.zeros(0), torch.zeros(0))
        """Of the last batch."""
        self.late = LateChecks()
        """Of losses and gradients that a GPU is still computing; the trainer settles them."""
        self.gradients = GradientGuard(skipping=settings.precision == "16-mixed", late=self.late)
        self._training, self._evaluation = Totals(self.weights), Totals(self.weights)
        self._kept: list[Any] = []
        self._begun = self._said = time.monotonic()
        self._done_before = 0
        self._anchor: tuple[nn.Parameter, ...] = ()

    # --- what subclasses say ---------------------------------------------------------------------------

    @abstractmethod
    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """Loss terms of a batch; with `keep`, also append to `_kept` what `rate` needs, tensors on the CPU."""

    @abstractmethod
    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """Scores of the part just evaluated, for the curve, and how good it is: the larger tuple wins.

        `_kept` then holds what `measure` kept, of all processes.
        """

    def combine(self, terms: Mapping[str, Term], total: Tensor) -> Tensor:
        """What is minimised: the weighted sum of the terms, unless a subclass learns the weights."""
        return total

    def settle(self) -> None:
        """Called after each step of the optimiser."""
        return

    def group_parameters(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser, without what is frozen.

        Those that a backbone trains with a learning rate of their own come last.
        """
        factors = getattr(getattr(self.model, "backbone", None), "list_factors", list)()
        own = {id(parameter) for _, parameters in factors for parameter in parameters}
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [
            {"params": [parameter for parameter in trained if id(parameter) not in own]},
            *({"params": parameters, "lr": factor * self.settings.learning_rate} for factor, parameters in factors),
        ]

    def note_state(self) -> dict[str, float]:
        """Log further values of the epoch in the curve's part `course`."""
        note = getattr(self.model, "note_state", None)
        return note() if note else {}

    def average_evaluation(self) -> dict[str, float]:
        """Losses of the evaluated part."""
        return self._evaluation.average()

    # --- what the trainer calls ------------------------------------------------------------------------

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Adam or AdamW; on a GPU as one kernel."""
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.settings.optimizer]
        found = self.settings
        settings: dict[str, Any] = {"lr": found.learning_rate, "weight_decay": found.weight_decay}
        settings |= {"betas": found.betas, "eps": found.epsilon}
        if self.device.type == "cuda":
            settings["fused"] = True
        return kind(self.group_parameters(), **settings)

    def begin_epoch(self) -> None:
        """Forget the sums of the last epoch; not called where an epoch is continued in its middle."""
        self._training = Totals(self.weights)

    def forward(self, batch: Batch, *, idle: bool = False) -> Tensor:
        """What is minimised of a batch.

        Args:
            batch: of the training part.
            idle: whether this process has no clip of its own in it, and stands in with another's.

        Raises:
            TrainingError: the loss is not finite, or has run away; on a GPU the next `late.settle` raises it.
        """
        self._seed_dropout()
        terms = self.measure(batch, keep=False)
        if idle:
            terms = {name: term.erase() for name, term in terms.items()}
        self.last = self._training.add(terms, self.device)
        self._check(batch, self.last, self.curve.before)
        terms = self.last.terms
        parts = [weight * terms[name].share * terms[name].mean for name, weight in self.weights.items()]
        self.gradients.utterances += batch.utterance_ids
        return self.combine(terms, torch.stack(parts).sum())

    def begin_evaluation(self) -> None:
        """Forget the last evaluation."""
        self._evaluation = Totals(self.weights)

    def evaluate_batch(self, batch: Batch, *, idle: bool = False) -> None:
        """Add a batch to the evaluation.

        Raises:
            TrainingError: the loss is not finite.
        """
        self._check(batch, self._evaluation.add({} if idle else self.measure(batch, keep=True), self.device), 0.0)

    def _check(self, batch: Batch, found: Sums, before: float) -> None:
        where, clips = self.where, batch.utterance_ids
        self.late.add(found.fetched, lambda: check_loss(where, clips, found.losses, found.add(self.compared), before))

    def end_evaluation(self, course: Mapping[str, float] | None) -> None:
        """Note the losses and scores of the part.

        Args:
            course: what varied in the training epoch before it, whose losses are noted too; None = before training.
        """
        self.late.settle()
        epoch = 0 if course is None else self.position.epoch + 1
        if course is not None:
            self.curve.add(epoch, "train", self.average_training())
            self.curve.add(epoch, "course", {**course, **self.note_state()})
        # First, as a loss may be one of the whole part, and a process may have had no clip of it.
        self._kept = gather(self._kept)
        losses = self.average_evaluation()
        scores, score = self.rate(losses)
        self._kept = []
        if course is not None:
            self.history.append(score)
        self.curve.add(epoch, self.part, losses | scores)
        self._report(epoch, losses | scores)

    def average_training(self) -> dict[str, float]:
        """Losses of the training epoch."""
        return self._training.average()

    def test_batch(self, batch: Batch) -> None:
        """Collect what a test is made for; learners that are never tested have nothing to collect."""
        raise TypeError(f"{type(self).__name__} has no test part")

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        if not self._anchor:
            # In a tuple, or it would be registered as a parameter again; a walk through all modules costs more than a small step.
            self._anchor = (next(self.parameters()),)
        return self._anchor[0].device

    @property
    def where(self) -> str:
        """Run and epoch, for messages."""
        return f"{self.curve.run}, epoch {self.position.epoch + 1}"

    def keep_state(self) -> dict[str, Any]:
        """What a checkpoint holds besides weights: position, curve, scores, and what the epoch under way has come to."""
        return {
            "position": asdict(self.position),
            "curve": self.curve.rows,
            "scores": [list(score) for score in self.history],
            "totals": self._training.rows if self.position.batch else [],
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Continue from what `keep_state` gave."""
        self.position = Position(**state["position"])
        self.curve.rows, self.history = state["curve"], [tuple(score) for score in state["scores"]]
        self._training = Totals(self.weights, [tuple(of_batch) for of_batch in state["totals"]])
        self._done_before = len(self.history)

    def _seed_dropout(self) -> None:
        """Dropout knows the global generator only; each process draws its own."""
        position = self.position
        parts = [self.seed, position.epoch, position.batch, *([find_rank()] if find_rank() else [])]
        # Not `torch.manual_seed`: it keeps a stack trace for each GPU back end that is not in use, 0.2 ms a batch.
        seed = zlib.crc32("/".join(map(str, parts)).encode())
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _report(self, epoch: int, values: Mapping[str, float]) -> None:
        """A line in the log for the first and the last epoch, and every ten seconds between."""
        now = time.monotonic()
        if epoch == 0:
            self._begun = self._said = now
        elif epoch in (1, self.epochs) or now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            shown = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
            left = (now - self._begun) / (epoch - self._done_before) * (self.epochs - epoch)
            logger.info(
                "%s: epoch %d of %d, %s: %s, about %.0f s left",
                self.curve.run, epoch, self.epochs, self.part, shown, left,
            )  # fmt: skip


class TestedLearner(Learner):
    """Learner that collects embeddings and outputs in tests.

    Its model returns (embedding (batch, width), outputs (batch, n_outputs)).

    Args:
        model: what is trained.
        settings: optimiser and learning rate.
        curve: collects losses and scores.
        seed: of dropout.
        weights: loss term of the task -> its weight in the total.
        terms: further loss terms, whose parameters are trained along.
    """

    __test__ = False
    """No test case, whatever pytest takes its name for."""

    def __init__(
        self,
        model: nn.Module,
        settings: Optimisation,
        curve: Curve,
        seed: int,
        weights: Mapping[str, float],
        terms: Sequence[FurtherTerm] = (),
    ) -> None:
        super().__init__(model, settings, curve, "dev", seed, {**weights, **{term.name: term.weight for term in terms}})
        self.compared = list(weights)
        self._further = tuple(terms)
        self.terms = nn.ModuleList(terms)
        self._tested: list[tuple[list[str], Tensor, Tensor]] = []

    @abstractmethod
    def measure_task(self, outputs: Tensor, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """Loss terms of the task, of float32 outputs (batch, n_outputs); `keep` as of `measure`."""

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """Loss terms of the task, and all further ones."""
        embedding, outputs = (values.float() for values in self.model(batch))
        found = self.measure_task(outputs, batch, keep=keep)
        return found | {term.name: term.measure(embedding, outputs, batch) for term in self._further}

    def group_parameters(self) -> list[dict[str, Any]]:
        """Parameters of the model, those of further terms among those with the full learning rate."""
        first, *others = super().group_parameters()
        return [first | {"params": [*first["params"], *self.terms.parameters()]}, *others]

    def choose(self, score: tuple[float, ...], losses: Mapping[str, float]) -> tuple[float, ...]:
        """Rank an epoch as the settings say: by score, by loss, or, where none is chosen, by its number."""
        if getattr(self.settings, "train_on_dev", False):
            return (float(self.position.epoch + 1),)
        return (-losses["loss"], *score) if getattr(self.settings, "select", "") == "loss" else score

    def test_batch(self, batch: Batch) -> None:
        """Collect embeddings and outputs."""
        embedding, outputs = self.model(batch)
        self._tested.append((batch.utterance_ids, embedding.float().cpu(), outputs.float().cpu()))

    def take_tested(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Utterance -> (embedding (width,), outputs (n_outputs,)) of what all processes have tested since the last call."""
        tested, self._tested = gather(self._tested), []
        return {
            name: (embedding, scores)
            for names, embeddings, outputs in tested
            for name, embedding, scores in zip(names, embeddings.numpy(), outputs.numpy(), strict=True)
        }

"""The training loop that all stages share.

All randomness is a function of the run's seed, the epoch and the batch, so a run that was killed and continues from its checkpoint
ends with the weights, bit for bit, of one that was not.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from emoadapt.data.batching import Batch, find_order
from emoadapt.layers.heads import seeded
from emoadapt.machine.ranks import count_ranks, find_rank
from emoadapt.machine.starting import collect_as_usual
from emoadapt.machine.torch_device import find_device
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.precision import Precision
from emoadapt.training.schedules import scale_rate
from emoadapt.training.watchers import ProgressBar, Watcher

if TYPE_CHECKING:
    from emoadapt.config import Optimisation
    from emoadapt.training.learner import Learner

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_BATCHES = 60.0
"""How often a batch within an epoch is reported, where no bar shows how far it has come."""


class BestWeights:
    """A copy of the model of the epoch with the largest `Learner.score`; the earlier one wins a tie."""

    def __init__(self) -> None:
        self.score: tuple[float, ...] = ()
        self.epoch = 0
        self.state: dict[str, Tensor] = {}

    def consider(self, epoch: int, score: tuple[float, ...], model: nn.Module) -> None:
        """Copy the weights if this epoch is better."""
        if score > self.score:
            self.score, self.epoch = score, epoch
            self.state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"score": list(self.score), "epoch": self.epoch, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.score, self.epoch, self.state = tuple(state["score"]), state["epoch"], state["state"]


class Trainer:
    """Trains one learner: deterministic, keeping the best weights.

    Args:
        device: `auto`, `cpu` or `cuda` of the study.
        settings: epochs, patience, precision, accumulation, gradient clipping.
        checkpoint: where the state is kept; None = only in memory.
        watchers: called at each step, such as logs.

    Raises:
        ConfigError: `cuda` is asked for and there is no GPU.
        TrainingError: `16-mixed` is asked for and there is no GPU.
    """

    def __init__(
        self,
        device: str,
        settings: Optimisation,
        checkpoint: Checkpoint | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.settings = settings
        gpu = find_device(device) == "cuda"
        self.device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
        self.precision = Precision(settings.precision, self.device)
        self.checkpoint = checkpoint or Checkpoint(None)
        self.best = BestWeights()
        self.bar = sys.stderr.isatty() and find_rank() == 0
        self.watchers = [*watchers, *([ProgressBar()] if self.bar else [])]

    def train(self, learner: Learner, training: Any, evaluation: Any) -> BestWeights:
        """Evaluate, train, and give the model its best weights back.

        A checkpoint that is whole in its place is continued.

        Args:
            learner: model and loss.
            training: loader of the training part.
            evaluation: loader of the part that chooses the epoch.

        Returns:
            Epoch, score and weights that the model has now.

        Raises:
            Interrupted: the cluster ended the job.
            TrainingError: a loss or a gradient is not finite, or the loss has run away.
        """
        collect_as_usual()
        with self._prepared(learner), seeded(learner.seed), self.checkpoint.notice.listening():
            optimizer = learner.build_optimizer()
            found = self.checkpoint.find()
            if found is None:
                self._evaluate(learner, evaluation)
            else:
                self._take_up(learner, optimizer, torch.load(found, map_location="cpu", weights_only=True))
            epochs = _Epochs(self, learner, optimizer, training, evaluation)
            with ExitStack() as closing:
                for watcher in self.watchers:
                    closing.callback(watcher.close)
                    watcher.begin_training(learner, optimizer, len(training))
                epochs.run()
        learner.model.load_state_dict(self.best.state)
        learner.curve.mark_best(self.best.epoch)
        return self.best

    def test(self, learner: Learner, loader: Any) -> None:
        """Give the batches of a loader to `learner.test_batch`.

        Raises:
            Interrupted: the cluster ended the job before training.
        """
        with self._prepared(learner):
            for batch, idle in self._read(learner, loader):
                for watcher in self.watchers:
                    watcher.begin_test_batch()
                if not idle:
                    learner.test_batch(batch)
                if not learner.history:
                    self.checkpoint.end_before_training(learner)

    def collect_state(self, learner: Learner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """All that a run needs to continue.

        Raises:
            TrainingError: the last step's gradient is not finite.
        """
        learner.late.settle()
        return {
            "learner": learner.keep_state(),
            "weights": learner.state_dict(),
            "optimizer": optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "best": self.best.state_dict(),
        }

    def _take_up(self, learner: Learner, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        learner.take_up(state["learner"])
        learner.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        self.best.load_state_dict(state["best"])

    def evaluate_epoch(self, learner: Learner, evaluation: Any, course: dict[str, float]) -> None:
        """Evaluate the epoch that was trained, and keep its weights if it is the best."""
        self._evaluate(learner, evaluation, course)
        self.best.consider(learner.position.epoch + 1, learner.history[-1], learner.model)

    def _evaluate(self, learner: Learner, loader: Any, course: dict[str, float] | None = None) -> None:
        learner.begin_evaluation()
        for batch, idle in self._read(learner, loader):
            learner.evaluate_batch(batch, idle=idle)
            if course is None:
                self.checkpoint.end_before_training(learner)
        learner.end_evaluation(course)

    def _read(self, learner: Learner, loader: Any) -> Iterator[tuple[Batch, bool]]:
        """Yield evaluation batches on the device, and whether this rank has no clip of its own."""
        learner.eval()
        order = find_order(loader)
        with torch.no_grad():
            for number, batch in enumerate(loader):
                with self.precision.autocast():
                    yield batch.to(self.device), order is not None and order.stands_in(number)

    @contextmanager
    def _prepared(self, learner: Learner) -> Iterator[None]:
        """With deterministic algorithms and the learner on the device, from which it comes back."""
        # What torch wants of cuBLAS; another value would be an error of every matrix product.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        # It would also fill every new tensor with NaN, a sixth of a small model's training time; nothing here reads memory
        # that was not written.
        torch.utils.deterministic.fill_uninitialized_memory = False
        learner.to(self.device)
        yield
        learner.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _Epochs:
    """The epochs of one training."""

    def __init__(
        self, trainer: Trainer, learner: Learner, optimizer: torch.optim.Optimizer, training: Any, evaluation: Any
    ) -> None:
        self.trainer, self.learner, self.optimizer = trainer, learner, optimizer
        self.training, self.evaluation = training, evaluation
        self.settings, self.n_batches, self.order = trainer.settings, len(training), find_order(training)
        steps_of_epoch = math.ceil(self.n_batches / self.settings.accumulate)
        self.n_steps = self.settings.steps or steps_of_epoch * self.settings.epochs
        learner.epochs = math.ceil(self.n_steps / steps_of_epoch)
        self.several = count_ranks() > 1
        # An objective's head, or the vector of masked frames, may have no part in a batch. Buffers are the same in all processes.
        self.model = (
            DistributedDataParallel(learner, find_unused_parameters=True, broadcast_buffers=False)
            if self.several
            else learner
        )
        self.parameters = list(learner.parameters())
        self._said = 0.0

    def run(self) -> None:
        """Train to the last epoch, or until patience ends."""
        if self.order is not None:
            logger.info(
                "%s: %d clips in %d batches, %.1f %% of them padding",
                self.learner.curve.run, len(self.order.utterances), len(self.order), 100 * self.order.padding_share,
            )  # fmt: skip
        position, checkpoint = self.learner.position, self.trainer.checkpoint
        while position.epoch < self.learner.epochs:
            self._train_epoch()
            position = self.learner.position
            course = {} if self._constant_rate else {"learning_rate": self.optimizer.param_groups[0]["lr"]}
            self.trainer.evaluate_epoch(self.learner, self.evaluation, course)
            for watcher in self.trainer.watchers:
                watcher.end_evaluation()
            position.epoch, position.batch = position.epoch + 1, 0
            if self._is_over():
                break
            checkpoint.end_epoch(self.learner, self._collect_state)
            for watcher in self.trainer.watchers:
                watcher.end_epoch()

    def _collect_state(self) -> dict[str, Any]:
        return self.trainer.collect_state(self.learner, self.optimizer)

    def _is_over(self) -> bool:
        """Whether the training ends; its state is then of no more use."""
        done, patience, best = self.learner.position.epoch, self.settings.patience, self.trainer.best.epoch
        if done == self.learner.epochs:
            return True
        if patience is None or done - best < patience:
            return False
        logger.info("%s: no epoch was better than %d, training ends with %d", self.learner.curve.run, best, done)
        return True

    def _train_epoch(self) -> None:
        learner, position, trainer = self.learner, self.learner.position, self.trainer
        learner.train()
        if position.batch == 0:
            learner.begin_epoch()
        if self.order is not None:
            self.order.set_epoch(position.epoch)
            self.order.skip = position.batch
        for watcher in trainer.watchers:
            watcher.begin_epoch()
        self._said = time.monotonic()
        for batch in self.training:
            for watcher in trainer.watchers:
                watcher.begin_batch()
            self._train_batch(batch.to(trainer.device))
            position.batch += 1
            self._report()
            for watcher in trainer.watchers:
                watcher.end_batch()
            if position.step == self.n_steps:
                break
            if position.batch % self.settings.accumulate == 0 and position.batch < self.n_batches:
                trainer.checkpoint.end_step(learner, self._collect_state, self.n_batches, resumable=bool(self.order))

    def _train_batch(self, batch: Batch) -> None:
        """Add the gradient of a batch, and step after the last of a group."""
        number, group = self.learner.position.batch, self.settings.accumulate
        # The last group of an epoch may have fewer batches.
        size = min(group, self.n_batches - number // group * group)
        first, last = number % group == 0, (number + 1) % group == 0 or number + 1 == self.n_batches
        idle = self.order is not None and self.order.stands_in(number)
        if first:
            self.optimizer.zero_grad()
        with self.model.no_sync() if self.several and not last else nullcontext():
            with self.trainer.precision.autocast():
                loss = self.model(batch, idle=idle)
            self.trainer.precision.backward(loss / size)
        # A GPU is busy with the backward pass meanwhile.
        self.learner.late.settle()
        if last:
            self._step()

    def _step(self) -> None:
        learner, precision, settings = self.learner, self.trainer.precision, self.settings
        precision.unscale(self.optimizer)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        learner.gradients.check(learner.where, gradients)
        if settings.gradient_clip is not None:
            # Learned weights of objectives have a gradient of their own, which the clipping leaves as it is.
            nn.utils.clip_grad_norm_(learner.model.parameters(), settings.gradient_clip)
        if not self._constant_rate:
            factor = scale_rate(settings, learner.position.step, self.n_steps, learner.history)
            for parameters in self.optimizer.param_groups:
                parameters.setdefault("initial_lr", parameters["lr"])
                parameters["lr"] = parameters["initial_lr"] * factor
        precision.step(self.optimizer)
        learner.settle()
        learner.position.step += 1

    def _report(self) -> None:
        """Log a line once a minute within an epoch, where no terminal shows a bar."""
        now = time.monotonic()
        if not self.trainer.bar and now - self._said > SECONDS_BETWEEN_BATCHES:
            self._said = now
            learner = self.learner
            logger.info(
                "%s: batch %d of %d, loss %.3f",
                learner.where, learner.position.batch, self.n_batches, learner.last.total,
            )  # fmt: skip

    @property
    def _constant_rate(self) -> bool:
        return self.settings.schedule == "constant" and not self.settings.warmup

"""The training loop that all stages share: one Lightning Trainer, one learner, curves, best weights.

All randomness is a function of the run's seed, the epoch and the batch, so a run that was killed and goes on from its checkpoint
ends with the weights, bit for bit, of one that was not.

Where several processes share each batch (`emoadapt.data.ranks`), losses, gradients and scores are those of the whole batch: sums
and counts go over all processes, not means over means.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from emoadapt.data.batching import Batch, find_order
from emoadapt.data.ranks import add_up, count_ranks, find_rank, gather
from emoadapt.errors import NO_GPU, TrainingError
from emoadapt.models.heads import seeded
from emoadapt.training.checkpoints import Checkpoint, Interrupted, Notice, explain_end
from emoadapt.training.guard import GradientGuard, check_loss
from emoadapt.training.logs import TrainingLog
from emoadapt.training.schedules import scale_rate

if TYPE_CHECKING:
    from emoadapt.config import Optimisation
    from emoadapt.models.backbones import SpeechBackbone


logger = logging.getLogger(__name__)

TINY = 1e-12
"""Stands for a number of clips of 0, which would be divided by."""

SECONDS_BETWEEN_LINES = 10.0
"""How often an epoch is reported in the log."""

SECONDS_BETWEEN_BATCHES = 60.0
"""How often a batch within an epoch is, where no bar shows how far it has come."""


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Args:
        mean: over `weight` clips of a batch.
        weight: how many clips of the batch have it.
        clips: how many it counts as the mean over in the total; those that lack it add 0. None: as many as have it.
    """

    mean: Tensor
    weight: Tensor
    clips: Tensor | None = None

    @property
    def spread(self) -> Tensor:
        """The clips that its sum is divided by in the total."""
        return self.weight if self.clips is None else self.clips

    @property
    def share(self) -> Tensor:
        """Of the clips of the total, those that have it; 0 where there are none."""
        return self.weight / self.spread.clamp_min(TINY)


@dataclass
class Curve:
    """Values by epoch of one run; rows of CURVES."""

    stage: str
    run: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, epoch: int, part: str, values: Mapping[str, float]) -> None:
        """Note the values of an epoch (0 = before training)."""
        self.rows += [
            {
                "stage": self.stage,
                "run": self.run,
                "epoch": epoch,
                "part": part,
                "metric": name,
                "value": value,
                "best": False,
            }
            for name, value in values.items()
        ]

    @property
    def before(self) -> float:
        """Loss before training; 0 while it is not known."""
        return next((row["value"] for row in self.rows if row["epoch"] == 0 and row["metric"] == "loss"), 0.0)

    def mark_best(self, epoch: int) -> None:
        """Mark the epoch whose weights are kept."""
        for row in self.rows:
            row["best"] = row["epoch"] == epoch


class Learner(lightning.LightningModule):
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
        self.history: list[tuple[float, ...]] = []
        self.last_losses: dict[str, float] = {}
        """Loss terms of the last batch."""
        self.last_total = 0.0
        """Their weighted sum."""
        self._gradients = GradientGuard(skipping=settings.precision == "16-mixed")
        self._totals: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        """Of each batch of a part, by term: sums over clips, the clips that have it, the clips of the total."""
        self._kept: list[Any] = []
        self._batches_done = 0
        self._begun = self._said = self._said_within = time.monotonic()
        self._done_before = 0

    @abstractmethod
    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """Loss terms of a batch; with `keep`, also append to `_kept` what `rate` needs, tensors on the CPU."""

    @abstractmethod
    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """Scores of the part just evaluated, for the curve, and how good it is: the larger tuple wins.

        `_kept` then holds what `measure` kept, of all processes; it is to be emptied.
        """

    def combine(self, terms: Mapping[str, Term], total: Tensor) -> Tensor:
        """What is minimised: the weighted sum of the terms, unless a subclass learns the weights."""
        return total

    def settle(self) -> None:
        """Called after each step of the optimiser."""
        return

    def group_parameters(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser: what is not frozen."""
        return [{"params": [parameter for parameter in self.model.parameters() if parameter.requires_grad]}]

    def note_state(self) -> dict[str, float]:
        """What else varied in the epoch, for the curve's part `course`: the learning rate, where it is not constant."""
        if self._constant_rate:
            return {}
        return {"learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"]}

    @property
    def score(self) -> tuple[float, ...]:
        """Score of the last epoch."""
        return self.history[-1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam or AdamW."""
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.settings.optimizer]
        return kind(self.group_parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay)

    def on_train_start(self) -> None:
        """Say how much of the batches is padding, and leave out those that were done before a checkpoint."""
        order = find_order(self.trainer.train_dataloader)
        if order is not None:
            order.skip = self._batches_done
            logger.info(
                "%s: %d clips in %d batches, %.1f %% of them padding",
                self.curve.run, len(order.utterances), len(order), 100 * order.padding_share,
            )  # fmt: skip

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the last epoch; not called where an epoch is taken up in its middle."""
        self._totals["train"] = []
        self._said_within = time.monotonic()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """What is minimised of a batch.

        Raises:
            TrainingError: its loss is not finite, or has run away.
        """
        self._seed_dropout(batch_idx)
        terms = self.measure(batch, keep=False)
        order = find_order(self.trainer.train_dataloader)
        if order is not None and order.stands_in(batch_idx):
            terms = {name: Term(term.mean * 0.0, term.weight * 0, term.spread * 0) for name, term in terms.items()}
        terms = self._add_up("train", batch, terms)
        parts = [weight * terms[name].share * terms[name].mean for name, weight in self.weights.items()]
        total = torch.stack(parts).sum()
        loss = self.combine(terms, total)
        self._gradients.utterances += batch.utterance_ids
        self._batches_done = batch_idx + 1
        # Lightning divides by `accumulate`, also where the last step of an epoch has fewer batches.
        group = self.settings.accumulate
        rest = self.trainer.num_training_batches - batch_idx // group * group
        return loss if rest >= group else loss * (group / rest)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A line in the log, once a minute, of an epoch that takes longer: a job has no terminal that a bar could be shown on."""
        now = time.monotonic()
        if self.trainer.progress_bar_callback is None and now - self._said_within > SECONDS_BETWEEN_BATCHES:
            self._said_within = now
            logger.info(
                "%s: batch %d of %d, loss %.3f", self._where, batch_idx + 1, self.trainer.num_training_batches, self.last_total
            )  # fmt: skip

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the gradients, and set the learning rate of this step."""
        found = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        self._gradients.check(self._where, found)
        if not self._constant_rate:
            settings, done, of = self.settings, self.trainer.global_step, int(self.trainer.estimated_stepping_batches)
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                factor = scale_rate(settings.schedule, settings.warmup, done, of, self.history)
                group["lr"] = group["initial_lr"] * factor

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm of the model's gradient: learned weights of objectives have one of their own, and change it by nothing."""
        if gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step, and what is to be settled after it: before a checkpoint may be written."""
        super().optimizer_step(*args, **kwargs)
        self.settle()

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the last evaluation."""
        self._totals["evaluation"] = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the evaluation."""
        order = find_order(self.trainer.val_dataloaders)
        own = order is None or not order.stands_in(batch_idx)
        self._add_up("evaluation", batch, self.measure(batch, keep=True) if own else {})

    def on_validation_epoch_end(self) -> None:
        """Note the losses and scores of the part, and of the training epoch before it."""
        training = self.trainer.state.fn == "fit"
        epoch = self.trainer.current_epoch + 1 if training else 0
        if training:
            self.curve.add(epoch, "train", self._average("train"))
            self.curve.add(epoch, "course", self.note_state())
        # First, as a loss may be one of the whole part, and a process may have had no clip of it.
        self._kept = gather(self._kept)
        losses = self._average("evaluation")
        scores, score = self.rate(losses)
        if training:
            self.history.append(score)
            self._batches_done = 0
        self.curve.add(epoch, self.part, losses | scores)
        self._report(epoch, losses | scores)

    def _report(self, epoch: int, values: Mapping[str, float]) -> None:
        """A line in the log for the first and the last epoch, and every ten seconds between."""
        now = time.monotonic()
        if epoch == 0:
            self._begun = self._said = now
        elif epoch in (1, self.settings.epochs) or now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            shown = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
            left = (now - self._begun) / (epoch - self._done_before) * (self.settings.epochs - epoch)
            logger.info(
                "%s: epoch %d of %d, %s: %s, about %.0f s left",
                self.curve.run, epoch, self.settings.epochs, self.part, shown, left,
            )  # fmt: skip

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the curve and the scores so far into the checkpoint, and what the epoch under way has come to."""
        checkpoint["curve"], checkpoint["scores"] = self.curve.rows, [list(score) for score in self.history]
        checkpoint["batches_done"] = self._batches_done
        checkpoint["totals"] = self._totals["train"] if self._batches_done else []

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from what `on_save_checkpoint` kept."""
        self.curve.rows, self.history = checkpoint["curve"], [tuple(score) for score in checkpoint["scores"]]
        self._batches_done = checkpoint["batches_done"]
        self._totals["train"] = [tuple(of_batch) for of_batch in checkpoint["totals"]]
        self._done_before = len(self.history)

    @property
    def _constant_rate(self) -> bool:
        return self.settings.schedule == "constant" and not self.settings.warmup

    @property
    def _where(self) -> str:
        return f"{self.curve.run}, epoch {self.trainer.current_epoch + 1}"

    def _seed_dropout(self, batch: int) -> None:
        """Dropout knows the global generator only; each process draws its own."""
        parts = [self.seed, self.trainer.current_epoch, batch, *([find_rank()] if find_rank() else [])]
        torch.manual_seed(zlib.crc32("/".join(map(str, parts)).encode()))

    def _add_up(self, part: str, batch: Batch, terms: Mapping[str, Term]) -> dict[str, Term]:
        """Add the terms of a batch to the sums of a part, and check them.

        Returns:
            The terms to be minimised. In one process they are those given. Of several, each gets its part of the batch's mean,
            times their number, as the mean of their gradients is taken; the weights are those of the batch.
        """
        nothing = torch.zeros((), dtype=torch.double, device=self.device)
        found = [terms[name] if terms else Term(nothing, nothing) for name in self.weights]
        means = torch.stack([term.mean.detach().double() for term in found])
        counts = torch.stack([term.weight.double() for term in found])
        clips = torch.stack([term.spread.double() for term in found])
        sums, weights, ranks = means * counts, counts, count_ranks()
        if ranks > 1:
            sums, weights, clips = add_up(torch.stack([sums, weights, clips]))
            means = torch.where(weights > 0, sums / weights, 0.0)
        self._check(part, batch, means, sums / clips.clamp_min(TINY))
        # On the CPU, as those are that come back from a checkpoint.
        self._totals[part].append((sums.cpu(), weights.cpu(), clips.cpu()))
        if ranks == 1:
            return dict(terms)
        shares = torch.where(weights > 0, ranks * counts / weights, 0.0).float()
        return {
            name: Term(terms[name].mean * shares[i], weights[i].float(), clips[i].float())
            for i, name in enumerate(self.weights)
            if terms
        }

    def _check(self, part: str, batch: Batch, means: Tensor, spread: Tensor) -> None:
        self.last_losses = losses = dict(zip(self.weights, means.tolist(), strict=True))
        worth = sum(weight * value for weight, value in zip(self.weights.values(), spread.tolist(), strict=True))
        self.last_total = worth
        before = self.curve.before if part == "train" else 0.0
        check_loss(self._where, batch.utterance_ids, losses, worth, before)

    def _average(self, part: str) -> dict[str, float]:
        """The total over all clips of the part (not over batches), and the mean of each term over those that have it."""
        columns = zip(*self._totals[part], strict=True)
        sums, counts, clips = (torch.stack(column).sum(dim=0).tolist() for column in columns)
        means = {name: sums[i] / counts[i] for i, name in enumerate(self.weights) if counts[i] > 0}
        total = sum(self.weights[name] * sums[i] / clips[i] for i, name in enumerate(self.weights) if clips[i] > 0)
        parts = {f"loss_{name}": mean for name, mean in means.items()} if len(self.weights) > 1 else {}
        return {"loss": total, **parts}


class BestWeights(Callback):
    """Keeps a copy of the model of the epoch with the largest `Learner.score`; the earlier one wins a tie.

    Args:
        patience: stop training after this many epochs without a better one; None = never.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.score: tuple[float, ...] = ()
        self.epoch = 0
        self.state: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy the weights if this epoch is better."""
        if trainer.state.fn != "fit":
            return
        epoch = trainer.current_epoch + 1
        if pl_module.score > self.score:
            self.score, self.epoch = pl_module.score, epoch
            self.state = {name: value.detach().cpu().clone() for name, value in pl_module.model.state_dict().items()}
        elif self.patience is not None and epoch - self.epoch >= self.patience:
            trainer.should_stop = True
            logger.info(
                "%s: no epoch was better than %d, training ends with %d", pl_module.curve.run, self.epoch, epoch
            )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"score": list(self.score), "epoch": self.epoch, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.score, self.epoch, self.state = tuple(state_dict["score"]), state_dict["epoch"], state_dict["state"]


def embed_batch(backbone: SpeechBackbone, batch: Batch) -> Tensor:
    """Pooled embeddings (batch, width) of a batch of audio or of cached CNN frames."""
    if batch.frames is None or batch.lengths is None:
        return backbone(batch.audio, batch.draws)
    return backbone.pool(backbone.encode(batch.frames.float(), batch.lengths, batch.draws), batch.lengths)


def build_trainer(
    device: str,
    settings: Optimisation,
    scratch: Path,
    checkpoint: Path | None = None,
    *,
    minutes: float | None = None,
    sparing: bool = False,
    logs: Sequence[str] = (),
    devices: int | None = None,
    notice: Notice | None = None,
) -> lightning.Trainer:
    """The one Trainer: deterministic, keeping the best weights, without chatter.

    Args:
        device: `auto`, `cpu` or `cuda` of the study.
        settings: epochs, patience, precision, accumulation, gradient clipping.
        scratch: folder that Lightning may write to.
        checkpoint: file to keep the state in, of each epoch and when the job is ended; None = only in memory.
        minutes: also write the state so often within an epoch.
        sparing: write it at the end of an epoch no more often than that either.
        logs: `csv`, `tensorboard`, written below `LOGS`.
        devices: processes that share each batch, one per GPU; None = those that `run_in_processes` has started.
        notice: that the job has of signals; None = `train` takes it.

    Raises:
        TrainingError: `cuda` or `16-mixed` is asked for and there is no GPU, or a log cannot be written.
    """
    devices = count_ranks() if devices is None else devices
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(NO_GPU)
    if settings.precision == "16-mixed" and (device == "cpu" or not torch.cuda.is_available()):
        raise TrainingError(
            "precision is 16-mixed, which needs a GPU, and this job has none; set `precision: bf16-mixed` or `32-true`"
        )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if settings.precision == "bf16-mixed" and on_cpu and torch.backends.cpu.get_cpu_capability() == "AVX2":
        # Measured on such a machine: a matrix product a hundred times slower, a training five times.
        logger.warning(
            "precision is bf16-mixed, which this CPU only emulates, slowly; `32-true` is several times faster here"
        )
    # Deterministic algorithms would also fill every new tensor with NaN, a sixth of a small model's training time; nothing
    # here reads memory that was not written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    with _quiet_lightning():
        return lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(device, device),
            devices=devices,
            # An objective's head, or the vector of masked frames, may have no part in a batch.
            strategy=DDPStrategy(find_unused_parameters=True) if devices > 1 else "auto",
            max_epochs=settings.epochs,
            precision=settings.precision,
            gradient_clip_val=settings.gradient_clip,
            accumulate_grad_batches=settings.accumulate,
            deterministic=True,
            callbacks=[
                BestWeights(settings.patience),
                *([TrainingLog(logs)] if logs else []),
                *([] if checkpoint is None else [Checkpoint(checkpoint, minutes, sparing=sparing, notice=notice)]),
            ],
            default_root_dir=scratch,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
            # What a model keeps from an evaluation (a conformer its rotary positions) may come into training.
            inference_mode=False,
            use_distributed_sampler=False,
            # Left alone, Lightning takes a SLURM job for its own: it checks task counts and requeues. Snakemake does that.
            plugins=[LightningEnvironment()],
        )


def train(learner: Learner, trainer: lightning.Trainer, training: Any, evaluation: Any) -> BestWeights:
    """Evaluate, train, and give the model its best weights back.

    A checkpoint that the trainer finds whole in its place is continued.

    Args:
        learner: model and loss.
        trainer: from `build_trainer`.
        training: loader of the training part.
        evaluation: loader of the part that chooses the epoch.

    Returns:
        Epoch, score and weights that the model has now.

    Raises:
        Interrupted: the cluster ended the job.
    """
    best = next(callback for callback in trainer.callbacks if isinstance(callback, BestWeights))
    checkpoint = _find_checkpoint(trainer)
    found = checkpoint.find() if checkpoint is not None else None
    listening = checkpoint.notice.listening() if checkpoint else nullcontext()
    with _quiet_lightning(), _explained_end(learner, trainer), seeded(learner.seed), listening:
        if found is None:
            trainer.validate(learner, evaluation, verbose=False)
        # Lightning leaves modules in the mode it finds them in, and `from_pretrained` returns them in evaluation mode.
        learner.train()
        trainer.fit(learner, training, evaluation, ckpt_path=found, weights_only=True)
    learner.model.load_state_dict(best.state)
    learner.curve.mark_best(best.epoch)
    return best


def evaluate(learner: Learner, trainer: lightning.Trainer, loader: Any) -> None:
    """Run `learner` over a loader with the trainer's device and precision; the learner's `test_step` collects.

    Raises:
        Interrupted: the cluster ended the job.
    """
    with _quiet_lightning(), _explained_end(learner, trainer):
        trainer.test(learner, loader, verbose=False)


def _find_checkpoint(trainer: lightning.Trainer) -> Checkpoint | None:
    return next((callback for callback in trainer.callbacks if isinstance(callback, Checkpoint)), None)


@contextmanager
def _explained_end(learner: Learner, trainer: lightning.Trainer) -> Iterator[None]:
    """Where Lightning has the signals, it ends the process on SIGTERM without a word, and as if all had been done."""
    try:
        yield
    except SIGTERMException as error:
        checkpoint = _find_checkpoint(trainer)
        state = checkpoint.path if checkpoint is not None else None
        where = "in training" if trainer.state.fn == "fit" else "in an evaluation"
        raise Interrupted(explain_end(learner.curve.run, "SIGTERM", where, state)) from error


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without start-up notes; a job's log holds what concerns its study."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Clips come from a memory map, so loading in the training process is meant.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Batches know their size themselves; a study may have fewer than 50 of them.
        warnings.filterwarnings("ignore", message="Trying to infer the `batch_size`")
        warnings.filterwarnings(
            "ignore", message="The number of training batches .* is smaller than the logging interval"
        )
        warnings.filterwarnings("ignore", message="GPU available but not used")
        # The order of the batches begins where the checkpoint says (`BucketedBatches.skip`).
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch")
        # A job of ours is one process, however it was started.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # Lightning 2.6 with torch 2.13; nothing that a user could do about it.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated")
        try:
            yield
        finally:
            logger.setLevel(level)

"""The shared loop, on a model of one weight whose course can be worked out by hand."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from emoadapt.config import Optimisation
from emoadapt.data.batching import Batch, load_batches
from emoadapt.data.clips import Clip, ClipDataset
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ConfigError, TrainingError
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.curve import Curve
from emoadapt.training.guard import OVERFLOWS, GradientGuard, check_loss
from emoadapt.training.interruption import Interrupted
from emoadapt.training.learner import Learner
from emoadapt.training.totals import Term
from emoadapt.training.trainer import BestWeights, Trainer
from emoadapt.training.watchers import Watcher


def make_batch(*values: float) -> Batch:
    return Batch([f"c/{value:g}" for value in values], {}, {}, {"value": torch.tensor(values, dtype=torch.float32)})


def load(*batches: Batch) -> DataLoader:
    return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)


def fit(learner: Learner, *training: Batch, evaluation: Batch | None = None) -> BestWeights:
    return Trainer("cpu", learner.settings).train(learner, load(*training), load(evaluation or make_batch(1)))


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.0))
        self.frozen = torch.nn.Parameter(torch.tensor(5.0), requires_grad=False)


class LineLearner(Learner):
    """Loss = mean of weight + value; Adam moves the weight by about one learning rate per step."""

    def __init__(self, settings: Optimisation, scores: tuple[float, ...] = ()) -> None:
        super().__init__(Line(), settings, Curve("stage2", "line"), "dev", 0, {"line": 2.0})
        self.scores = scores

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        values = batch.values["value"]
        return {"line": Term((self.model.weight + values).mean(), torch.tensor(len(values)))}

    def rate(self, losses):
        epoch = self.position.epoch
        return {"double": 2 * losses["loss"]}, (self.scores[epoch] if self.scores else 0.0,)


def test_losses_are_means_over_clips_not_over_batches(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=1, learning_rate=0.1))
    Trainer("cpu", learner.settings).train(learner, load(make_batch(1)), load(make_batch(1, 2, 3), make_batch(10)))
    before = {row["metric"]: row["value"] for row in learner.curve.rows if row["epoch"] == 0}
    assert before == {"loss": pytest.approx(2 * 4.0), "double": pytest.approx(2 * 2 * 4.0)}
    parts = [(row["epoch"], row["part"]) for row in learner.curve.rows if row["metric"] == "loss"]
    assert parts == [(0, "dev"), (1, "train"), (1, "dev")]


def test_best_epoch_is_kept_and_the_earlier_one_wins_a_tie(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=4, learning_rate=0.1), scores=(0.2, 0.7, 0.7, 0.1))
    best = fit(learner, make_batch(1))
    assert best.epoch == 2
    # Adam's step is the learning rate while the gradient does not change
    assert learner.model.weight.item() == pytest.approx(-0.2, abs=1e-4)
    assert learner.model.frozen.item() == 5.0
    assert {row["epoch"] for row in learner.curve.rows if row["best"]} == {2}


def test_loss_that_is_not_finite_names_its_clips(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=1))
    with pytest.raises(TrainingError, match=r"line, epoch 1: the loss is nan on the clips c/1, c/nan; lower"):
        fit(learner, make_batch(1, float("nan")))


class RootLearner(LineLearner):
    """Loss = mean of sqrt((weight + value) ** 2): finite, and without a gradient where a clip's value is 0."""

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        values = batch.values["value"]
        return {"line": Term((self.model.weight + values).square().sqrt().mean(), torch.tensor(len(values)))}


def test_gradient_that_is_not_finite_names_its_clips_and_leaves_the_model_alone(tmp_path: Path) -> None:
    """Symptom: the weights became nan, and the next batch, which was not at fault, was blamed."""
    learner = RootLearner(Optimisation(epochs=1))
    with pytest.raises(TrainingError, match=r"line, epoch 1: the gradient is not finite on the clips c/0, c/2; lower"):
        fit(learner, make_batch(0, 2), make_batch(3))
    assert learner.model.weight.item() == 0.0


class SquareLearner(LineLearner):
    """Loss = mean of (weight - value) ** 2: a rate above 1 diverges."""

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        values = batch.values["value"]
        return {"line": Term((self.model.weight - values).square().mean(), torch.tensor(len(values)))}


def test_diverging_loss_stops_the_run(tmp_path: Path) -> None:
    # Before training 2 * 1 ** 2. Adam's first step is the rate, to 100; then 2 * 101 ** 2 is more than 1000 * 2.
    learner = SquareLearner(Optimisation(epochs=9, learning_rate=100.0))
    with pytest.raises(
        TrainingError, match=r"epoch 1: the loss is 2.04e\+04, before training it was 2, on the clips c/-1;"
    ):
        fit(learner, make_batch(1), make_batch(-1))


def test_outlier_before_training_is_no_divergence(tmp_path: Path) -> None:
    learner = SquareLearner(Optimisation(epochs=1, learning_rate=0.1))
    assert fit(learner, make_batch(900), evaluation=make_batch(900, 30)).epoch == 1


def test_overflowing_steps_are_allowed_while_the_loss_scale_is_found() -> None:
    good, bad = [torch.ones(3)], [torch.tensor([1.0, float("inf")])]
    guard = GradientGuard(skipping=True)
    for _ in range(OVERFLOWS - 1):
        guard.check("run, epoch 1", bad)
    guard.check("run, epoch 1", good)
    for _ in range(OVERFLOWS - 1):
        guard.check("run, epoch 1", bad)
    guard.utterances = ["c/1"]
    with pytest.raises(TrainingError, match="run, epoch 1: the gradient is not finite on the clips c/1"):
        guard.check("run, epoch 1", bad)


def test_sigterm_to_a_run_without_a_state_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handcrafted baseline, told to end, ended with status 0 and without its tables."""
    learner = LineLearner(Optimisation(epochs=1, learning_rate=0.1))
    measure = learner.measure

    def tell(batch: Batch, *, keep: bool) -> dict[str, Term]:
        if not keep:
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(batch, keep=keep)

    monkeypatch.setattr(learner, "measure", tell)
    sentence = r"^line: ended by SIGTERM in epoch 1 after batch 1 of 2, .*lost; started again, it begins this run anew$"
    with pytest.raises(Interrupted, match=sentence):
        fit(learner, make_batch(1), make_batch(-1))


@pytest.mark.parametrize("terminal", [False, True])
def test_long_epoch_is_reported_once_a_minute_where_no_bar_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Of 5 batches of 40 s, the second and the fourth end more than a minute after the line before."""
    clock = [0.0]
    monkeypatch.setattr("emoadapt.training.trainer.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    learner = LineLearner(Optimisation(epochs=2, learning_rate=0.1))
    measure = learner.measure

    def take_long(batch: Batch, *, keep: bool) -> dict[str, Term]:
        clock[0] += 0 if keep else 40
        return measure(batch, keep=keep)

    monkeypatch.setattr(learner, "measure", take_long)
    with caplog.at_level("INFO"):
        fit(learner, *(make_batch(10 * number) for number in range(1, 6)))
    said = [line for record in caplog.records if "batch " in (line := record.getMessage())]
    # Weight 2, and a weight of the model that falls by about 0.1 a step.
    assert said == ([] if terminal else [
        "line, epoch 1: batch 2 of 5, loss 39.800", "line, epoch 1: batch 4 of 5, loss 79.400",
        "line, epoch 2: batch 2 of 5, loss 38.800", "line, epoch 2: batch 4 of 5, loss 78.400",
    ])  # fmt: skip


def test_error_names_some_clips_of_a_large_batch_and_the_log_all(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"c/{number:04}" for number in range(1000)]
    with caplog.at_level("INFO"), pytest.raises(TrainingError) as error:
        check_loss("run, epoch 1", names, {"ccc": float("nan")}, 0.0, 1.0)
    assert "the loss is nan on the clips c/0000, c/0001, " in str(error.value)
    assert "c/0019 and 980 more, which the log names; lower the learning rate" in str(error.value)
    assert all(name in caplog.text for name in names)


def test_accumulated_batches_are_one_step_also_where_an_epoch_ends(tmp_path: Path) -> None:
    """Three batches in twos: the step of the single one counts as much as a batch does, not half."""
    learner, steps = LineLearner(Optimisation(epochs=1, learning_rate=0.5, accumulate=2)), []
    learner.model.weight.register_post_accumulate_grad_hook(lambda weight: steps.append(weight.grad.item()))
    fit(learner, make_batch(1), make_batch(2), make_batch(3))
    # d(2 * mean(weight + value)) / d(weight) = 2, for the mean of two batches as for the last alone
    assert steps == [1.0, 2.0, 2.0]
    assert learner.model.weight.item() == pytest.approx(-1.0, abs=1e-4)


def test_warm_up_and_linear_decay_reach_the_weights(tmp_path: Path) -> None:
    settings = Optimisation(epochs=2, learning_rate=1.0, schedule="linear", warmup=0.25)
    learner = LineLearner(settings)
    fit(learner, make_batch(1), make_batch(2), make_batch(3), make_batch(4))
    # 8 steps, 2 of them rising: 1/3, 2/3, then 6/6, 5/6, ... 1/6; Adam steps by the rate, and the first epoch is kept
    assert learner.model.weight.item() == pytest.approx(-(1 + 11 / 6), abs=1e-4)
    rates = {row["epoch"]: row["value"] for row in learner.curve.rows if row["metric"] == "learning_rate"}
    assert rates == {1: pytest.approx(5 / 6), 2: pytest.approx(1 / 6)}


def test_plateau_halves_the_rate_and_patience_ends_the_run(tmp_path: Path) -> None:
    scores = (0.1, 0.5, 0.4, 0.3, 0.2, 0.2, 0.5, 0.6)
    learner = LineLearner(Optimisation(epochs=8, learning_rate=0.1, schedule="plateau", patience=5), scores)
    best = fit(learner, make_batch(1))
    rates = [row["value"] for row in learner.curve.rows if row["metric"] == "learning_rate"]
    assert rates == pytest.approx([0.1] * 5 + [0.05] * 2)
    assert best.epoch == 2
    assert learner.model.weight.item() == pytest.approx(-0.2, abs=1e-4)


class Killer(Watcher):
    """Kills the run at the end of an epoch: before its state is kept, or after."""

    def __init__(self, epoch: int, *, kept: bool) -> None:
        self.epoch, self.kept = epoch, kept
        self.begun: list[int] = []

    def begin_training(self, learner: Learner, *_: object) -> None:
        self.position = learner.position

    def begin_epoch(self) -> None:
        self.begun.append(self.position.epoch + 1)

    def end_evaluation(self) -> None:
        if not self.kept and self.position.epoch + 1 == self.epoch:
            raise RuntimeError("killed")

    def end_epoch(self) -> None:
        if self.kept and self.position.epoch == self.epoch:
            raise RuntimeError("killed")


@pytest.mark.parametrize(("killed_in", "kept", "goes_on"), [(4, True, 5), (7, False, 7)], ids=["waiting", "at its end"])
def test_patience_and_plateau_go_on_from_a_checkpoint(tmp_path: Path, killed_in: int, kept: bool, goes_on: int) -> None:
    settings = Optimisation(epochs=8, learning_rate=0.1, schedule="plateau", patience=5)
    found = []
    for name, stop in (("whole", 0), ("killed", killed_in), ("killed", 0)):
        learner, killer = LineLearner(settings, (0.1, 0.5, 0.4, 0.3, 0.2, 0.2, 0.5, 0.6)), Killer(stop, kept=kept)
        trainer = Trainer("cpu", settings, Checkpoint(tmp_path / f"{name}.ckpt"), [killer])
        try:
            best = trainer.train(learner, load(make_batch(1), make_batch(2)), load(make_batch(1)))
            found.append((best.epoch, learner.model.weight.item(), learner.curve.rows))
        except RuntimeError:
            assert killer.begun == list(range(1, killed_in + 1))
    whole, resumed = found
    assert whole[0] == 2
    assert max(row["epoch"] for row in whole[2]) == 7
    assert killer.begun == list(range(goes_on, 8))
    assert resumed == whole


@pytest.mark.parametrize(
    ("accumulate", "steps", "batches", "epochs"),
    [(1, 3, 3, 1), (1, 5, 5, 1), (1, 10, 10, 2), (2, 3, 5, 1), (2, 4, 9, 2), (2, 5, 10, 2)],
    ids=["in the first epoch", "at its end", "two epochs", "a part of a group", "in the second epoch", "accumulated"],
)
def test_training_ends_at_exactly_so_many_steps(accumulate: int, steps: int, batches: int, epochs: int) -> None:
    """Five batches an epoch; with `accumulate: 2` three steps, the last of one batch."""
    expected = {(2, 4): 5 + 2, (2, 5): 5 + 4}.get((accumulate, steps), batches)
    settings = Optimisation(epochs=9, steps=steps, accumulate=accumulate, learning_rate=0.1, schedule="linear")
    learner, seen, rates = LineLearner(settings), [0], []

    class Counter(Watcher):
        def begin_training(self, _: Learner, optimizer: torch.optim.Optimizer, *__: object) -> None:
            self.optimizer = optimizer

        def end_batch(self) -> None:
            seen[0] += 1
            rates.append(self.optimizer.param_groups[0]["lr"])

    trainer = Trainer("cpu", settings, watchers=[Counter()])
    trainer.train(learner, load(*(make_batch(n) for n in range(1, 6))), load(make_batch(1)))
    assert (learner.position.step, seen[0]) == (steps, expected)
    assert max(row["epoch"] for row in learner.curve.rows) == epochs == learner.epochs
    assert rates[-1] == pytest.approx(0.1 / steps), "the rate falls to 0 behind the last step"


@pytest.mark.parametrize("kept", [True, False])
def test_training_by_steps_resumes_from_a_checkpoint(tmp_path: Path, kept: bool) -> None:
    settings = Optimisation(epochs=1, steps=8, accumulate=2, learning_rate=0.1, schedule="linear", warmup=0.3)
    found = []
    for name, stop in (("whole", 0), ("killed", 2), ("killed", 0)):
        learner, killer = LineLearner(settings), Killer(stop, kept=kept)
        trainer = Trainer("cpu", settings, Checkpoint(tmp_path / f"{name}.ckpt"), [killer])
        try:
            trainer.train(learner, load(*(make_batch(n) for n in range(1, 6))), load(make_batch(1)))
            found.append((learner.position.step, learner.model.weight.item(), learner.curve.rows))
        except RuntimeError:
            assert killer.begun == [1, 2]
    whole, resumed = found
    assert killer.begun == ([3] if kept else [2, 3])
    assert whole[0] == 8 and resumed == whole


def test_patience_ends_a_training_of_steps_too(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=1, steps=20, patience=2, learning_rate=0.1), (0.5, 0.4, 0.3, 0.9))
    assert fit(learner, make_batch(1), make_batch(2)).epoch == 1
    assert learner.position.step == 2 * 3


def test_plateau_lowers_the_rate_as_it_is_configured(tmp_path: Path) -> None:
    settings = Optimisation(epochs=4, learning_rate=0.1, schedule="plateau", plateau_epochs=1, plateau_factor=0.1)
    learner = LineLearner(settings, (0.5, 0.4, 0.6, 0.1))
    fit(learner, make_batch(1))
    rates = [row["value"] for row in learner.curve.rows if row["metric"] == "learning_rate"]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:-100], lambda content: content[:900]])
def test_a_damaged_checkpoint_is_deleted_and_the_run_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    """Symptom: after a power failure every further run ended with the same traceback."""
    settings = Optimisation(epochs=3)
    state = tmp_path / "line.ckpt"
    for killer in (Killer(2, kept=True), Killer(0, kept=True)):
        trainer = Trainer("cpu", settings, Checkpoint(state), [killer])
        with nullcontext() if killer.epoch == 0 else pytest.raises(RuntimeError, match="killed"):
            trainer.train(LineLearner(settings, (0.1, 0.5, 0.4)), load(make_batch(1)), load(make_batch(1)))
        if killer.epoch:
            state.write_bytes(damage(state.read_bytes()))
    assert killer.begun == [1, 2, 3]
    assert f"{state} was damaged, and is deleted: this run begins anew" in caplog.text


def test_a_checkpoint_with_one_other_byte_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "line.ckpt"
    torch.save({"weight": torch.arange(5000.0)}, path)
    assert Checkpoint(path).find() == path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert Checkpoint(path).find() is None and not path.exists()


def test_constant_rate_leaves_no_trace_in_the_curve(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=1))
    fit(learner, make_batch(1))
    assert {row["metric"] for row in learner.curve.rows} == {"loss", "double"}


class Sounds(ClipDataset):
    """Clips of ones."""

    def __init__(self, lengths: dict[str, int]) -> None:
        super().__init__({"audio": AUDIO}, lambda _: {"value": torch.ones(())})
        self.lengths = lengths

    def __getitem__(self, key: tuple[str, int]) -> Clip:
        return Clip(key[0], {"audio": torch.ones(self.lengths[key[0]])}, dict(self.annotate(key[0])), key[1])


def test_padding_is_logged_once_per_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = {"a": 16_000, "b": 24_000, "c": 48_000}
    clips = Sounds(names)
    learner = LineLearner(Optimisation(epochs=1))
    with caplog.at_level("INFO"):
        Trainer("cpu", learner.settings).train(learner, load_batches(clips, names, 2, seed=None), load(make_batch(1)))
    # (1.5 + 1.5 + 3) s hold 1 + 1.5 + 3
    assert [record.message for record in caplog.records if "padding" in record.message] == [
        "line: 3 clips in 2 batches, 8.3 % of them padding"
    ]


def test_nothing_is_written_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_NTASKS", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "job")
    learner = LineLearner(Optimisation(epochs=2, gradient_clip=1.0))
    trainer = Trainer("cpu", learner.settings)
    trainer.train(learner, load(make_batch(1)), load(make_batch(1)))
    learner.test_batch = lambda batch: None
    trainer.test(learner, load(make_batch(1)))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_new_tensors_are_not_filled_for_nothing(tmp_path: Path) -> None:
    """Filling them with NaN took a sixth of a small model's training; the algorithms stay deterministic."""
    learner = LineLearner(Optimisation(epochs=1))
    fit(learner, make_batch(1))
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_half_precision_without_gpu_is_refused(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=r"16-mixed, which needs a GPU.*bf16-mixed"):
        Trainer(device, Optimisation(epochs=1, precision="16-mixed"))


@pytest.mark.parametrize(("capability", "said"), [("AVX2", True), ("AVX512", False)])
def test_emulated_bf16_is_logged(
    tmp_path: Path, capability: str, said: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Symptom: a study of minutes took hours on a CPU without bf16, and nothing said why."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    Trainer("cpu", Optimisation(epochs=1, precision="bf16-mixed"))
    assert ("only emulates" in caplog.text) is said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no GPU was found"):
        Trainer("cuda", Optimisation(epochs=1))

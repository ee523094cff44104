"""The shared loop, on a model of one weight whose course can be worked out by hand."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from emoadapt.config import Optimisation
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.training.trainer import BestWeights, Curve, Learner, Term, build_trainer, evaluate, train


def make_batch(*values: float) -> Batch:
    return Batch(
        [f"c/{value:g}" for value in values], [], None, None, {"value": torch.tensor(values, dtype=torch.float32)}
    )


def load(*batches: Batch) -> DataLoader:
    return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.0))
        self.frozen = torch.nn.Parameter(torch.tensor(5.0), requires_grad=False)


class LineLearner(Learner):
    """Loss = mean of weight + value; Adam moves the weight by about one learning rate per step."""

    scores: tuple[float, ...] = ()

    def __init__(self, settings: Optimisation, scores: tuple[float, ...] = ()) -> None:
        super().__init__(Line(), settings, Curve("stage2", "line"), "dev", 0, {"line": 2.0})
        self.scores = scores

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        values = batch.values["value"]
        return {"line": Term((self.model.weight + values).mean(), torch.tensor(len(values)))}

    def rate(self, losses):
        epoch = self.trainer.current_epoch
        return {"double": 2 * losses["loss"]}, (self.scores[epoch] if self.scores else 0.0,)


def test_losses_are_means_over_clips_not_over_batches(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=1, learning_rate=0.1))
    train(
        learner,
        build_trainer("cpu", learner.settings, tmp_path),
        load(make_batch(1)),
        load(make_batch(1, 2, 3), make_batch(10)),
    )
    before = {row["metric"]: row["value"] for row in learner.curve.rows if row["epoch"] == 0}
    assert before == {"loss": pytest.approx(2 * 4.0), "double": pytest.approx(2 * 2 * 4.0)}
    parts = [(row["epoch"], row["part"]) for row in learner.curve.rows if row["metric"] == "loss"]
    assert parts == [(0, "dev"), (1, "train"), (1, "dev")]


def test_best_epoch_is_kept_and_the_earlier_one_wins_a_tie(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=4, learning_rate=0.1), scores=(0.2, 0.7, 0.7, 0.1))
    best = train(learner, build_trainer("cpu", learner.settings, tmp_path), load(make_batch(1)), load(make_batch(1)))
    assert best.epoch == 2
    # Adam's step is the learning rate while the gradient does not change
    assert learner.model.weight.item() == pytest.approx(-0.2, abs=1e-4)
    assert learner.model.frozen.item() == 5.0
    assert {row["epoch"] for row in learner.curve.rows if row["best"]} == {2}


def test_loss_that_is_not_finite_names_its_clips(tmp_path: Path) -> None:
    learner = LineLearner(Optimisation(epochs=1))
    with pytest.raises(TrainingError, match=r"line, epoch 1: the loss is nan on the clips c/1, c/nan; lower"):
        train(
            learner,
            build_trainer("cpu", learner.settings, tmp_path),
            load(make_batch(1, float("nan"))),
            load(make_batch(1)),
        )


def test_nothing_is_written_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_NTASKS", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "job")
    learner = LineLearner(Optimisation(epochs=2, gradient_clip=1.0))
    trainer = build_trainer("cpu", learner.settings, tmp_path)
    assert isinstance(trainer.callbacks[0], BestWeights)
    train(learner, trainer, load(make_batch(1)), load(make_batch(1)))
    learner.test_step = lambda batch: None
    evaluate(learner, trainer, load(make_batch(1)))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_new_tensors_are_not_filled_for_nothing(tmp_path: Path) -> None:
    """Filling them with NaN took a sixth of a small model's training; the algorithms stay deterministic."""
    learner = LineLearner(Optimisation(epochs=1))
    train(learner, build_trainer("cpu", learner.settings, tmp_path), load(make_batch(1)), load(make_batch(1)))
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="sees no GPU on this machine"):
        build_trainer("cuda", Optimisation(epochs=1), tmp_path)

"""Objectives against values worked out by hand and torch's own losses."""

import math

import numpy as np
import pytest
import torch

from emoadapt.config import objective_features
from emoadapt.errors import ConfigError
from emoadapt.objectives.base import load_objective


def test_features_are_read_without_importing() -> None:
    assert objective_features() == {
        "egemaps": "egemaps", "energy": "egemaps", "energy_rms": "rms", "face": "face_embedding", "sentiment": "sentiment",
    }  # fmt: skip


@pytest.mark.parametrize(("reduction", "expected"), [("mean", (2.5 + 0.5) / 2), ("sum", (5 + 1) / 2)])
def test_regression_averages_over_present_clips_only(reduction: str, expected: float) -> None:
    prediction = torch.tensor([[1.0, 2.0], [9.0, 9.0], [0.0, 1.0]])
    target = torch.tensor([[0.0, 0.0], [float("nan")] * 2, [0.0, 0.0]])
    mask = torch.tensor([True, False, True])
    for name in ("egemaps", "face"):
        assert load_objective(name).loss(prediction, target, mask, reduction).item() == pytest.approx(expected)


def test_sentiment_is_cross_entropy_with_the_most_probable_class() -> None:
    prediction = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.5, 0.0]])
    target = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    expected = torch.nn.functional.cross_entropy(prediction, torch.tensor([2, 0]))
    loss = load_objective("sentiment").loss(prediction, target, torch.tensor([True, True]), "mean")
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", ["energy", "energy_rms"])
def test_energy_is_whether_loudness_or_rms_is_above_its_centre(name: str) -> None:
    objective = load_objective(name)
    raw = np.arange(25.0 if name == "energy" else 1.0) + 7
    assert objective.select(raw).tolist() == [7.0] and objective.centre == "median"
    prediction, target = torch.tensor([[0.0], [2.0], [-1.0]]), torch.tensor([[-0.1], [3.0], [0.2]])
    # -log(1 - sigmoid(0)), -log(sigmoid(2)), -log(sigmoid(-1))
    expected = torch.tensor([math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.e)])
    torch.testing.assert_close(objective.clip_losses(prediction, target, "mean"), expected)
    assert objective.metrics(prediction, target) == {"accuracy": pytest.approx(2 / 3)}
    assert objective.head(8, 1)(torch.zeros(3, 8)).shape == (3, 1)


@pytest.mark.parametrize("name", ["egemaps", "sentiment", "face", "energy", "energy_rms"])
def test_batch_without_targets_costs_nothing_and_still_has_a_gradient(name: str) -> None:
    prediction = torch.ones(2, 3, requires_grad=True)
    loss = load_objective(name).loss(prediction, torch.zeros(2, 3), torch.tensor([False, False]), "mean")
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None
    assert not prediction.grad.any()


def test_masked_clips_get_no_gradient() -> None:
    prediction = torch.ones(2, 3, requires_grad=True)
    load_objective("face").loss(prediction, torch.zeros(2, 3), torch.tensor([True, False]), "mean").backward()
    assert prediction.grad is not None
    assert prediction.grad[0].any()
    assert not prediction.grad[1].any()


def test_only_regression_targets_are_normalised() -> None:
    names = ("egemaps", "face", "energy", "sentiment")
    assert [load_objective(name).normalised for name in names] == [True, True, True, False]


def test_ccc_equals_torchmetrics() -> None:
    from torchmetrics.functional import concordance_corrcoef

    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 4, generator=generator)
    prediction = 0.6 * target + 0.3 + 0.5 * torch.randn(50, 4, generator=generator)
    ours = load_objective("egemaps").metrics(prediction, target)["ccc"]
    # torchmetrics uses the unbiased variance, which differs by 1/n in the mean's term
    assert ours == pytest.approx(concordance_corrcoef(prediction, target).mean().item(), abs=5e-3)


def test_accuracy_counts_the_most_probable_class() -> None:
    prediction = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    target = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]])
    assert load_objective("sentiment").metrics(prediction, target) == {"accuracy": 0.5}


def test_unknown_objective_is_answered_with_the_known() -> None:
    with pytest.raises(ConfigError, match="objective pitch is not known; there is egemaps"):
        load_objective("pitch")

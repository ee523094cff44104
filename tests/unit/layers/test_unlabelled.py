"""Losses without labels, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from emoadapt.layers.unlabelled import Projector, contrast, maximise_information

FIRST = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
SECOND = torch.tensor([[3.0, 4.0], [0.0, 5.0]])
"""Cosines: .6 and 0 for the first clip, .8 and 1 for the second; lengths do not count."""


def test_contrast_of_four_vectors_is_that_of_the_formula() -> None:
    # Over the other clip alone: (0 - .6) / .5 and (.8 - 1) / .5.
    assert contrast(FIRST, SECOND, 0.5).item() == pytest.approx((-1.2 - 0.4) / 2, abs=1e-6)
    # With the positive: log(1 + e^-1.2) and log(1 + e^-.4).
    expected = (math.log1p(math.exp(-1.2)) + math.log1p(math.exp(-0.4))) / 2
    assert contrast(FIRST, SECOND, 0.5, with_positive=True).item() == pytest.approx(expected, abs=1e-6)


def test_contrast_with_three_clips_sums_over_both_others() -> None:
    views = torch.eye(3)
    # Cosines of a clip: 1 with itself, 0 with the two others.
    assert contrast(views, views, 0.07).item() == pytest.approx(math.log(2) - 1 / 0.07, abs=1e-4)


def test_contrast_falls_where_views_of_a_clip_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    first, noise = torch.randn(8, 16, generator=generator), torch.randn(8, 16, generator=generator)
    losses = [contrast(first, first + scale * noise).item() for scale in (0.0, 1.0, 10.0)]
    assert losses == sorted(losses)
    assert contrast(first, first).item() < contrast(first, first.roll(1, 0)).item()


def test_contrast_of_one_clip_is_zero_and_can_be_trained_on() -> None:
    one = torch.ones(1, 4, requires_grad=True)
    loss = contrast(one, 2 * one)
    loss.backward()
    assert loss.item() == 0 and torch.equal(one.grad, torch.zeros(1, 4))


@pytest.mark.parametrize("with_positive", [False, True])
def test_contrast_gives_finite_gradients(with_positive: bool) -> None:
    first = FIRST.clone().requires_grad_()
    contrast(first, SECOND, with_positive=with_positive).backward()
    assert first.grad is not None and first.grad.isfinite().all() and first.grad.any()


def test_information_of_uniform_sure_and_varied_predictions() -> None:
    sure = 1000.0 * torch.eye(4)
    assert maximise_information(torch.zeros(6, 4)).item() == pytest.approx(0, abs=1e-6)  # uniform: log 4 - log 4
    assert maximise_information(sure[[0, 0, 0]]).item() == pytest.approx(0, abs=1e-6)  # sure of one class: 0 - 0
    assert maximise_information(sure).item() == pytest.approx(-math.log(4), abs=1e-6)  # sure and varied: 0 - log 4
    assert maximise_information(sure[[0, 1]]).item() == pytest.approx(-math.log(2), abs=1e-6)


def test_information_of_two_predictions_by_hand() -> None:
    shares = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    entropies = (-0.9 * math.log(0.9) - 0.1 * math.log(0.1) + math.log(2)) / 2
    mean = -0.7 * math.log(0.7) - 0.3 * math.log(0.3)
    logits = shares.log().requires_grad_()
    loss = maximise_information(logits)
    loss.backward()
    assert loss.item() == pytest.approx(entropies - mean, abs=1e-6)
    assert logits.grad.isfinite().all()


def test_projector_is_two_layers_without_biases_and_depends_on_its_seed() -> None:
    projector, embedding = Projector(6, 5, 3), torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    by_hand = (embedding @ projector.inner.weight.T).clamp_min(0) @ projector.outer.weight.T
    torch.testing.assert_close(projector(embedding), by_hand)
    assert torch.equal(projector(embedding), Projector(6, 5, 3)(embedding))
    assert not torch.equal(projector(embedding), Projector(6, 5, 3, seed=1)(embedding))
    assert projector(torch.zeros(1, 6)).tolist() == [[0, 0, 0]]
    assert Projector(6)(embedding).shape == (2, 128)

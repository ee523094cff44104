"""Learned weights against values worked out by hand."""

import pytest
import torch

from emoadapt.training.weighting import build_weighting

PRESENT = torch.tensor([True, True])


def test_fixed_weights_are_not_learned() -> None:
    assert build_weighting("fixed", [1.0, 0.5]) is None


@pytest.mark.parametrize("kind", ["uncertainty", "gradnorm"])
def test_begins_with_the_weights_configured_and_trains_the_model_with_them(kind: str) -> None:
    weighting = build_weighting(kind, [1.0, 0.5])
    assert weighting.weights.tolist() == pytest.approx([1.0, 0.5])
    shared = torch.tensor([2.0, 3.0], requires_grad=True)
    losses = torch.stack([shared[0] ** 2, 4 * shared[1]])
    weighting.combine(losses, PRESENT, shared).backward()
    assert shared.grad.tolist() == pytest.approx([1.0 * 2 * 2, 0.5 * 4])


def test_uncertainty_ends_where_the_weights_are_the_losses_inverse_halves() -> None:
    """The minimum of w * loss - log(w) / 2."""
    weighting = build_weighting("uncertainty", [1.0, 0.5])
    optimiser = torch.optim.SGD(weighting.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        weighting.combine(torch.tensor([2.0, 0.1]), PRESENT, torch.zeros(1)).backward()
        optimiser.step()
    assert weighting.weights.tolist() == pytest.approx([1 / 4, 5.0], rel=1e-4)


def test_uncertainty_of_an_absent_term_stays_as_it_is() -> None:
    weighting = build_weighting("uncertainty", [1.0, 0.5])
    weighting.combine(torch.tensor([2.0, 0.0]), torch.tensor([True, False]), torch.zeros(1)).backward()
    # d(w * 2 - log(w) / 2) / d(log w) at w = 1
    assert weighting.logarithms.grad.tolist() == pytest.approx([1.5, 0.0])


def follow(weighting, first: list[float], then: list[float], slopes: list[float]) -> list[float]:
    """Gradient of the weights at losses that were `first`, and whose gradients at the shared point have these norms."""
    shared = torch.zeros(2, requires_grad=True)
    for losses in (first, then):
        weighting.zero_grad()
        terms = torch.stack([losses[i] + slopes[i] * shared[i] for i in range(2)])
        weighting.combine(terms, PRESENT, shared).backward()
    return weighting.parameter.grad.tolist()


def test_gradnorm_makes_weighted_gradients_alike_at_equal_pace() -> None:
    # norms 1 * 6 and 1 * 2, their mean 4 the target of both: the first weight is to fall, the second to rise
    assert follow(build_weighting("gradnorm", [1.0, 1.0]), [3.0, 5.0], [1.5, 2.5], [6.0, 2.0]) == [6.0, -2.0]


def test_gradnorm_favours_what_learns_slowly() -> None:
    # norms alike, so that only the pace counts: 0.5 and 1 of the first loss are left
    assert follow(build_weighting("gradnorm", [1.0, 1.0]), [4.0, 4.0], [2.0, 4.0], [1.0, 1.0]) == [1.0, -1.0]
    # mean pace 3 / 4, mean norm (1 + g) / 2: the second's target is (4 / 3) ** 1.5 = 1.54 of that, which 3 is below and 4 above
    assert follow(build_weighting("gradnorm", [1.0, 1.0]), [4.0, 4.0], [2.0, 4.0], [1.0, 3.0])[1] == -3.0
    assert follow(build_weighting("gradnorm", [1.0, 1.0]), [4.0, 4.0], [2.0, 4.0], [1.0, 4.0])[1] == 4.0


def test_gradnorm_keeps_the_sum_and_no_weight_dies() -> None:
    weighting = build_weighting("gradnorm", [1.0, 0.5])
    with torch.no_grad():
        weighting.parameter.copy_(torch.tensor([3.0, -2.0]))
    weighting.settle()
    assert weighting.weights.sum().item() == pytest.approx(1.5)
    assert weighting.weights[1].item() == pytest.approx(1.5 * 0.0015 / 3.0015)


def test_gradnorm_leaves_out_an_absent_term() -> None:
    weighting, shared = build_weighting("gradnorm", [1.0, 1.0]), torch.zeros(2, requires_grad=True)
    losses = torch.stack([1 + 3 * shared[0], shared[1] * 0.0])
    weighting.combine(losses, torch.tensor([True, False]), shared).backward()
    assert weighting.parameter.grad.tolist() == [0.0, 0.0]
    assert weighting.first.isnan().tolist() == [False, True]

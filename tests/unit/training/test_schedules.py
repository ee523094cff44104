"""The course of the learning rate, worked out by hand."""

import pytest

from emoadapt.training.schedules import count_plateaus, scale_rate


def course(schedule: str, warmup: float, n_steps: int) -> list[float]:
    return [scale_rate(schedule, warmup, step, n_steps) for step in range(n_steps)]


def test_constant_is_one() -> None:
    assert course("constant", 0.0, 3) == [1.0, 1.0, 1.0]


def test_warm_up_rises_in_equal_steps() -> None:
    assert course("constant", 0.5, 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_linear_falls_to_zero_behind_the_last_step() -> None:
    assert course("linear", 0.0, 4) == pytest.approx([1, 0.75, 0.5, 0.25])
    assert course("linear", 0.2, 5) == pytest.approx([0.5, 1, 0.75, 0.5, 0.25])


def test_a_plateau_is_three_epochs_that_are_no_better() -> None:
    assert count_plateaus([]) == 0
    assert count_plateaus([(1.0,), (1.0,), (1.0,)]) == 0
    assert count_plateaus([(1.0,), (1.0,), (1.0,), (0.5,)]) == 1
    assert count_plateaus([(1.0,), (1.0,), (1.0,), (2.0,), (1.5,), (1.5,), (2.0,)]) == 1
    assert count_plateaus([(1.0,)] * 7) == 2


def test_scores_are_compared_part_by_part() -> None:
    """Of equal macro-F1, the smaller loss is better."""
    assert count_plateaus([(0.5, -1.0), (0.5, -0.9), (0.5, -0.8), (0.5, -0.7)]) == 0


def test_a_plateau_halves_the_rate_that_warm_up_led_to() -> None:
    scores = [(1.0,)] * 4
    assert scale_rate("plateau", 0.0, 9, 10, scores) == 0.5
    assert scale_rate("constant", 0.0, 9, 10, scores) == 1.0

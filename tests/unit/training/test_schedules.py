"""The course of the learning rate, worked out by hand."""

import pytest

from emoadapt.config import Optimisation
from emoadapt.training.schedules import count_plateaus, scale_rate


def make(schedule: str, warmup: float = 0.0, **settings) -> Optimisation:
    return Optimisation(epochs=1, schedule=schedule, warmup=warmup, **settings)


def course(schedule: str, warmup: float, n_steps: int) -> list[float]:
    return [scale_rate(make(schedule, warmup), step, n_steps) for step in range(n_steps)]


def test_constant_is_one() -> None:
    assert course("constant", 0.0, 3) == [1.0, 1.0, 1.0]


def test_warm_up_rises_in_equal_steps() -> None:
    assert course("constant", 0.5, 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_linear_falls_to_zero_behind_the_last_step() -> None:
    assert course("linear", 0.0, 4) == pytest.approx([1, 0.75, 0.5, 0.25])
    assert course("linear", 0.2, 5) == pytest.approx([0.5, 1, 0.75, 0.5, 0.25])


def test_a_plateau_is_three_epochs_that_are_no_better() -> None:
    assert count_plateaus([], 3) == 0
    assert count_plateaus([(1.0,), (1.0,), (1.0,)], 3) == 0
    assert count_plateaus([(1.0,), (1.0,), (1.0,), (0.5,)], 3) == 1
    assert count_plateaus([(1.0,), (1.0,), (1.0,), (2.0,), (1.5,), (1.5,), (2.0,)], 3) == 1
    assert count_plateaus([(1.0,)] * 7, 3) == 2


def test_scores_are_compared_part_by_part() -> None:
    """Of equal macro-F1, the smaller loss is better."""
    assert count_plateaus([(0.5, -1.0), (0.5, -0.9), (0.5, -0.8), (0.5, -0.7)], 3) == 0


def test_a_plateau_halves_the_rate_that_warm_up_led_to() -> None:
    scores = [(1.0,)] * 4
    assert scale_rate(make("plateau"), 9, 10, scores) == 0.5
    assert scale_rate(make("constant"), 9, 10, scores) == 1.0


@pytest.mark.parametrize(("epochs", "found"), [(1, 6), (2, 3), (3, 2), (6, 1), (7, 0)])
def test_a_plateau_is_as_long_as_the_configuration_says(epochs: int, found: int) -> None:
    assert count_plateaus([(1.0,)] * 7, epochs) == found
    settings = make("plateau", plateau_epochs=epochs, plateau_factor=0.1)
    assert scale_rate(settings, 9, 10, [(1.0,)] * 7) == pytest.approx(0.1**found)


def test_warm_up_comes_before_a_plateau() -> None:
    assert scale_rate(make("plateau", 0.5, plateau_epochs=1), 1, 6, [(1.0,)] * 3) == pytest.approx(0.5)

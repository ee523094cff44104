"""Averages of precision, recall and F1, worked out by hand."""

import numpy as np
import pytest

from emoadapt.metrics.base import read_metric

CONFUSION = np.array([[3, 1, 0], [0, 2, 2], [1, 0, 1]])
"""Rows are true classes. Precision 3/4, 2/3, 1/3; recall 3/4, 1/2, 1/2; F1 6/8, 4/7, 2/5; 6 of 10 are right."""


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("macro_precision", (3 / 4 + 2 / 3 + 1 / 3) / 3),
        ("uar", (3 / 4 + 1 / 2 + 1 / 2) / 3),
        ("macro_f1", (6 / 8 + 4 / 7 + 2 / 5) / 3),
        ("accuracy", 6 / 10),
    ],
)
def test_average_by_hand(metric, expected):
    assert read_metric(metric).load()(CONFUSION) == pytest.approx(expected)


def test_class_that_is_never_predicted_counts_as_0_in_macro_precision():
    confusion = CONFUSION.copy()
    confusion[:, 1] += confusion[:, 2]
    confusion[:, 2] = 0
    assert read_metric("macro_precision").load()(confusion) == pytest.approx((3 / 4 + 4 / 6 + 0) / 3)

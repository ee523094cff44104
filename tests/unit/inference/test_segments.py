"""Windows that become segments."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emoadapt.inference.prediction import Prediction
from emoadapt.inference.segments import count_samples, merge_windows, share_windows

FILE = Path("a.wav")


def make_window(start: float, end: float, label: str = "x", share: float = 0.8, **more) -> Prediction:
    other = "y" if label == "x" else "x"
    return Prediction(FILE, start, end, label=label, probabilities={label: share, other: 1 - share}, **more)


def list_times(predictions) -> list[tuple[float | None, float | None]]:
    return [(prediction.start, prediction.end) for prediction in predictions]


@pytest.mark.parametrize(
    ("windows", "shares"),
    [
        ([(0, 10), (5, 15), (10, 20), (11, 21)], [(0, 7.5), (7.5, 12.5), (12.5, 15.5), (15.5, 21)]),
        ([(0, 3), (1, 4), (2, 5), (3, 6), (3.5, 6.5)], [(0, 2), (2, 3), (3, 4), (4, 4.75), (4.75, 6.5)]),
        ([(4, 5), (5, 6), (8, 9)], [(4, 5), (5, 6), (8, 9)]),
        ([(0, 2)], [(0, 2)]),
        ([], []),
    ],
    ids=["half a window", "many overlap", "none overlap", "one", "none"],
)
def test_shares_meet_in_the_middle_of_overlaps(windows: list, shares: list) -> None:
    assert list_times(share_windows(make_window(*times) for times in windows)) == shares


def test_shares_begin_and_end_with_a_sample() -> None:
    windows = [make_window(number / 16_000, (number + 1601) / 16_000) for number in range(0, 8000, 531)]
    found = list(share_windows(windows))
    for before, after in pairwise(found):
        assert before.end == after.start == count_samples(after.start) / 16_000
    assert (found[0].start, found[-1].end) == (windows[0].start, windows[-1].end)


def test_neighbours_of_one_class_are_one_segment() -> None:
    windows = [
        make_window(0, 10, share=0.9), make_window(5, 15, share=0.7), make_window(10, 20, "y", 0.6),
        make_window(12, 22, share=0.6),
    ]  # fmt: skip
    found = list(merge_windows(windows))
    assert list_times(found) == [(0, 12.5), (12.5, 16), (16, 22)]
    assert [(row.label, row.windows) for row in found] == [("x", 2), ("y", 1), ("x", 1)]
    assert found[0].probabilities == pytest.approx(
        {"x": (7.5 * 0.9 + 5 * 0.7) / 12.5, "y": (7.5 * 0.1 + 5 * 0.3) / 12.5}
    )


def test_rows_without_emotion_are_segments_of_their_own() -> None:
    quiet = [Prediction(FILE, i, i + 1.0, "absent", reason=f"quiet: {-60 - i} dB") for i in (1, 2)]
    silent = Prediction(FILE, 3.0, 4.0, "absent", reason="silent: all samples are 0")
    fault = Prediction(FILE, status="failed", reason="truncated: it ends")
    rows = [make_window(0, 1.0), *quiet, silent, make_window(4.0, 5.0), fault]
    found = list(merge_windows(rows))
    assert [(row.status, row.start, row.end, row.windows) for row in found] == [
        ("ok", 0, 1, 1), ("absent", 1, 3, 2), ("absent", 3, 4, 1), ("ok", 4, 5, 1), ("failed", None, None, None),
    ]  # fmt: skip
    assert found[1].reason == "quiet: -61 dB (the first of 2 such notes)" and found[2].reason == silent.reason


def test_values_are_not_merged() -> None:
    windows = [Prediction(FILE, start, start + 2.0, values={"arousal": 0.5}) for start in (0.0, 1.0)]
    found = list(merge_windows(windows))
    assert list_times(found) == [(0, 1.5), (1.5, 3)] and found[0].values == {"arousal": 0.5}


def test_segments_end_with_their_file() -> None:
    """And with their reading, where a file is named twice."""
    other = Prediction(Path("b.wav"), 0.0, 1.0, label="x", probabilities={"x": 1.0})
    assert list_times(merge_windows([make_window(0, 1.0), make_window(0, 1.0), other])) == [(0, 1)] * 3


def test_texts_and_notes_are_joined_once() -> None:
    windows = [
        make_window(0, 1.0, text="yes", reason="clipped: 1 % | narrow_band: 8000 Hz"),
        make_window(1.0, 2.0, text="yes", reason="narrow_band: 8000 Hz"),
        make_window(2.0, 3.0, text="no", reason="clipped: 2 % | narrow_band: 8000 Hz"),
    ]
    (found,) = merge_windows(windows)
    assert found.text == "yes / no"
    assert found.reason == "clipped: 1 % (the first of 2 such notes) | narrow_band: 8000 Hz"


def test_share_keeps_its_peaks() -> None:
    peaks = [np.arange(2 * n, 2 * n + 200, dtype=np.int16).reshape(-1, 2) for n in (0, 50)]
    found = list(share_windows(make_window(i / 2, i / 2 + 1, peaks=values) for i, values in enumerate(peaks)))
    assert list_times(found) == [(0, 0.75), (0.75, 1.5)]
    np.testing.assert_array_equal(found[1].peaks, peaks[1][25:])

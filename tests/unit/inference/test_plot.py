"""Pictures of recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from emoadapt.inference import plot
from emoadapt.inference.plot import COLUMNS, draw_recordings
from emoadapt.inference.prediction import Prediction

NAMES = ["calm", "angry & <loud>"]


def make_windows(count: int, file: str = "a.wav") -> list[Prediction]:
    """Windows of 2 s each second, the third without emotion."""
    random = np.random.default_rng(0)
    found = []
    for start in range(count):
        share, peaks = random.uniform(), random.integers(-9000, 9000, (200, 2)).astype(np.int16)
        found.append(
            Prediction(Path(file), start, start + 2.0, label=NAMES[int(share < 0.5)], probabilities=dict(zip(NAMES, (share, 1 - share), strict=True)), peaks=peaks)
            if start != 2
            else Prediction(Path(file), start, start + 2.0, "absent", reason="quiet: -60 dB", peaks=peaks // 100)
        )  # fmt: skip
    return found


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved."""
    figures: list[Figure] = []
    save = plot._save
    monkeypatch.setattr(plot, "_save", lambda figure, path: (figures.append(figure), save(figure, path)))
    return figures


def draw(windows: list[Prediction], path: Path, outputs: list[str] = NAMES) -> None:
    assert list(draw_recordings(iter(windows), {window.file: path for window in windows}, outputs)) == windows


def test_lines_are_the_probabilities_of_the_shares(drawn: list[Figure], tmp_path: Path) -> None:
    windows = make_windows(5)
    draw(windows, tmp_path / "a.png")
    wave, lines, strip = drawn[0].axes
    assert [line.get_label() for line in lines.get_lines()] == NAMES
    times, levels = lines.get_lines()[0].get_data()
    assert times.tolist() == [0, 1.5, 1.5, 2.5, 2.5, 3.5, 3.5, 4.5, 4.5, 6]
    expected = [(window.probabilities or {}).get("calm", np.nan) for window in windows]
    np.testing.assert_array_equal(levels, np.repeat(expected, 2))
    assert len(strip.collections) == len({window.label for window in windows[:2]}) + len({w.label for w in windows[3:]})
    assert wave.get_xlim() == (0, 6)


def test_equal_predictions_give_equal_pictures(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw(make_windows(4), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_each_recording_is_drawn_when_it_has_passed(tmp_path: Path) -> None:
    windows = [
        *make_windows(2, "a.wav"),
        Prediction(Path("b.wav"), status="failed", reason="undecodable: no"),
        *make_windows(1, "c.wav"),
    ]
    pictures = {Path(f"{name}.wav"): tmp_path / f"{name}.png" for name in "abc"}
    passed = draw_recordings(iter(windows), pictures, NAMES)
    seen = [[path.stem for path in sorted(tmp_path.glob("*.png"))] for _ in passed]
    assert seen == [[], [], ["a"], ["a"]] and (tmp_path / "c.png").exists()


@pytest.mark.parametrize("times", [(), (0.0, 2.0)])
def test_a_recording_that_failed_has_no_picture_and_loses_an_older_one(
    tmp_path: Path, times: tuple[float, ...]
) -> None:
    """Symptom: a picture of its reason lay among those of emotions."""
    (tmp_path / "b.png").write_bytes(b"of an earlier call")
    draw([Prediction(Path("b.wav"), *times, status="failed", reason="undecodable: no")], tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
    draw([Prediction(Path("b.mp4"), status="absent", reason="no_audio: none")], tmp_path / "b.png")
    assert (tmp_path / "b.png").exists(), "it was read, and has no sound"


def test_values_of_attributes_have_a_scale_of_their_own(drawn: list[Figure], tmp_path: Path) -> None:
    windows = [Prediction(Path("a"), i, i + 1.0, values={"arousal": 1 + i, "valence": 7 - i}) for i in range(4)]
    draw(windows, tmp_path / "a.png", ["arousal", "valence"])
    assert len(drawn[0].axes) == 2 and drawn[0].axes[1].get_ylim()[1] > 6
    assert drawn[0].axes[1].get_lines()[1].get_ydata().tolist() == [7, 7, 6, 6, 5, 5, 4, 4]


@pytest.mark.parametrize("rated", [False, True])
def test_one_window_is_drawn_as_bars(drawn: list[Figure], tmp_path: Path, rated: bool) -> None:
    """Symptom: a recording of one window was a picture of flat lines over time."""
    found = {"arousal": 4.5, "valence": 2.25} if rated else dict(zip(NAMES, (0.7, 0.3), strict=True))
    window = Prediction(
        Path("a.wav"), 0.0, 2.0, **({"values": found} if rated else {"label": "calm", "probabilities": found})
    )
    draw([window], tmp_path / "a.png", [*found])
    wave, bars = drawn[0].axes
    assert [bar.get_height() for bar in bars.patches] == [*found.values()]
    assert [label.get_text() for label in bars.get_xticklabels()] == [*found]
    assert bars.get_ylabel() == ("value" if rated else "probability") and wave.get_xlim() == (0, 2)


def test_thinned_waveform_keeps_its_peaks() -> None:
    peaks = np.zeros((7 * COLUMNS + 3, 2), np.int16)
    peaks[12_345] = -30_000, 20_000
    times, thin = plot._thin(np.arange(len(peaks)) / 100, peaks)
    assert len(times) <= COLUMNS and thin.min() == -30_000 and thin.max() == 20_000
    assert abs(times[thin[:, 0].argmin()] - 123.45) < 0.1


@pytest.mark.parametrize(
    ("seconds", "step"), [(0.1, 0.01), (4, 0.5), (42, 5), (110, 15), (10_800, 1800), (86_400, 10_800)]
)
def test_marks_are_at_times_that_people_count_in(seconds: float, step: float) -> None:
    assert plot._choose_step(seconds) == step

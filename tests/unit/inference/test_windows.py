"""Cutting of recordings while they are decoded."""

import numpy as np
import pytest

from emoadapt.errors import ConfigError
from emoadapt.inference.windows import Cutting, cut_audio
from emoadapt.media import Piece


def cut(n_samples: int, cutting: Cutting, piece: int = 3) -> list[tuple[int, list[int]]]:
    """Windows of the recording 0, 1, 2, ..., which the decoder gives in pieces."""
    samples = np.arange(n_samples, dtype=np.int16)
    pieces = [Piece(i, samples[i : i + piece]) for i in range(0, n_samples, piece)]
    return [(start, window.tolist()) for start, window in cut_audio(pieces, cutting)]


@pytest.mark.parametrize(
    ("n_samples", "starts"),
    [(9, None), (10, None), (11, [0, 1]), (14, [0, 4]), (15, [0, 4, 5]), (18, [0, 4, 8]), (19, [0, 4, 8, 9])],
)
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_windows_cover_a_recording_and_the_last_one_ends_with_it(n_samples: int, starts: list[int], piece: int) -> None:
    found = cut(n_samples, Cutting(window=10, hop=4, whole=10), piece)
    if starts is None:
        assert found == [(0, list(range(n_samples)))]
    else:
        assert found == [(start, list(range(start, start + 10))) for start in starts]


def test_recording_of_up_to_the_longest_whole_is_left_whole() -> None:
    cutting = Cutting(window=10, hop=10, whole=25)
    assert cut(25, cutting) == [(0, list(range(25)))]
    assert [start for start, _ in cut(26, cutting)] == [0, 10, 16]
    assert cut(500, Cutting(window=10, hop=10, whole=None)) == [(0, list(range(500)))]


@pytest.mark.parametrize(("n_samples", "starts"), [(9, [64]), (15, [64, 68, 69])])
def test_windows_keep_the_place_of_a_recording_that_begins_late(n_samples: int, starts: list[int]) -> None:
    pieces = [Piece(64 + i, np.array([i], np.int16)) for i in range(n_samples)]
    found = list(cut_audio(pieces, Cutting(window=10, hop=4, whole=10)))
    assert [window.position for window in found] == starts
    assert [window.samples[0] for window in found] == [start - 64 for start in starts]


def test_decoder_is_never_far_ahead_of_the_windows() -> None:
    """A recording of hours was held in memory as a whole."""
    decoded = 0

    def decode():
        nonlocal decoded
        for _ in range(1000):
            decoded += 7
            yield Piece(decoded - 7, np.ones(7, np.int16))

    for start, window in cut_audio(decode(), Cutting(window=20, hop=5, whole=30)):
        assert len(window) == 20
        assert decoded <= max(start + 20, 31) + 7
    assert decoded == 7000


def test_what_a_person_says_becomes_samples() -> None:
    assert Cutting.choose() == Cutting(160_000, 80_000, 480_000)
    assert Cutting.choose(window=4) == Cutting(64_000, 32_000, 64_000)
    assert Cutting.choose(window=4, hop=1) == Cutting(64_000, 16_000, 64_000)
    assert Cutting.choose(whole=True).whole is None


@pytest.mark.parametrize("options", [{"window": 2, "hop": 3}, {"window": 0}, {"hop": 0}, {"window": float("nan")}])
def test_windows_that_do_not_fit_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="do not fit"):
        Cutting.choose(**options)


def test_whole_recordings_have_no_window() -> None:
    with pytest.raises(ConfigError, match="neither window nor hop"):
        Cutting.choose(window=3, whole=True)

"""How signals of clips are cropped and put together."""

from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from emoadapt.config import Optimisation
from emoadapt.data.streams import AUDIO, Stream
from emoadapt.training.signals import load_signals, note_cropped

LENGTHS = {f"c/{n}": 1600 * n for n in range(1, 9)}


class Sounds:
    """A store of clips of 0.1 s, 0.2 s and so on."""

    def read(self, name: str, stream: Stream) -> np.ndarray:
        assert stream == AUDIO
        return np.full(LENGTHS[name], 7, np.int16)


def load(shortest: int = 0, **settings: float) -> list[list[int]]:
    """Lengths of the clips that a loader gives, batch by batch."""
    backbone = SimpleNamespace(shortest=shortest)
    optimisation = Optimisation(epochs=1, **settings)  # type: ignore[arg-type]
    batches = load_signals(
        Sounds(), lambda name: {"label": torch.tensor(0)}, LENGTHS, optimisation, backbone, cached=False, seed=None
    )  # fmt: skip
    return [[len(clip) for clip in batch.streams["audio"]] for batch in batches]


@pytest.mark.parametrize(("shortest", "sizes"), [(0, [4, 2, 2]), (8000, [3, 2, 2, 1])])
def test_seconds_of_a_batch_count_what_the_model_hears(shortest: int, sizes: list[int]) -> None:
    """Clips of 0.1 s that are lengthened to 0.5 s take the room of 0.5 s."""
    assert [len(batch) for batch in load(shortest, batch_seconds=1.6)] == sizes


def test_longer_clips_are_cropped_and_shorter_ones_left_alone() -> None:
    assert list(chain(*load(max_seconds=0.3, batch_size=3))) == [1600, 3200, *[4800] * 6]


def test_cropped_clips_are_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    settings = Optimisation(epochs=1, max_seconds=0.3, crop="centre")
    assert note_cropped("tiny.all", LENGTHS.values(), settings) == 5
    assert caplog.messages == [
        "tiny.all: 5 of 8 clips are longer than max_seconds (0.3 s) and are cropped, in evaluations too (crop: centre)"
    ]
    assert note_cropped("tiny.all", LENGTHS.values(), Optimisation(epochs=1)) == 0
    assert note_cropped("tiny.all", LENGTHS.values(), Optimisation(epochs=1, max_seconds=9)) == 0
    assert len(caplog.messages) == 1

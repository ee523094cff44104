"""Cutting of recordings into windows while they are decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.errors import ConfigError
from emoadapt.media import Piece
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_SECONDS = 10.0
"""Of a long recording, where none is given."""
WHOLE_SECONDS = 30.0
"""Recordings up to here are one utterance, where no window is given."""


@dataclass(frozen=True)
class Cutting:
    """How recordings are cut; all in samples.

    Args:
        window: length of a window.
        hop: from the beginning of one window to that of the next.
        whole: longest recording that is left whole; None = any.
    """

    window: int
    hop: int
    whole: int | None

    @classmethod
    def choose(cls, window: float | None = None, hop: float | None = None, whole: bool = False) -> Cutting:
        """From what a person says, in seconds.

        Args:
            window: None = recordings over 30 s are cut into windows of 10 s, shorter ones left whole.
            hop: None = half a window.
            whole: every recording is left whole, however long.

        Raises:
            ConfigError: they contradict each other.
        """
        if whole and (window is not None or hop is not None):
            raise ConfigError("whole recordings have neither window nor hop; give one or the other")
        seconds = WINDOW_SECONDS if window is None else window
        step = seconds / 2 if hop is None else hop
        if not (0.1 <= seconds < inf and 0.01 <= step <= seconds):
            raise ConfigError(
                f"window {seconds:g} s and hop {step:g} s do not fit; a window has 0.1 s or more, a hop 0.01 s to a window"
            )
        longest = WHOLE_SECONDS if window is None else window
        return cls(
            round(seconds * SAMPLE_RATE), round(step * SAMPLE_RATE), None if whole else round(longest * SAMPLE_RATE)
        )


def cut_audio(pieces: Iterable[Piece], cutting: Cutting) -> Iterator[Piece]:
    """Windows of a recording, given as soon as they are complete; memory does not grow with its length.

    All windows of a recording are equally long; the last one ends where the recording ends, and so overlaps more.

    Args:
        pieces: the recording, each piece beginning where the one before ends; at least one sample.
        cutting: window, hop, and up to where a recording is left whole.

    Yields:
        The windows, placed as the pieces are.
    """
    rest = iter(pieces)
    start, beginning = next(rest)
    held = _fill([beginning], rest, None if cutting.whole is None else cutting.whole + 1)
    if cutting.whole is None or len(held) <= cutting.whole:
        yield Piece(start, held)
        return
    window, hop = cutting.window, cutting.hop
    while True:
        yield Piece(start, held[:window].copy())
        held = _fill([held], rest, hop + window)
        if len(held) < hop + window:
            break
        held, start = held[hop:], start + hop
    if len(held) > window:
        yield Piece(start + len(held) - window, held[-window:].copy())


def _fill(parts: list[NDArray[np.int16]], rest: Iterator[Piece], wanted: int | None) -> NDArray[np.int16]:
    """Parts with as many pieces behind them as make `wanted` samples (None = all), or all that are left."""
    length = sum(map(len, parts))
    while wanted is None or length < wanted:
        piece = next(rest, None)
        if piece is None:
            break
        parts.append(piece.samples)
        length += len(piece.samples)
    return np.concatenate(parts)

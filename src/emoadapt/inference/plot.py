"""A picture of a recording: its waveform, and its emotions over time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.ticker import FuncFormatter, MultipleLocator

from emoadapt.inference.decoding import is_pipe
from emoadapt.inference.output import explain_writing, remove_output
from emoadapt.inference.prediction import PEAK_SECONDS, Prediction
from emoadapt.inference.segments import merge_windows, share_windows
from emoadapt.reporting.canvas import SETTINGS, new_figure
from emoadapt.reporting.style import ADAPTED_COLOURS, BLUE, GREY, INK, LINES, VECTOR_COLOURS, shorten
from emoadapt.storage.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = (BLUE, *ADAPTED_COLOURS, *VECTOR_COLOURS[1:])
"""Grey is what has no emotion."""
COLUMNS = 2000
"""Of a waveform, at most."""
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None}, "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}  # fmt: skip
_MOST_MARKS = 10
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_EMPTY = "#EFEFEF"
_SHORTEST_NAMED = 0.06
"""Share of the picture from which on a segment is named in it."""


def draw_recordings(
    predictions: Iterable[Prediction], pictures: Mapping[Path, Path], outputs: Sequence[str]
) -> Iterator[Prediction]:
    """Pass predictions on, and draw each recording when its last one has passed, unless all of it failed.

    A picture of it from an earlier call is then removed.

    Args:
        predictions: windows with their peaks, those of a recording together.
        pictures: recording -> its picture.
        outputs: classes or attributes.
    """
    for file, windows in groupby(predictions, lambda prediction: prediction.file):
        held = []
        for window in windows:
            held.append(window)
            yield window
        if all(window.status == "failed" for window in held):
            remove_output(pictures[file])
        else:
            draw_recording(held, pictures[file], outputs)


def draw_recording(windows: Sequence[Prediction], path: Path, outputs: Sequence[str]) -> None:
    """Draw one recording.

    Args:
        windows: of it, with their peaks.
        path: picture to write, in the format of its suffix.
        outputs: classes or attributes.
    """
    shares = [share for share in share_windows(windows) if share.start is not None and share.end is not None]
    if not shares:
        _draw_reason(windows, path)
        return
    rated = any(share.values is not None for share in shares)
    marks = _choose_marks(outputs)
    if len(shares) == 1 and shares[0].status == "ok":
        _draw_single(shares[0], path, marks)
        return
    heights = [1, 2.2] if rated else [1, 2.2, 0.32]
    with new_figure(9, 4.2) as figure:
        wave, lines, *strips = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        _draw_wave(wave, shares)
        _draw_lines(lines, shares, marks, rated)
        for strip in strips:
            _draw_strip(strip, list(merge_windows(windows)), marks)
        _shade_empty([wave, lines, *strips], shares)
        _finish(figure, [wave, lines, *strips], shares)
        wave.set_title(_name(windows[0].file))
        _save(figure, path)


def _draw_single(share: Prediction, path: Path, marks: Mapping[str, dict[str, Any]]) -> None:
    """A recording of one window: its waveform, and a bar for each class or attribute, since nothing changes over time."""
    with new_figure(9, 4.2) as figure:
        wave, bars = figure.subplots(2, 1, height_ratios=[1, 2.2])
        _draw_wave(wave, [share])
        _finish(figure, [wave], [share])
        found = (share.probabilities if share.values is None else share.values) or {}
        levels, colours = [found.get(name, np.nan) for name in marks], [mark["color"] for mark in marks.values()]
        drawn = bars.bar([shorten(name, 18) for name in marks], levels, color=colours, width=0.6)
        bars.bar_label(drawn, fmt="%.2f", padding=2)
        bars.set_ylabel("probability" if share.values is None else "value")
        if share.values is None:
            bars.set_ylim(0, 1.1)
        bars.grid(visible=False, axis="x")
        wave.set_title(_name(share.file))
        _save(figure, path)


def _name(file: Path) -> str:
    """A recording in a title; the end of a long path says most."""
    name = "standard input" if is_pipe(file) else os.fsencode(file).decode("utf-8", "replace")
    return name if len(name) <= 90 else f"…{name[-89:]}"


def _save(figure: Figure, path: Path) -> None:
    """Write a picture; no dates or versions inside, so that equal data give equal files."""
    kind = path.suffix.lower().removeprefix(".")
    with explain_writing(path), rc_context(SETTINGS), replacing(path) as part:
        figure.savefig(part, format=kind, dpi=144, metadata=_METADATA[kind])


def _choose_marks(outputs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Output -> colour and line style."""
    n = len(COLOURS)
    return {
        name: {"color": COLOURS[place % n], "linestyle": LINES[place // n % len(LINES)]}
        for place, name in enumerate(outputs)
    }


def _draw_reason(windows: Sequence[Prediction], path: Path) -> None:
    """A picture that says why there is nothing to see."""
    with new_figure(9, 0.9) as figure:
        figure.text(0.02, 0.65, _name(windows[0].file), weight="bold", va="center")
        figure.text(0.02, 0.28, shorten(windows[0].reason or "", 120), va="center")
        _save(figure, path)


def _draw_wave(axis: Axes, shares: Sequence[Prediction]) -> None:
    parts = [_place_peaks(share) for share in shares if share.peaks is not None]
    if parts:
        times, peaks = _thin(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        lowest, highest = peaks.T / 32768
        axis.fill_between(times, lowest, highest, color=GREY, linewidth=0.4, step="post")
    loudest = max((float(np.abs(values.astype(np.int32)).max()) / 32768 for _, values in parts), default=1.0)
    axis.set_ylim(-1.05 * max(loudest, 1e-3), 1.05 * max(loudest, 1e-3))
    axis.set_yticks([])
    axis.set_ylabel("waveform")


def _place_peaks(share: Prediction) -> tuple[NDArray[Any], NDArray[Any]]:
    """Times of the peaks of a share, and those that lie in it."""
    assert share.peaks is not None and share.start is not None and share.end is not None
    count = max(1, min(len(share.peaks), round((share.end - share.start) / PEAK_SECONDS)))
    return share.start + PEAK_SECONDS * np.arange(count), share.peaks[:count]


def _thin(times: NDArray[Any], peaks: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most `COLUMNS` peaks that show what all show."""
    starts = np.arange(0, len(times), -(-len(times) // COLUMNS))
    lowest, highest = np.minimum.reduceat(peaks[:, 0], starts), np.maximum.reduceat(peaks[:, 1], starts)
    return times[starts], np.stack([lowest, highest], axis=1)


def _draw_lines(axis: Axes, shares: Sequence[Prediction], marks: Mapping[str, dict[str, Any]], rated: bool) -> None:
    """A line for each class or attribute, level within a share and broken where there is no emotion."""
    times = np.array([[share.start, share.end] for share in shares], dtype=float).ravel()
    for name, mark in marks.items():
        levels = [((share.values if rated else share.probabilities) or {}).get(name, np.nan) for share in shares]
        axis.plot(times, np.repeat(levels, 2), label=shorten(name, 24), linewidth=1.6, **mark)
    if not rated:
        axis.set_ylim(-0.02, 1.02)
    axis.set_ylabel("value" if rated else "probability")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _draw_strip(axis: Axes, segments: Sequence[Prediction], marks: Mapping[str, dict[str, Any]]) -> None:
    """The class of each segment."""
    total = max((segment.end or 0.0) for segment in segments) - min(
        segment.start or 0.0 for segment in segments if segment.start is not None
    )
    for segment in segments:
        if segment.status != "ok" or segment.start is None or segment.end is None or segment.label is None:
            continue
        length = segment.end - segment.start
        axis.broken_barh([(segment.start, length)], (0, 1), facecolor=marks[segment.label]["color"], alpha=0.85)
        if length > _SHORTEST_NAMED * total:
            room = max(3, int(140 * length / total))
            middle = segment.start + length / 2
            axis.text(middle, 0.46, shorten(segment.label, room), color="white", ha="center", va="center", clip_on=True)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.grid(False)


def _shade_empty(axes: Sequence[Axes], shares: Sequence[Prediction]) -> None:
    """Shade what has no emotion."""
    for share in shares:
        if share.status != "ok":
            for axis in axes:
                axis.axvspan(share.start, share.end, color=_EMPTY, linewidth=0, zorder=0)  # type: ignore[arg-type]


def _finish(figure: Figure, axes: Sequence[Axes], shares: Sequence[Prediction]) -> None:
    begin, end = shares[0].start or 0.0, shares[-1].end or 0.0
    axes[-1].set_xlim(begin, end)
    axes[-1].xaxis.set_major_locator(MultipleLocator(_choose_step(end - begin)))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _format_time(seconds, end)))
    axes[-1].set_xlabel("time (s)" if end < 120 else "time (min:s)" if end < 3600 else "time (h:min:s)")
    empty = sum((share.end or 0.0) - (share.start or 0.0) for share in shares if share.status != "ok")
    if empty:
        figure.text(0.995, 0.01, f"grey: {empty:.1f} s without emotion", ha="right", va="bottom", color=INK, size=8)


def _choose_step(seconds: float) -> float:
    """Seconds between marks: at most ten in the picture, at times that people count in."""
    found = next((step for step in _STEPS if seconds / step <= _MOST_MARKS), None)
    return found or 3600.0 * math.ceil(seconds / 3600 / _MOST_MARKS)


def _format_time(seconds: float, end: float) -> str:
    if end < 120:
        return f"{seconds:g}"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if end >= 3600 else f"{minutes}:{rest:02}"

"""Shared drawing of figures: one look, reproducible SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from emoadapt.reporting.style import INK
from emoadapt.storage.files import replacing

SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,
    # Text as outlines: a reader's machine may not have the font, and labels must not move.
    "svg.fonttype": "path",
    "svg.hashsalt": "emoadapt",
    "savefig.facecolor": "white",
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of width x height inches, drawn without pyplot's global state."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def split_panels(figure: Figure, count: int, columns: int, **options: Any) -> list[Axes]:
    """`count` panels in rows of `columns`; what is left of the last row stays empty.

    Args:
        figure: to draw in.
        count: number of panels.
        columns: panels in a row.
        options: for `Figure.subplots`.
    """
    axes = list(figure.subplots(-(-count // columns), columns, squeeze=False, **options).flat)
    for axis in axes[count:]:
        axis.remove()
    return axes[:count]


def save_figure(figure: Figure, out: Path, name: str) -> None:
    """Write `<name>.svg` and `<name>.png`; no dates or versions inside, so that equal data give equal files."""
    metadata: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    for kind, entries in metadata.items():
        with matplotlib.rc_context(SETTINGS), replacing(out / f"{name}.{kind}") as part:
            figure.savefig(part, format=kind, dpi=144, metadata=entries)


_NOTE = "note-instead-of-a-figure"
"""Name of the sentence in the SVG of `save_note`."""


def is_note(path: Path) -> bool:
    """Whether an SVG is one of `save_note`."""
    return f'id="{_NOTE}"' in path.read_text(encoding="utf-8")


def save_note(out: Path, name: str, sentence: str) -> None:
    """A figure that says why there is nothing to see."""
    with new_figure(7, 0.8) as figure:
        figure.text(0.02, 0.5, sentence, va="center", gid=_NOTE)
        save_figure(figure, out, name)


def name_ends(axis: Axes, ends: Sequence[tuple[float, str, str]], gap: float, **style: Any) -> None:
    """Write what each line is beside its right end.

    Args:
        axis: the panel, with its limits.
        ends: (height, label, colour) of every line.
        gap: smallest distance of two lines of text, as a part of the panel's height.
        style: of the text.
    """
    low, high = axis.get_ylim()
    rows = max((label.count("\n") + 1 for _, label, _ in ends), default=1)
    heights = spread_labels([height for height, *_ in ends], (high - low) * gap * rows)
    for height, (_, label, colour) in zip(heights, ends, strict=True):
        axis.annotate(
            label, (1.0, height), (4, 0), xycoords=axis.get_yaxis_transform(), textcoords="offset points", color=colour,
            va="center", annotation_clip=False, **style,
        )  # fmt: skip


def spread_labels(heights: Sequence[float], gap: float) -> list[float]:
    """Move label positions apart to at least `gap`, each as little as possible, in their order.

    Args:
        heights: wanted positions.
        gap: smallest distance between two labels.
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    # Pool neighbours that touch, as isotonic regression does: each pool is centred on the mean of its wishes.
    pools: list[tuple[float, int]] = []
    for place in order:
        centre, size = heights[place], 1
        while pools and centre - gap * (size - 1) / 2 < pools[-1][0] + gap * (pools[-1][1] - 1) / 2 + gap:
            before, count = pools.pop()
            # The mean of wishes shifted by rank keeps the pool's members where they pull it.
            centre = (before * count + centre * size) / (count + size)
            size += count
        pools.append((centre, size))
    placed = [centre + gap * (k - (size - 1) / 2) for centre, size in pools for k in range(size)]
    result = [0.0] * len(heights)
    for place, height in zip(order, placed, strict=True):
        result[place] = height
    return result

"""Histograms as SVG, which a page holds as it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 8, 34
_FEWEST_BARS, _MOST_BARS = 8, 40
_LOG_FROM = 20.0
"""Ratio of the largest to the median value from which the axis is logarithmic, if all values are positive."""


def draw_histogram(values: Sequence[float], unit: str, *, log: bool | None = None, span: float = 0.0) -> Markup:
    """Draw how often values occur; what a bar counts stands in its title.

    Args:
        values: at least one.
        unit: of the axis.
        log: whether the axis is logarithmic; None: if the largest value is 20 times the median or more.
        span: that the axis covers at least, so that tiny differences do not look large.
    """
    given = np.asarray(values, np.float64)
    if log is None:
        log = bool(given.min() > 0 and given.max() >= _LOG_FROM * np.median(given))
    edges = _choose_edges(np.log10(given) if log else given, span)
    counts, _ = np.histogram(np.log10(given) if log else given, edges)
    names = [_name(10**edge if log else edge) for edge in edges]
    low, high, top = edges[0], edges[-1], max(1, int(counts.max()))

    def x(value: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low), 1)

    def y(count: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * count / top, 1)

    marks = [
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(count)}" y2="{y(count)}"/>'
        f'<text x="{_LEFT - 6}" y="{y(count) + 4}" text-anchor="end">{count:,}</text>'
        for count in ({0, top // 2, top} if top > 1 else {0, top})
    ]
    marks += [
        f'<rect class="bar" x="{x(edges[i])}" width="{max(0.5, round(x(edges[i + 1]) - x(edges[i]) - 1, 1))}" y="{y(count)}" '
        f'height="{round(y(0) - y(count), 1)}"><title>{names[i]} to {names[i + 1]} {escape(unit)}: {count:,}</title></rect>'
        for i, count in enumerate(counts.tolist())
        if count
    ]
    marks += [
        f'<text x="{x(place)}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{name}</text>'
        for place, name in _choose_ticks(low, high, log=log)
    ]
    label = f'<text class="soft" x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(unit)}</text>'
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Histogram of {len(given):,} values, {escape(unit)}">'
        f"{''.join(marks)}{label}</svg>"
    )  # fmt: skip


def _choose_edges(values: np.ndarray, span: float) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    wider = (span or float(high <= low)) - (high - low)
    if wider > 0:
        low, high = low - wider / 2, high + wider / 2
    # Rice's rule.
    bars = min(max(round(2 * len(values) ** (1 / 3)), _FEWEST_BARS), _MOST_BARS)
    return np.linspace(low, high, bars + 1)


def _choose_ticks(low: float, high: float, *, log: bool) -> list[tuple[float, str]]:
    """Places on the axis and their names."""
    if log:
        wanted = [
            step * 10.0**power for power in range(int(np.floor(low)), int(np.ceil(high)) + 1) for step in (1, 2, 5)
        ]
        places = [(float(np.log10(value)), _name(value)) for value in wanted if low <= np.log10(value) <= high]
        return (
            places if len(places) <= 7 else [place for place in places if place[1][0] == "1" or place[1].endswith("1")]
        )
    raw = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    return [
        (number * step, _name(number * step))
        for number in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)
    ]


def _name(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")

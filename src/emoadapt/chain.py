"""Picture of the chain, drawn from what the built-in study and the plug-ins declare."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from emoadapt.config import Study, objective_features, read_study
from emoadapt.plugins import read_declaration

WIDTH, HEIGHT = 128, 44
"""Size of a box, in pixels."""
ACROSS, DOWN = 160, 60
"""Distance from one box to the next, in pixels."""
MARGIN = 12

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2430; text-anchor: middle }
.small { font-size: 11px; fill: #5b6270 }
rect { fill: #eef1f8; stroke: #5c6bc0 }
.stage { fill: #dfe5f7; stroke-width: 2 }
path { fill: none; stroke: #8a93a8; stroke-width: 1.4 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9f0 } .small { fill: #a9b1c2 } rect { fill: #262b38; stroke: #8c9eff } .stage { fill: #313852 } path { stroke: #6d768c }
}
"""


class Box(NamedTuple):
    """A step of the chain.

    Args:
        title: first line.
        subtitle: second line.
        column: from the left.
        row: from above.
        needs: steps that it reads.
        stage: whether models are trained in it.
    """

    title: str
    subtitle: str
    column: int
    row: float
    needs: Sequence[str] = ()
    stage: bool = False

    @property
    def x(self) -> int:
        """Of the left side."""
        return MARGIN + self.column * ACROSS

    @property
    def y(self) -> int:
        """Of the upper side."""
        return round(MARGIN + self.row * DOWN)


def draw_chain(root: Path) -> str:
    """An SVG of the chain of the built-in study.

    Args:
        root: of the project, with the study.
    """
    boxes = list_boxes(read_study([root / "config.yaml"]))
    width = max(box.x for box in boxes.values()) + WIDTH + MARGIN
    height = max(box.y for box in boxes.values()) + HEIGHT + MARGIN
    lines = [_draw_line(boxes[needed], box) for box in boxes.values() for needed in box.needs]
    drawn = "\n".join([*lines, *map(_draw_box, boxes.values())])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="The chain, from clips to report">\n<style>{_STYLE}</style>\n{drawn}\n</svg>\n'
    )


def list_boxes(study: Study) -> dict[str, Box]:
    """Name -> step, of a study with an adaptation. Features stand behind all that they are computed from, those of a target in its row."""
    adaptation = next(iter(study.adaptations.values()))
    targets = list(dict.fromkeys(objective_features()[name] for name in adaptation.objectives))
    chains = {target: _list_chain(target) for target in targets}
    features = list(dict.fromkeys(name for chain in chains.values() for name in chain))
    depths = {"manifest": 0}
    for name in features:
        depths[name] = 1 + max(depths[given] for given in _read_inputs(name))
    middle, last = (len(targets) - 1) / 2, max(depths.values())
    boxes = {"manifest": Box("unlabelled clips", "audio and video", 0, middle)}
    for name in features:
        row = fmean(row for row, chain in enumerate(chains.values()) if name in chain)
        # What an input was made from needs no line of its own.
        behind = {given for needed in _read_inputs(name) for given in _list_chain(needed)[:-1]} | {"manifest"}
        needs = [given for given in _read_inputs(name) if given not in behind] or ["manifest"]
        boxes[name] = Box(name.replace("_", " "), "feature", depths[name], row, needs)
    boxes["training"] = Box("training shards", "audio and targets", last + 1, middle, targets)
    boxes["adapt"] = Box("Stage 1", "adapted model", last + 2, middle, ["training"], stage=True)
    boxes["labelled"] = Box("labelled speech", "train, dev, test", last + 2, middle + 1)
    boxes["train"] = Box("Stage 2", "several seeds", last + 3, middle, ["adapt", "labelled"], stage=True)
    boxes["report"] = Box("report", "every score", last + 4, middle, ["train"])
    return boxes


def _list_chain(feature: str) -> list[str]:
    """A feature behind all features that it is computed from."""
    if feature == "manifest":
        return []
    before = [name for given in _read_inputs(feature) for name in _list_chain(given)]
    return list(dict.fromkeys([*before, feature]))


def _read_inputs(feature: str) -> tuple[str, ...]:
    return read_declaration("features", feature, "INPUTS")


def _draw_box(box: Box) -> str:
    middle = box.x + WIDTH // 2
    kind = ' class="stage"' if box.stage else ""
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="7"{kind}/>'
        f'<text x="{middle}" y="{box.y + 19}">{html.escape(box.title)}</text>'
        f'<text x="{middle}" y="{box.y + 35}" class="small">{html.escape(box.subtitle)}</text>'
    )


def _draw_line(start: Box, end: Box) -> str:
    x, y = start.x + WIDTH, start.y + HEIGHT // 2
    to_x, to_y = end.x, end.y + HEIGHT // 2
    turn = to_x - (ACROSS - WIDTH)
    bend = (turn + to_x) // 2
    return f'<path d="M{x} {y} H{turn} C{bend} {y} {bend} {to_y} {to_x} {to_y}"/>'

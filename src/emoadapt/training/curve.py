"""Losses and scores of a run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

MAIN = ("macro_f1", "ccc_mean")
"""Scores of a development part that runs are ranked by: of classes, and of attributes."""
CHOICE = "choice"
"""Part of CURVES that holds the scores of combinations: the epoch is a combination's place, the metric its name."""


@dataclass
class Curve:
    """Values by epoch of one run; rows of CURVES."""

    stage: str
    run: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, epoch: int, part: str, values: Mapping[str, float]) -> None:
        """Note the values of an epoch (0 = before training)."""
        self.rows += [
            {
                "stage": self.stage,
                "run": self.run,
                "epoch": epoch,
                "part": part,
                "metric": name,
                "value": value,
                "best": False,
            }
            for name, value in values.items()
        ]

    @property
    def before(self) -> float:
        """Loss before training; 0 while it is not known."""
        return next((row["value"] for row in self.rows if row["epoch"] == 0 and row["metric"] == "loss"), 0.0)

    def mark_best(self, epoch: int) -> None:
        """Mark the epoch whose weights are kept."""
        for row in self.rows:
            row["best"] = row["epoch"] == epoch


def read_scores(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Run -> score on its development part at the kept epoch, or else the score by which its settings were chosen.

    Args:
        rows: of CURVES.
    """
    kept = [row for row in rows if row["best"] and row["stage"] == "stage2"]
    chosen = {row["run"]: row["value"] for row in kept if row["part"] == CHOICE}
    return chosen | {row["run"]: row["value"] for row in kept if row["part"] == "dev" and row["metric"] in MAIN}


def find_typical(runs: Sequence[str], scores: Mapping[str, float]) -> str:
    """The run with the median score, of an even number the lower one of the two; without any score the first run.

    The run with the highest score is the one whose clips were the easiest, or whose seed was lucky.

    Args:
        runs: in order; of several with the median the first is taken.
        scores: of the runs that have one.
    """
    known = [run for run in runs if run in scores]
    if not known:
        return runs[0]
    middle = median_low(scores[run] for run in known)
    return next(run for run in known if scores[run] == middle)

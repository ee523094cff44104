"""Losses and scores of a run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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

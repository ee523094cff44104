"""Table of Stage-1 objectives on held-out clips, before training and at the kept epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from emoadapt.config import Study
from emoadapt.reporting.style import state_weights
from emoadapt.study.nodes import Model

COLUMNS = {
    "backbone": pl.String, "adaptation": pl.String, "objective": pl.String, "epoch": pl.Int64, "loss_before": pl.Float64,
    "loss": pl.Float64, "metric": pl.String, "before": pl.Float64, "value": pl.Float64, "without_learning": pl.Float64,
    "weights": pl.String,
}  # fmt: skip
BASELINES = ("majority", "chance")
"""Scores that need no learning: the share of the most frequent class, and that of a guess."""


def build_learned(study: Study, curves: pl.DataFrame) -> pl.DataFrame:
    """Build one row per Stage-1 model and objective.

    Args:
        study: the configuration.
        curves: CURVES rows of Stage 1.

    Returns:
        `loss` and `value` of the epoch that was kept, `loss_before` and `before` of epoch 0. `metric` names what `value` is: `accuracy`
        where there is one. `without_learning`: what that is without learning; null where it is not known.
    """
    rows: list[dict[str, Any]] = []
    for (run,), part in curves.filter(stage="stage1", part="held_out").group_by("run", maintain_order=True):
        model = Model.parse(str(run))
        found = _list_objectives(model, sorted(study.adaptations[model.start].objectives), part)
        rows += [row | {"weights": state_weights(study, model.backbone)} for row in found]
    return pl.DataFrame(rows, schema=COLUMNS)


def _list_objectives(model: Model, objectives: list[str], part: pl.DataFrame) -> Iterator[dict[str, Any]]:
    kept, first = (dict(rows.select("metric", "value").rows()) for rows in (part.filter("best"), part.filter(epoch=0)))
    epochs = part.filter("best")["epoch"]
    for objective in objectives:
        loss = f"loss_{objective}" if len(objectives) > 1 else "loss"
        score = choose_score(kept, objective)
        found = (f"{kind}_{objective}" for kind in BASELINES)
        yield {
            "backbone": model.backbone, "adaptation": model.start, "objective": objective,
            "epoch": epochs[0] if len(epochs) else None, "loss_before": first.get(loss), "loss": kept.get(loss),
            "metric": score and score.removesuffix(f"_{objective}"), "before": first.get(score), "value": kept.get(score),
            "without_learning": next((kept[name] for name in found if name in kept), None),
        }  # fmt: skip


def choose_score(metrics: Any, objective: str) -> str | None:
    """Choose the metric of an objective: its accuracy, else another score, the first by name."""
    # Where there is `loss_lld_frames`, `accuracy_lld_frames` is no score of `frames`.
    others = tuple(
        name.removeprefix("loss") for name in metrics if re.fullmatch(rf"loss_.+_{re.escape(objective)}", name)
    )
    found = sorted(name for name in metrics if name.endswith(f"_{objective}") and not name.endswith(others))
    own = [name for name in found if name.removesuffix(f"_{objective}") not in (*BASELINES, "loss")]
    return next((name for name in own if name == f"accuracy_{objective}"), own[0] if own else None)


def describe_learned(row: dict[str, Any]) -> dict[str, str]:
    """The row as text."""

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    return {
        "model": f"{row['backbone']}.{row['adaptation']}",
        "weights": row["weights"],
        "objective": row["objective"],
        "kept epoch": "–" if row["epoch"] is None else str(row["epoch"]),
        "held-out loss": f"{show(row['loss_before'])} → {show(row['loss'])}",
        "score": row["metric"] or "–",
        "held-out score": f"{show(row['before'])} → {show(row['value'])}",
        "without learning": show(row["without_learning"]),
    }

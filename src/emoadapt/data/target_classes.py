"""Clips of a corpus by the class of a Stage-1 target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emoadapt import schema
from emoadapt.data.class_names import name_class, name_task
from emoadapt.data.objective_targets import describe_target, has_frames
from emoadapt.errors import ConfigError, DataError
from emoadapt.storage.tables import read_table

if TYPE_CHECKING:
    from emoadapt.objectives.base import Objective


def group_by_class(objective: str, corpus: str, shards: Sequence[Path], normalisers: Path) -> dict[str, list[str]]:
    """Group clips by class, as Stage 1 does.

    Args:
        objective: name.
        corpus: of the shards.
        shards: of the feature that holds the target.
        normalisers: NORMALISERS table of the adaptation, which holds the thresholds.

    Returns:
        Task and class -> clips, sorted by name. Where a target has several tasks, a clip is in one class of each.

    Raises:
        ConfigError: the targets are no classes.
        DataError: a table is missing, or no clip has the target.
    """
    import torch

    from emoadapt.objectives.base import load_objective

    refusal = f"the targets of {objective} are no classes; name an objective whose targets are, such as action_units or landmark_motion"
    column = describe_target(objective)[1]
    if column is None or has_frames(objective):
        raise ConfigError(refusal)
    if not shards:
        raise DataError(f"the target {objective} of {corpus} is not computed; compute it first (a Snakemake run does)")
    loaded = load_objective(objective)
    rows = [row for path in shards for row in read_table(path, columns=["utterance_id", "status", column]).to_pylist()]
    values = {row["utterance_id"]: row[column] for row in sorted(rows, key=_name) if row["status"] == "ok"}
    if not values:
        raise DataError(f"no clip of {corpus} has a target for {objective}; see `emoadapt quarantine` for the reasons")
    raw = np.stack([loaded.select(np.asarray(value, np.float32)) for value in values.values()])
    classes = loaded.classify(torch.from_numpy(_normalise(objective, loaded, corpus, raw, normalisers)))
    if classes is None:
        raise ConfigError(refusal)
    groups: dict[tuple[int, int], list[str]] = {}
    for name, found in zip(values, classes.tolist(), strict=True):
        for task, number in enumerate(found):
            groups.setdefault((task, number), []).append(name)
    return {_title(objective, *key): groups[key] for key in sorted(groups)}


def _name(row: dict[str, str]) -> str:
    return row["utterance_id"]


def _title(objective: str, task: int, number: int) -> str:
    return ": ".join(filter(None, (name_task(objective, task), name_class(objective, number))))


def _normalise(name: str, objective: Objective, corpus: str, raw: np.ndarray, normalisers: Path) -> np.ndarray:
    """The targets as Stage 1 sees them, (n_clips, dimension) float32."""
    if not objective.normalised:
        return raw
    rows = read_table(normalisers, schema.NORMALISERS).to_pylist()
    found = {row["corpus"]: row for row in rows if row["objective"] == name}
    row = found.get(corpus) or found.get("*")
    if row is None:
        raise DataError(f"{normalisers} has no threshold of {name} for {corpus}; run the study first (snakemake)")
    return ((raw - np.array(row["mean"])) / np.array(row["std"])).astype(np.float32)

"""Normalisers of z-scored targets, fitted on the training part only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emoadapt import schema
from emoadapt.data.clips import read_stream
from emoadapt.data.objective_targets import describe_target, has_frames
from emoadapt.data.streams import Stream, list_columns
from emoadapt.errors import DataError
from emoadapt.flow.provenance import library_versions
from emoadapt.flow.shards import group_by_corpus
from emoadapt.objectives.base import load_objective
from emoadapt.storage.agreement import refuse_other_number
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import read_table, write_table

if TYPE_CHECKING:
    from emoadapt.config import Adaptation


def fit_adaptation_normalisers(adaptation: Adaptation, features: Sequence[Path], parts: Path, output: Path) -> None:
    """Fit the normalisers of the z-scored objectives of an adaptation.

    Args:
        adaptation: its section of the configuration.
        features: shards `<feature>/<corpus>/<shard>.parquet` of all targets.
        parts: PARTS table.
        output: NORMALISERS table to write.
    """
    targets = {}
    for name in adaptation.objectives:
        feature, column = describe_target(name)
        if feature is not None and load_objective(name).normalised:
            shards = [path for path in features if path.parts[-3] == feature]
            targets[name] = (column, group_by_corpus(shards))
    fit_normalisers(targets, parts, adaptation.normalise, output)


def fit_normalisers(
    targets: Mapping[str, tuple[str, Mapping[str, Sequence[Path]]]], parts: Path, scope: str, output: Path
) -> None:
    """Fit centre and standard deviation of each z-scored target on the training part (NORMALISERS).

    The centre is the mean, or the median where the objective asks for it (`Objective.centre`); only then are values kept.

    Args:
        targets: objective -> (column, corpus -> feature shards).
        parts: PARTS table.
        scope: `global` (one normaliser, corpus `*`) or `corpus`.
        output: table to write.

    Raises:
        DataError: no training clip has the target, or features and parts do not have the same number of clips.
    """
    assigned = read_frame(parts, schema.PARTS)
    train = set(assigned.filter(part="train")["utterance_id"])
    rows = []
    for name, (column, shards) in sorted(targets.items()):
        objective = load_objective(name)
        groups = {"*": shards} if scope == "global" else {corpus: {corpus: paths} for corpus, paths in shards.items()}
        for corpus, paths in shards.items():
            refuse_other_number(assigned.filter(corpus=corpus).height, f"{parts} of {corpus}", paths)
        for corpus, members in groups.items():
            moments = _Moments(keep=objective.centre == "median")
            for path in (path for paths in members.values() for path in paths):
                stream = Stream(name, column, "frames" if has_frames(name) else "vector")
                table = read_table(path, columns=["status", *list_columns(stream).names])
                for row in table.to_pylist():
                    if row["status"] != "ok" or row["utterance_id"] not in train:
                        continue
                    if stream.layout == "frames":
                        moments.add_frames(read_stream(row, stream).astype(np.float64))
                    else:
                        moments.add(objective.select(np.asarray(row[column], dtype=np.float64)))
            if moments.n == 0:
                raise DataError(
                    f"objective {name}: no training clip of {', '.join(members)} has a target; "
                    "see `emoadapt quarantine` for the reasons"
                )
            rows.append({"objective": name, "corpus": corpus, **moments.result()})
    write_table(output, rows, schema.NORMALISERS, library_versions())


class _Moments:
    """Running mean and variance (Welford 1962), so that memory does not grow with the corpus.

    Args:
        keep: keep the values as well, and give their median for the mean.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.kept: list[np.ndarray] | None = [] if keep else None
        self.n = 0
        self.mean: np.ndarray = np.zeros(0)
        self.squares: np.ndarray = np.zeros(0)

    def add(self, value: np.ndarray) -> None:
        if self.n == 0:
            self.mean, self.squares = np.zeros_like(value), np.zeros_like(value)
        self.n += 1
        if self.kept is not None:
            self.kept.append(value)
        delta = value - self.mean
        self.mean = self.mean + delta / self.n
        self.squares = self.squares + delta * (value - self.mean)

    def add_frames(self, frames: np.ndarray) -> None:
        """Add the frames (n_frames, dimension) of a clip (Chan et al. 1979)."""
        n, mean = len(frames), frames.mean(axis=0)
        if self.n == 0:
            self.mean, self.squares = np.zeros_like(mean), np.zeros_like(mean)
        delta, total = mean - self.mean, self.n + n
        self.squares = self.squares + ((frames - mean) ** 2).sum(axis=0) + delta**2 * (self.n * n / total)
        self.mean, self.n = self.mean + delta * (n / total), total

    def result(self) -> dict[str, object]:
        std = np.sqrt(self.squares / self.n)
        constant = std <= 1e-8 * np.maximum(np.abs(self.mean), 1.0)
        centre = self.mean if self.kept is None else np.median(self.kept, axis=0)
        return {"mean": centre.tolist(), "std": np.where(constant, 1.0, std).tolist(), "n": self.n}

"""Vectors of clips and the statistics for z-scoring. Without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emoadapt import schema
from emoadapt.data.vector_file import VectorFile
from emoadapt.errors import DataError
from emoadapt.storage.agreement import refuse_missing
from emoadapt.storage.tables import iterate_groups

Scope = Literal["train", "corpus", "speaker", "none"]
"""Whose mean and standard deviation a vector is z-scored with; `none`: it is not."""


def read_vectors(shards: Mapping[str, Sequence[Path]], feature: str, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Vectors of a feature that has one per clip, or of one of frames their means over time.

    Args:
        shards: corpus -> shards of the feature.
        feature: its name, which is also the name of its column.
        wanted: utterances; others are not read into memory.

    Returns:
        Utterance -> (dimension,) float32, without the clips that the feature could not be computed of.

    Raises:
        DataError: a wanted utterance has no row, the dimensions of two vectors differ, or a value is not finite.
    """
    names, kind = pa.array(sorted(set(wanted)), pa.string()), schema.feature_table(feature)
    framed = pa.types.is_binary(kind.field(feature).type)
    columns = ["utterance_id", "status", feature, *(["n_frames", "dimension"] if framed else [])]
    vectors: dict[str, np.ndarray] = {}
    for table in _read_wanted(shards, kind, columns, wanted):
        usable = pc.and_(pc.equal(table["status"], "ok"), pc.is_in(table["utterance_id"], names))
        rows = table.filter(usable)
        if not len(rows):
            continue
        found = map(_average, rows.to_pylist(), repeat(feature)) if framed else _stack(rows, feature)
        vectors |= dict(zip(rows["utterance_id"].to_pylist(), found, strict=True))
    _refuse_misfits(vectors, feature)
    return vectors


def _read_wanted(
    shards: Mapping[str, Sequence[Path]], kind: pa.Schema, columns: Sequence[str], wanted: Sequence[str]
) -> Iterator[pa.Table]:
    """Each row group of each shard; every wanted utterance must have a row in one.

    Raises:
        DataError: it does not.
    """
    paths, missing = [path for paths in shards.values() for path in paths], set(wanted)
    for path in paths:
        for table in iterate_groups(path, kind, columns):
            missing.difference_update(table.column("utterance_id").to_pylist())
            yield table
    refuse_missing(missing, len(set(wanted)), paths)


def _average(row: Mapping[str, Any], feature: str) -> np.ndarray:
    """The mean over time, (dimension,) float32, of a row's frames."""
    size = len(row[feature]) // (row["n_frames"] * row["dimension"])
    frames = np.frombuffer(row[feature], {2: "<f2", 4: "<f4"}[size]).reshape(-1, row["dimension"])
    return frames.mean(axis=0, dtype=np.float64).astype(np.float32)


def _stack(rows: pa.Table, feature: str) -> list[np.ndarray]:
    """The vectors of rows. As views of one array: as Python lists, 6,373 functionals would take twenty times the memory."""
    column = rows[feature].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return np.split(values, np.cumsum(sizes)[:-1])


def _refuse_misfits(vectors: Mapping[str, np.ndarray], feature: str) -> None:
    """Refuse vectors of several dimensions, and values that are not finite: no statistic of them would mean anything.

    Raises:
        DataError: names the feature and a clip.
    """
    sizes = Counter(len(vector) for vector in vectors.values())
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        other = sorted(name for name, vector in vectors.items() if len(vector) != usual)
        raise DataError(
            f"feature {feature}: vectors of {usual} values and of {', '.join(str(size) for size in sorted(sizes) if size != usual)} "
            f"({other[0]} is one); correct the feature, or leave those clips out"
        )
    if wrong := sorted(name for name, vector in vectors.items() if not np.isfinite(vector).all()):
        raise DataError(
            f"feature {feature}: values that are no finite numbers ({wrong[0]} is one of {len(wrong)} clips); correct the feature, or let it give those "
            "clips the status failed"
        )


def read_layers(shards: Mapping[str, Sequence[Path]], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Layers of a frozen backbone, each averaged over time; arguments and errors as those of `iterate_layers`.

    Returns:
        Utterance -> (n_layers, width) float32, without the clips that the backbone could not read.
    """
    return dict(iterate_layers(shards, wanted))


def iterate_layers(
    shards: Mapping[str, Sequence[Path]], wanted: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Read the layers of a frozen backbone clip by clip, with one row group in memory.

    Args:
        shards: corpus -> LAYERS tables.
        wanted: utterances; others are passed over, as are those that the backbone could not read.

    Yields:
        Utterance and its layers, each averaged over time, (n_layers, width) float32.

    Raises:
        DataError: a wanted utterance has no row.
    """
    names = pa.array(sorted(set(wanted)), pa.string())
    for table in _read_wanted(shards, schema.LAYERS, ["utterance_id", "status", "layers", "dimension"], wanted):
        usable = pc.and_(pc.equal(table["status"], "ok"), pc.is_in(table["utterance_id"], names))
        for row in table.filter(usable).to_pylist():
            yield row["utterance_id"], np.frombuffer(row["layers"], dtype="<f4").reshape(-1, row["dimension"])


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation that some vectors are z-scored with.

    Args:
        names: utterances that they are for.
        mean: of the vectors, in their shape.
        scale: standard deviation; 1 where a dimension does not vary.
    """

    names: list[str]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The z-scored vector."""
        return ((vector - self.mean) / self.scale).astype(np.float32)


def fit_statistics(
    vectors: Mapping[str, np.ndarray], splits: pl.DataFrame, train: Sequence[str], scope: Scope
) -> list[Statistics]:
    """Statistics for one run, by groups of utterances.

    No label is used in any scope; `corpus` and `speaker` use the vectors of test clips, of which a system in use must have several
    before it can classify the first.

    Args:
        vectors: utterance -> raw vector, or layers of vectors. They are read one after another, and may lie in a file.
        splits: SPLITS rows of the run's partition and fold: `utterance_id`, `corpus`, `speaker`.
        train: utterances that the run trains on; those without a vector are passed over.
        scope: `train`: statistics of `train` for everything, the usual one. `corpus`: those of `train` for the corpus that is
            trained on, and of all clips of each other corpus for it, which decides cross-corpus results. `speaker`: of all clips
            of a speaker; a clip of an unknown speaker, or the only one of a speaker, has those of its corpus. The only clip of a
            corpus has those of `train`.
    """
    rows = splits.filter(pl.col("utterance_id").is_in(list(vectors))).unique("utterance_id")
    train = [name for name in train if name in vectors]
    home = rows.filter(pl.col("utterance_id").is_in(list(train)))["corpus"]
    groups: dict[tuple[str, ...], list[str]]
    if scope == "train":
        groups = {(): rows["utterance_id"].to_list()}
        fitted = {key: list(train) for key in groups}
    elif scope == "corpus":
        groups = _group(rows, "corpus")
        alone = [key[0] for key, names in groups.items() if len(names) < 2]
        fitted = groups | {(corpus,): list(train) for corpus in {*home, *alone}}
    else:
        known = rows.with_columns(pl.col("speaker").fill_null(""))
        groups = _group(known, "corpus", "speaker")
        everybody = _group(rows, "corpus")
        fitted = {key: names if key[1] and len(names) > 1 else everybody[key[:1]] for key, names in groups.items()}
    found = []
    for key, names in groups.items():
        mean, std = _measure(vectors, fitted[key])
        # Rounding gives equal values a deviation that is not quite 0; another value of a test clip would become enormous.
        constant = std <= 1e-8 * np.abs(mean)
        found.append(Statistics(names, mean, np.where(constant, 1.0, std)))
    return found


def _measure(
    vectors: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of vectors, in their shape, with one of them in memory."""
    whole = np.zeros(vectors[names[0]].shape)
    mean = sum((vectors[name].astype(np.float64) for name in names), whole) / len(names)
    return mean, np.sqrt(sum(((vectors[name] - mean) ** 2 for name in names), whole) / len(names))


def normalise_vectors(
    vectors: Mapping[str, np.ndarray],
    splits: pl.DataFrame,
    train: Sequence[str],
    scope: Scope,
    wanted: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """z-score vectors for one run; a dimension that does not vary becomes 0. Arguments as of `fit_statistics`.

    Returns:
        Utterance -> float32 vector, of those `wanted`; None = all utterances of `splits` that have one.
    """
    if scope == "none":
        named = splits["utterance_id"].unique().to_list() if wanted is None else wanted
        return {name: vectors[name].astype(np.float32, copy=False) for name in named if name in vectors}
    fitted = fit_statistics(vectors, splits, train, scope)
    return {
        name: group.apply(vectors[name]) for group in fitted for name in group.names if wanted is None or name in wanted
    }


def normalise_file(
    vectors: VectorFile, splits: pl.DataFrame, train: Sequence[str], scope: Scope, wanted: Collection[str]
) -> VectorFile:
    """z-score vectors in a file, as `normalise_vectors` does, into another file; without z-scoring it is the same one."""
    if scope == "none":
        return vectors
    fitted = fit_statistics(vectors, splits, train, scope)
    found = VectorFile(vectors.shape)
    for group in fitted:
        for name in group.names:
            if name in wanted:
                found.add(name, group.apply(vectors[name]))
    return found


FEW = 10
"""Clips below which the statistics of a speaker or of a corpus are uncertain."""


def find_small_groups(splits: pl.DataFrame, usable: Collection[str], scope: Scope) -> list[str]:
    """A sentence about speakers, or corpora, that have too few clips for statistics of their own; none with `train` and `none`.

    Args:
        splits: SPLITS rows.
        usable: utterances that have a vector.
        scope: whose statistics are used.
    """
    if scope in ("train", "none"):
        return []
    columns = ["corpus", "speaker"] if scope == "speaker" else ["corpus"]
    rows = splits.filter(pl.col("utterance_id").is_in(list(usable))).unique("utterance_id")
    sizes = rows.drop_nulls(columns).group_by(columns).len().sort(*columns)
    few, one = sizes.filter(pl.col("len") < FEW), sizes.filter(pl.col("len") < 2)
    named = [" ".join(map(str, row[:-1])) for row in few.head(3).iter_rows()]
    listed = ", ".join(named) + (", ..." if few.height > 3 else "")
    noun = {"speaker": "speakers", "corpus": "corpora"}[scope]
    found = []
    if few.height:
        found.append(
            f"{few.height} of {sizes.height} {noun} {'has' if few.height == 1 else 'have'} fewer than {FEW} clips ({listed}), so that the "
            "statistics of each are uncertain"
            + (f"; {one.height} of them have one clip, which gets those of {_WIDER[scope]}" if one.height else "")
        )
    if scope == "speaker" and (unknown := rows["speaker"].null_count()):
        found.append(f"{unknown} of {rows.height} clips have no speaker, and get the statistics of their corpus")
    return found


_WIDER = {"speaker": "its corpus", "corpus": "the training clips"}
"""Scope -> whose statistics a group of one clip gets."""


def _group(rows: pl.DataFrame, *columns: str) -> dict[tuple[str, ...], list[str]]:
    parts = rows.sort("utterance_id").partition_by(columns, as_dict=True, maintain_order=True)
    return {tuple(map(str, key)): part["utterance_id"].to_list() for key, part in parts.items()}

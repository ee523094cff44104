"""Training shards, packed from audio and the features that are targets.

Training shards hold raw targets; the normaliser is applied when they are read. One more clip then touches one
training shard, although it moves the mean of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emoadapt import schema
from emoadapt.data.objective_targets import describe_target
from emoadapt.storage.agreement import LEFT_OUT, refuse_other_rows
from emoadapt.storage.tables import iterate_groups, read_table, write_batches


def build_training_shard(audio: Path, targets: Mapping[str, tuple[str, Path | None]], output: Path) -> None:
    """Pack one training shard: audio, raw targets and masks of the clips whose audio could be read.

    Args:
        audio: AUDIO shard.
        targets: objective -> (column, feature shard); None where the corpus lacks the modality: masked.
        output: table to write, `schema.training` of the objectives.

    Raises:
        DataError: a table cannot be read, or two do not have the same rows.
    """
    refuse_other_rows(audio, *(path for _, path in targets.values() if path is not None))
    values = {
        objective: {} if path is None else _read_targets(path, column)
        for objective, (column, path) in sorted(targets.items())
    }
    columns = ["utterance_id", "status", "audio", "n_samples"]
    batches = (_pack(rows, values) for rows in iterate_groups(audio, schema.feature_table("audio"), columns))
    (status,) = read_table(audio, schema.feature_table("audio"), ["status"]).columns
    left_out = sum(value != "ok" for value in status.to_pylist())
    write_batches(output, batches, schema.training(tuple(targets)), {LEFT_OUT: str(left_out)})


def _read_targets(path: Path, column: str) -> dict[str, Any]:
    """Utterance -> its value in a feature's column, of the rows that are ok."""
    rows = read_table(path, columns=["utterance_id", "status", column]).to_pylist()
    return {row["utterance_id"]: row[column] for row in rows if row["status"] == "ok"}


def _pack(rows: pa.Table, values: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """The AUDIO rows that are ok, with target and mask of every objective."""
    packed = rows.filter(pc.equal(rows.column("status"), "ok")).drop_columns(["status"])
    names = packed.column("utterance_id").to_pylist()
    for objective, found in values.items():
        fields = schema.training((objective,))
        packed = packed.append_column(
            fields.field(f"target_{objective}"),
            [pa.array([found.get(name) for name in names], pa.list_(pa.float32()))],
        ).append_column(fields.field(f"mask_{objective}"), [pa.array([name in found for name in names], pa.bool_())])
    return packed


def pack_training_shard(features: Sequence[Path], objectives: Sequence[str], output: Path) -> None:
    """Pack a training shard from feature shards `<feature>/<corpus>/<shard>.parquet`, audio among them."""
    by_feature = {path.parts[-3]: path for path in features}
    targets = {}
    for name in objectives:
        feature, column = describe_target(name)
        targets[name] = (column, by_feature.get(feature))
    build_training_shard(by_feature["audio"], targets, output)

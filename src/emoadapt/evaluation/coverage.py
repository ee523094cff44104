"""Check that every run was tested on exactly the test clips of its split; clips without usable input are counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import read_provenance

_RUN = [field.name for field in schema.RUN_COLUMNS]
_CLIP = ["test_corpus", "utterance_id"]


def refuse_other_clips(predictions: Sequence[Path], splits: Sequence[Path]) -> None:
    """Refuse predictions and embeddings of other clips than a task tests on.

    Args:
        predictions: tables of all runs of a task; where there are embeddings, they stand beside.
        splits: SPLITS tables of all its partitions.

    Raises:
        DataError: a run has a prediction of no test clip of its split; test clips without a prediction are not those that are noted
            as left out; or embeddings are of other clips.
    """
    test = read_frame(splits, schema.SPLITS, ["partition", "fold", "split", "corpus", "utterance_id"])
    test = test.filter(split="test").drop("split").rename({"corpus": "test_corpus"})
    for path in predictions:
        found = read_frame(path, columns=[*_RUN, *_CLIP]).unique()
        _compare(path, found, found.select(_RUN).unique().join(test, on=["partition", "fold"]))
        _refuse_other_embeddings(path.with_name("embeddings.parquet"), path, found)


def _compare(path: Path, found: pl.DataFrame, expected: pl.DataFrame) -> None:
    key = [*_RUN, *_CLIP]
    if (odd := found.join(expected, on=key, how="anti")).height:
        raise DataError(
            f"{path} has {odd.height:,} predictions of clips that are no test clips of their split, such as {min(odd['utterance_id'].to_list())}; "
            "delete it and run again"
        )
    lost = expected.join(found, on=key, how="anti")["utterance_id"].unique()
    if len(lost) != (noted := int(read_provenance(path).get("left_out", "0"))):
        raise DataError(
            f"{path} lacks predictions of {len(lost):,} of the {expected['utterance_id'].n_unique():,} test clips of its splits, and notes {noted:,} "
            f"as left out; one is {min(lost.to_list(), default='among those noted')}; delete it and run again"
        )


def _refuse_other_embeddings(path: Path, predictions: Path, found: pl.DataFrame) -> None:
    if not path.exists():
        return
    embedded = read_frame(path, schema.EMBEDDINGS, [*_RUN, *_CLIP])
    # A run on vectors of descriptors has none.
    if embedded.height and (
        embedded.height != found.height or embedded.join(found, on=embedded.columns, how="anti").height
    ):
        raise DataError(
            f"{path} has embeddings of {embedded.height:,} tested clips, and {predictions} has predictions of {found.height:,}, or of others; "
            "delete both and run again"
        )

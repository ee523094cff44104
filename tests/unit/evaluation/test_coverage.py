"""Predictions against the split that they belong to."""

from pathlib import Path
from typing import Any

import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.coverage import refuse_other_clips
from emoadapt.storage.tables import read_table, write_table

SPLIT = [("c/1", 0, "test"), ("c/2", 0, "test"), ("c/3", 0, "train"), ("c/3", 1, "test"), ("c/1", 1, "train")]
RUN = {"task": "t", "backbone": "b", "start": "original", "finetuning": "f", "subset": "full", "partition": 0}
ANSWER: dict[str, Any] = {"test_corpus": "c", "label": "a", "predicted": "a", "logits": [0.0]}


def row(clip: str, fold: int, seed: int = 0) -> dict[str, Any]:
    return {**RUN, "fold": fold, "seed": seed, "resampling": 0, "utterance_id": clip, **ANSWER}


@pytest.fixture
def splits(tmp_path: Path) -> list[Path]:
    place = {"corpus": "c", "partition": 0}
    rows = [{**place, "utterance_id": clip, "fold": fold, "split": part} for clip, fold, part in SPLIT]
    write_table(tmp_path / "splits.parquet", rows, schema.SPLITS)
    return [tmp_path / "splits.parquet"]


def check(splits: list[Path], rows: list[dict[str, Any]], left_out: int = 0, embedded: list | None = None) -> None:
    folder = splits[0].parent / "b000"
    write_table(folder / "predictions.parquet", rows, schema.PREDICTIONS, {"left_out": str(left_out)})
    if embedded is not None:
        vectors = [{**entry, "tuned": [0.0], "start_point": [0.0]} for entry in embedded]
        write_table(folder / "embeddings.parquet", vectors, schema.EMBEDDINGS)
    refuse_other_clips([folder / "predictions.parquet"], splits)


WHOLE = [row("c/1", 0), row("c/2", 0), row("c/1", 0, 1), row("c/2", 0, 1), row("c/3", 1)]


def test_runs_of_all_test_clips_agree(splits: list[Path]) -> None:
    check(splits, WHOLE)
    check(splits, [entry for entry in WHOLE if entry["utterance_id"] != "c/2"], left_out=1)
    check(splits, WHOLE, embedded=[])
    check(splits, WHOLE, embedded=WHOLE[::-1])


def test_a_lost_prediction_is_refused(splits: list[Path]) -> None:
    """Symptom: scores of fewer clips, and `left out: none`."""
    sentence = r"predictions\.parquet lacks predictions of 1 of the 3 test clips of its splits, and notes 0 as left out; one is c/2; delete"
    with pytest.raises(DataError, match=sentence):
        check(splits, WHOLE[:3] + WHOLE[4:])
    with pytest.raises(DataError, match="lacks predictions of 0 of the 3 test clips of its splits, and notes 1"):
        check(splits, WHOLE, left_out=1)


def test_a_prediction_of_no_test_clip_is_refused(splits: list[Path]) -> None:
    for other in (row("c/3", 0), row("c/4", 0), row("c/1", 1)):
        with pytest.raises(
            DataError, match="has 1 predictions of clips that are no test clips of their split, such as"
        ):
            check(splits, [*WHOLE, other])


def test_embeddings_of_other_clips_are_refused(splits: list[Path]) -> None:
    for embedded in (WHOLE[1:], [*WHOLE[1:], row("c/3", 0)]):
        with pytest.raises(DataError, match=r"embeddings\.parquet has embeddings of . tested clips, .* delete both"):
            check(splits, WHOLE, embedded=embedded)


def test_predictions_of_a_row_for_each_attribute_are_of_one_clip(splits: list[Path]) -> None:
    rated = [
        {key: value for key, value in entry.items() if key not in ("label", "logits")}
        | {"attribute": name, "predicted": 1.0}
        for entry in WHOLE
        for name in ("arousal", "valence")
    ]
    path = splits[0].parent / "b000" / "predictions.parquet"
    write_table(path, rated, schema.ATTRIBUTE_PREDICTIONS)
    refuse_other_clips([path], splits)
    write_table(path, read_table(path).to_pylist()[2:], schema.ATTRIBUTE_PREDICTIONS)
    with pytest.raises(DataError, match="lacks predictions of 1"):
        refuse_other_clips([path], splits)

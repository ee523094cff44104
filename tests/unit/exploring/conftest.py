"""A made-up corpus of six clips and its tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.corpora.base import Label, Utterance
from emoadapt.exploring.clips import frame_clips
from emoadapt.exploring.features import Feature, read_feature
from emoadapt.storage.tables import write_table

ROWS = [("a", "ann", "female", "anger"), ("b", "ann", "female", "joy"), ("c", "bob", "male", "anger"),
        ("d", "bob", "male", "anger"), ("e", None, None, "joy"), ("f", "cid", "male", None)]  # fmt: skip

Make = Callable[..., Feature]


@pytest.fixture
def make_clips() -> Callable[..., pl.DataFrame]:
    """Clips of rows (name, speaker, sex, label)."""

    def make(rows: list[tuple[str, str | None, str | None, str | None]], **columns: Any) -> pl.DataFrame:
        utterances = [
            Utterance(f"talks/{name}", f"{name}.wav", speaker=speaker, sex=sex, **columns)
            for name, speaker, sex, _ in rows
        ]
        return frame_clips(utterances, [Label(f"talks/{name}", label) for name, _, _, label in rows])

    return make


@pytest.fixture
def clips(make_clips: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return make_clips(ROWS)


@pytest.fixture
def make_feature(tmp_path: Path, clips: pl.DataFrame) -> Make:
    """A feature of two shards, of rows (name, status, reason, columns of its own)."""

    def make(
        name: str, rows: list[tuple[str, str, str | None, dict[str, Any]]], also: list[str] | None = None
    ) -> Feature:
        paths = []
        for number in range(2):
            content = [
                {"utterance_id": f"talks/{clip}", "key": "k", "status": status, "reason": reason, **own}
                for clip, status, reason, own in rows[number::2]
            ]
            paths.append(tmp_path / "features" / name / "talks" / f"{number:03d}.parquet")
            write_table(paths[-1], content, schema.feature_table(name))
        return read_feature(name, paths, clips, also or [])

    return make

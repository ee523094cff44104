"""A corpus with one clip of each bad kind among good ones: the run ends green, and no good clip's row knows of the others."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import yaml
from bad_clips import KINDS, write_good_clips
from project import Project, create_project

pytestmark = pytest.mark.slow

FEATURES = ("audio", "egemaps", "faces", "face_embedding")
STUDY = {
    "study": "bad_clips",
    "device": "cpu",
    "extraction_threads": 2,
    "features": {
        "faces": {"detector": "haar", "fps": 5, "crop_size": 64},
        "face_embedding": {"network": {"untrained": "tiny_cnn", "dimension": 8, "input_size": 32}},
    },
}


@dataclass
class Pair:
    """The same good clips, generated and real, alone and among bad ones; the names of the good ones."""

    alone: Project
    among: Project
    good: list[str]


def copy_real_clips(folder: Path) -> list[str]:
    """The four smallest films of the real corpus."""
    films = sorted(Path(os.environ["EMOADAPT_DATA"], "clips").glob("*.mp4"), key=lambda path: path.stat().st_size)[:4]
    for film in films:
        shutil.copy(film, folder / film.name)
    return [film.stem for film in films]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("bad_clips")
    alone = create_project(folder / "alone")
    corpus = {"importer": "folder", "root": "media/clips", "shards": 1, "modalities": ["audio", "video"]}
    adapted = {"corpora": ["clips"], "objectives": {"egemaps": 1.0, "face": 1.0}, "epochs": 1}
    study = STUDY | {"corpora": {"clips": corpus}, "adaptations": {"adapted": adapted}}
    (alone.root / "small.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    media = alone.root / "media/clips"
    media.mkdir()
    good = write_good_clips(media) + (copy_real_clips(media) if os.environ.get("EMOADAPT_DATA") else [])
    among = Project(shutil.copytree(alone.root, folder / "among"))
    for kind in KINDS:
        kind.make(among.root / "media/clips" / kind.file)
    for project in (alone, among):
        done = project.snakemake("results/quarantine.parquet")
        assert done.returncode == 0, done.stdout + done.stderr
    return Pair(alone, among, good)


def read_rows(project: Project, feature: str) -> pl.DataFrame:
    return pl.read_parquet(project.root / f"results/features/{feature}/clips/000.parquet").sort("utterance_id")


def test_rows_of_good_clips_are_those_of_a_run_without_bad_ones(pair: Pair) -> None:
    for feature in FEATURES:
        alone, among = (read_rows(project, feature) for project in (pair.alone, pair.among))
        assert alone["utterance_id"].to_list() == [f"clips/{name}" for name in sorted(pair.good)]
        assert set(alone["status"]) == {"ok"}
        assert among.height == len(pair.good) + len(KINDS)
        assert among.filter(pl.col("utterance_id").is_in(alone["utterance_id"].implode())).equals(alone)


def test_every_bad_kind_is_listed_with_its_reason(pair: Pair) -> None:
    table = pl.read_parquet(pair.among.root / "results/quarantine.parquet")
    found = {
        (row["feature"], row["utterance_id"]): (row["status"], row["reason"].partition(": ")[0])
        for row in table.iter_rows(named=True)
        if row["utterance_id"].removeprefix("clips/") not in pair.good
    }
    expected = {
        (feature, f"clips/{kind.name}"): getattr(kind, feature)
        for kind in KINDS
        for feature in ("audio", "faces")
        if getattr(kind, feature)
    }
    assert found == expected


def test_the_run_is_up_to_date_afterwards(pair: Pair) -> None:
    """Symptom: a clip that cannot be read would be new at every run."""
    assert pair.among.jobs("results/quarantine.parquet") == set()

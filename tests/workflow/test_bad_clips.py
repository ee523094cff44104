"""A corpus with one clip of each bad kind among good ones: the run ends green, and no good clip's row knows of the others."""

from __future__ import annotations

import itertools
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
    """The same good clips alone, and among bad ones; per corpus the names of the good ones."""

    alone: Project
    among: Project
    good: dict[str, list[str]]


def copy_real_clips(folder: Path) -> list[str]:
    """The four smallest films of the real corpus."""
    films = sorted(Path(os.environ["EMOADAPT_DATA"], "clips").glob("*.mp4"), key=lambda path: path.stat().st_size)[:4]
    for film in films:
        shutil.copy(film, folder / film.name)
    return [film.stem for film in films]


MAKERS = {"generated": write_good_clips} | ({"real": copy_real_clips} if os.environ.get("EMOADAPT_DATA") else {})
lacking = pytest.mark.skipif("real" not in MAKERS, reason="EMOADAPT_DATA names no real clips")
each_corpus = pytest.mark.parametrize("corpus", ["generated", pytest.param("real", marks=lacking)])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("bad_clips")
    alone = create_project(folder / "alone")
    modalities = ["audio", "video"]
    corpora = {
        name: {"importer": "folder", "root": f"media/{name}", "shards": 1, "modalities": modalities} for name in MAKERS
    }
    adapted = {"corpora": list(MAKERS), "objectives": {"egemaps": 1.0, "face": 1.0}, "epochs": 1}
    study = STUDY | {"corpora": corpora, "adaptations": {"adapted": adapted}}
    (alone.root / "small.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    good = {}
    for name, make in MAKERS.items():
        (alone.root / "media" / name).mkdir()
        good[name] = make(alone.root / "media" / name)
    among = Project(shutil.copytree(alone.root, folder / "among"))
    for name, kind in itertools.product(MAKERS, KINDS):
        kind.make(among.root / "media" / name / kind.file)
    for project in (alone, among):
        done = project.snakemake("results/quarantine.parquet")
        assert done.returncode == 0, done.stdout + done.stderr
    return Pair(alone, among, good)


def read_rows(project: Project, feature: str, corpus: str) -> pl.DataFrame:
    return pl.read_parquet(project.root / f"results/features/{feature}/{corpus}/000.parquet").sort("utterance_id")


@each_corpus
def test_rows_of_good_clips_are_those_of_a_run_without_bad_ones(pair: Pair, corpus: str) -> None:
    good = pair.good[corpus]
    for feature in FEATURES:
        alone, among = (read_rows(project, feature, corpus) for project in (pair.alone, pair.among))
        assert alone["utterance_id"].to_list() == [f"{corpus}/{name}" for name in sorted(good)]
        assert set(alone["status"]) == {"ok"}
        assert among.height == len(good) + len(KINDS)
        assert among.filter(pl.col("utterance_id").is_in(alone["utterance_id"].implode())).equals(alone)


@each_corpus
def test_every_bad_kind_is_listed_with_its_reason(pair: Pair, corpus: str) -> None:
    table = pl.read_parquet(pair.among.root / "results/quarantine.parquet")
    found = {
        (row["feature"], row["utterance_id"]): (row["status"], row["reason"].partition(": ")[0])
        for row in table.filter(corpus=corpus).iter_rows(named=True)
        if row["utterance_id"].removeprefix(f"{corpus}/") not in pair.good[corpus]
    }
    expected = {
        (feature, f"{corpus}/{kind.name}"): getattr(kind, feature)
        for kind in KINDS
        for feature in ("audio", "faces")
        if getattr(kind, feature)
    }
    assert found == expected
    assert set(table["corpus"]) == set(MAKERS)


def test_the_run_is_up_to_date_afterwards(pair: Pair) -> None:
    """Symptom: a clip that cannot be read would be new at every run."""
    assert pair.among.jobs("results/quarantine.parquet") == set()

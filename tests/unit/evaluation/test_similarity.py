"""Pairs of clips that say the same or other words, against all pairs that there are."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.errors import ConfigError, DataError
from emoadapt.evaluation.similarity import compare_content, draw_pairs, list_tables, measure_similarities, summarise
from emoadapt.storage.tables import write_table
from emoadapt.study.graph import Graph

CLIPS = pl.DataFrame(
    [
        (f"c/{speaker}{label}{words}", speaker, label, words)
        for speaker in "pqr"
        for label in "ab"
        for words in ("one", "two")
    ],
    ["utterance_id", "speaker", "label", "words"],
    orient="row",
)


@pytest.mark.parametrize("content", ["same", "other"])
def test_pairs_have_one_emotion_two_speakers_and_the_words_asked_for(content: str) -> None:
    rows = {row[0]: row for row in CLIPS.rows()}
    possible = {
        (a, b)
        for a, b in combinations(sorted(rows), 2)
        if rows[a][1] != rows[b][1] and rows[a][2] == rows[b][2] and (rows[a][3] == rows[b][3]) is (content == "same")
    }
    assert len(possible) == 12
    assert set(draw_pairs(CLIPS, content, 100, 0)) == possible  # type: ignore[arg-type]
    few = draw_pairs(CLIPS, content, 5, 0)  # type: ignore[arg-type]
    assert len(set(few)) == 5 and set(few) <= possible and few == draw_pairs(CLIPS, content, 5, 0)  # type: ignore[arg-type]
    assert draw_pairs(CLIPS.filter(speaker="p"), content, 5, 0) == []  # type: ignore[arg-type]


def test_similarity_is_the_cosine_of_one_branch() -> None:
    layers = {"a": np.array([[9.0, 9, 9, 9], [3, 4, 1, 0]]), "b": np.array([[9.0, 9, 9, 9], [4, 3, 0, 2]])}
    assert measure_similarities(layers, [("a", "b")], 1, 0, 2) == pytest.approx([24 / 25])
    assert measure_similarities(layers, [("a", "b")], 1, 1, 2) == pytest.approx([0.0])
    assert measure_similarities(layers, [("a", "a")], 1, 0, 1) == pytest.approx([1.0])


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """A study whose kept layers of CARE say in the semantic half what the words are, and in the acoustic half the speaker."""
    monkeypatch.chdir(tmp_path)
    speech = {"architecture": "hubert", "untrained": {"layers": 2}}
    graph = Graph(
        load_study(
            {
                "study": "s",
                "corpora": {"c": {"importer": "folder", "root": ".", "shards": 1}},
                "backbones": {
                    "speech": speech,
                    "words": {"architecture": "bert", "untrained": {}},
                    "care": {"architecture": "care", "speech": "speech", "text": "words"},
                },
                "finetunings": {"default": {"method": "probe", "backbones": ["care"]}},
                "tasks": {"t": {"corpus": "c", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}},
            }
        )
    )
    rows = CLIPS.rows(named=True)
    plain = {"corpus": "c", "partition": 0, "fold": 0, "split": "train"}
    write_table(
        Path("results/splits/t/0.parquet"),
        [plain | {name: row[name] for name in ("utterance_id", "speaker", "label")} for row in rows],
        schema.SPLITS,
    )
    usual = {"string": "x", "int64": 0, "double": 0.0, "bool": False}
    required = {field.name: usual[str(field.type)] for field in schema.MANIFEST if not field.nullable}
    manifest = [
        required | {"utterance_id": row["utterance_id"], "corpus": "c", "transcript": f" {row['words'].title()} "}
        for row in rows
    ]
    write_table(Path("results/manifests/c/000.parquet"), manifest, schema.MANIFEST)
    kept = []
    for row in rows:
        halves = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0, 0, 0, 0]], "<f4")
        halves[2, :2] = {"p": (1, 0), "q": (0, 1), "r": (-1, 0)}[row["speaker"]]
        halves[2, 2:] = {"one": (1, 0), "two": (0, 1)}[row["words"]]
        kept.append(
            {"utterance_id": row["utterance_id"], "key": "k", "status": "ok", "layers": halves.tobytes(), "n_frames": 3}
            | {"dimension": 4}
        )
    write_table(Path("results/features/layers.care/c/000.parquet"), kept, schema.LAYERS)
    return graph


def test_branches_are_compared_in_their_first_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make(tmp_path, monkeypatch)
    found = compare_content(graph, "t", "care.original", 100, None, 0)
    means = dict(
        ((row[0], row[1]), row[2]) for row in found.group_by("branch", "content").agg(pl.mean("similarity")).rows()
    )
    # Of three speakers at 0, 90 and 180 degrees the mean cosine is -1/3.
    assert means["semantic", "same"] == 1.0 and means["semantic", "other"] == 0.0
    assert means["acoustic", "same"] == pytest.approx(-1 / 3) == means["acoustic", "other"]
    lines = list(summarise(found))
    assert len(lines) == 5 and any(line.split()[:3] == ["semantic", "same", "12"] for line in lines)
    assert compare_content(graph, "t", "care.original", 100, 1, 0)["similarity"].to_list() == pytest.approx([1.0] * 48)
    with pytest.raises(ConfigError, match="has layers 0 to 2, and 3 is asked for"):
        compare_content(graph, "t", "care.original", 100, 3, 0)


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match="x is no task of the study with classes; there is t"):
        list_tables(graph, "x", "care.original")
    with pytest.raises(ConfigError, match=r"care\.adapted is no model of the study"):
        list_tables(graph, "t", "care.adapted")
    with pytest.raises(
        DataError, match=r"missing: results/features/layers.speech/c/000.parquet. Run the study with a probe of speech"
    ):
        list_tables(graph, "t", "speech.original")

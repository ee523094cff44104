from __future__ import annotations

import pytest

from emoadapt.config import load_study
from emoadapt.errors import CorpusError
from emoadapt.tasks.folds import count_folds


@pytest.fixture
def count(tmp_path):
    """Count the folds of a split on twelve clips of four speakers, the last of whom has no clip of a class."""
    lines = ["file,who,label"]
    for number in range(12):
        (tmp_path / f"{number}.wav").touch()
        lines.append(f"{number}.wav,s{number // 3},{'x' if number >= 9 else 'ab'[number % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    (tmp_path / "folds.csv").write_text(
        "utterance_id,fold\n" + "".join(f"{number},{number % 6}\n" for number in range(12))
    )

    def run(speaker="speaker", **split):
        columns = {"media": "file", speaker: "who", "label": "label"}
        corpus = {"importer": "csv", "root": str(tmp_path), "file": "labels.csv", "columns": columns}
        task = {"corpus": "c", "classes": ["a", "b"], "other_labels": "drop", "split": split}
        backbones = {"h": {"architecture": "hubert", "weights": "some/hubert"}}
        study = load_study({"study": "s", "corpora": {"c": corpus}, "backbones": backbones, "tasks": {"t": task}})
        return count_folds("c", study.tasks["t"], study.corpora["c"])

    return run


def test_folds_are_counted_over_clips_with_a_class(count, tmp_path):
    """Symptom: a speaker whose clips are all dropped had a fold that no split holds."""
    assert count(by="leave_one_speaker_out") == 3
    assert count(by="leave_one_part_out", speaker="split") == 3


def test_other_splits_say_their_folds(count, tmp_path):
    assert count(by="folds", k=7) == 7
    assert count(by="fractions") == count(by="speakers", dev=["s1"], test=["s2"]) == 1
    table = str(tmp_path / "folds.csv")
    assert count(by="table", file=table, columns={"fold": "fold"}) == 6
    # Parts are not read here.
    assert count(by="table", file=table, columns={"part": "fold"}) == 1
    with pytest.raises(CorpusError, match="this table does not exist"):
        count(by="table", file=str(tmp_path / "none.csv"), columns={"fold": "fold"})

"""Checks that Snakemake repeats only when something that decides them changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.errors import EmoadaptError
from emoadapt.study.check import passed
from emoadapt.study.check.passed import check_before_run
from emoadapt.study.graph import Graph


def make_graph(root: Path, **task: Any) -> Graph:
    """A task on twelve clips of six speakers, listed anew."""
    columns = {"media": "file", "speaker": "who", "label": "label"}
    common = {"corpus": "c", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}
    corpus = {"importer": "csv", "root": str(root), "file": "labels.csv", "columns": columns, "shards": 1}
    return Graph(
        load_study(
            {
                "study": "s",
                "corpora": {"c": corpus},
                "backbones": {"e": {"architecture": "vector", "reads": "egemaps"}},
                "tasks": {"t": common | task},
            }
        )
    )


def write_labels(root: Path, first: str = "a") -> None:
    labels = [first, *["ab"[number % 2] for number in range(1, 24)]]
    rows = [f"{number}.wav,s{number // 4},{label}" for number, label in enumerate(labels)]
    (root / "labels.csv").write_text("\n".join(["file,who,label", *rows]))


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    media = tmp_path / "media"
    media.mkdir()
    for number in range(24):
        (media / f"{number}.wav").write_bytes(bytes([number]))
    write_labels(media)
    return media


def test_a_subset_that_is_too_large_is_refused(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EmoadaptError, match="subset"):
        check_before_run(make_graph(media, subsets=[500]))
    check_before_run(make_graph(media, subsets=[4]))
    assert capsys.readouterr().out == "", "Snakemake's own output may be read by a program"


def test_a_task_that_passed_is_checked_again_when_something_that_decides_it_changes(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_before_run(make_graph(media))
    with monkeypatch.context() as patch:
        patch.setattr("emoadapt.study.check.tasks.find_task_problems", lambda *_: pytest.fail("it was looked at again"))
        check_before_run(make_graph(media))
    for garbage in (b"", b"garbage", b"\xff"):
        (passed.PASSED / "tasks/t.json").write_bytes(garbage)
        check_before_run(make_graph(media))
    write_labels(media, first="c")
    for _ in range(2):
        with pytest.raises(EmoadaptError, match="none of its classes"):
            check_before_run(make_graph(media))
    (media / "labels.csv").unlink()
    write_labels(media)
    (media / "4.wav").write_bytes((media / "0.wav").read_bytes())
    with pytest.raises(EmoadaptError, match="recordings"):
        check_before_run(make_graph(media))


def test_a_partition_that_a_table_has_too_many_is_refused_also_later(media: Path) -> None:
    """The partitions that passed are as they were, so that the check was not repeated and the new one was left out."""
    parts = ("train", "train", "train", "dev", "dev", "test")
    rows = [f"{number}.wav,{parts[number // 4]}" for number in range(24)]
    table, columns = media / "split.csv", {"part": "part", "partition": "round"}
    split = {"by": "table", "file": str(table), "columns": columns}

    def write(rounds: int) -> None:
        lines = [f"{row.replace('.wav', '')},{number}" for number in range(rounds) for row in rows]
        table.write_text("\n".join(["utterance_id,part,round", *lines]))

    write(2)
    check_before_run(make_graph(media, split=split, partitions=2))
    write(3)
    with pytest.raises(EmoadaptError, match=r"holds 3 partitions \(0, 1, 2\), and the task's partitions is 2"):
        check_before_run(make_graph(media, split=split, partitions=2))
    write(2)
    check_before_run(make_graph(media, split=split, partitions=2))

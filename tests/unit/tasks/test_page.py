"""The examples of docs/splits.md, executed."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
import yaml

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.tasks.splits import build_task

PAGE = (Path(__file__).parents[3] / "docs/splits.md").read_text()
BLOCKS = {
    name: tasks
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for tasks in [yaml.safe_load(block)["tasks"]]
    for name in tasks
}
"""Example -> the tasks that the page shows with it."""
CLASSES = ("anger", "happiness", "neutral", "sadness")


def make_tables(corpus, speakers):
    """(MANIFEST rows, LABELS rows) of four clips a speaker; a session has two speakers."""
    rows = [
        {
            "utterance_id": f"{corpus}/{speaker}/{clip:03d}",
            "speaker": speaker,
            "split": f"session{number // 2 + 1}",
            "label": CLASSES[clip - 1],
        }
        for number, speaker in enumerate(speakers)
        for clip in range(1, 5)
    ]
    frames = []
    for table in (schema.MANIFEST, schema.LABELS):
        types = dict(pl.DataFrame(table.empty_table()).schema)
        frames.append(pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types))
    return frames


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest, labels = make_tables("speech", "abcdefghijkl")
    (text,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    # The table of the page, and all other clips of its speakers.
    named = dict(line.split(",") for line in text.splitlines()[1:])
    part = {name.split("/")[0]: found for name, found in named.items()}
    rest = [f"{speaker}/{clip:03d}" for speaker in part for clip in range(1, 5)]
    lines = [f"{name},{part[name[0]]}\n" for name in rest if name not in named]
    Path("splits.csv").write_text(text + "".join(lines))
    rounds = [
        f"{name.removeprefix('speech/')}\t{(number // 4 + turn) % 3}\t{turn}\n"
        for turn in range(5)
        for number, name in enumerate(manifest["utterance_id"])
    ]
    Path("rounds.tsv").write_text("clip\tfold\tround\n" + "".join(rounds))
    other = make_tables("other", "uvwxyz")
    return {"speech": manifest, "other": other[0]}, {"speech": labels, "other": other[1]}


EXPECTED = {"random": (20, 1), "sessions": (3, 1), "trials": (5, 1), "mine": (1, 1), "rounds": (5, 3), "across": (1, 1),
            "other": (5, 1), "transfer": (5, 1), "cross": (5, 1)}  # fmt: skip
"""Example -> its partitions, and the folds of each."""


def test_every_example_is_executed():
    assert list(BLOCKS) == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_example_divides_a_corpus(name, tables):
    corpora = {corpus: {"importer": "folder", "root": corpus} for corpus in ("speech", "other")}
    backbones = {"h": {"architecture": "hubert", "weights": "some/hubert"}}
    study = load_study({"study": "s", "corpora": corpora, "backbones": backbones, "tasks": BLOCKS[name]})
    others = {other: study.tasks[other] for other in study.find_tested_tasks(name).values()}
    splits = build_task(name, study.tasks[name], *tables, others)
    assert (splits["partition"].n_unique(), splits.select("partition", "fold").n_unique()) == (
        EXPECTED[name][0],
        EXPECTED[name][0] * EXPECTED[name][1],
    )
    tested = set(splits.filter(split="test")["corpus"])
    own = {study.tasks[name].corpus}
    assert tested == {"across": {"other"}, "cross": {"other"}, "transfer": own | {"other"}}.get(name, own)

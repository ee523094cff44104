"""Leaks from training, development and Stage 1 into the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.reporting.style import listing
from emoadapt.storage.frames import read_frame
from emoadapt.tasks.divisions import UNLABELLED
from emoadapt.tasks.leaks import describe_leak
from emoadapt.tasks.leaks import read_clips as read_clips
from emoadapt.tasks.overlap import find_shared_clips

_TESTED = ("task", "test_corpus", "test_clips", "seen_clips", "test_speakers", "seen_speakers")


def count_shared(splits: pl.DataFrame, clips: pl.DataFrame) -> dict[tuple[Any, ...], tuple[int, int]]:
    """(corpus, partition, fold, split) -> its clips, and its speakers, that are also in another split of the fold.

    Clips that are read without labels count for no split but their own; the table `leaks` compares them with the test set.

    Args:
        splits: SPLITS rows of a task.
        clips: as from `read_clips`.
    """
    shared: dict[tuple[Any, ...], tuple[int, int]] = {}
    joined = splits.join(clips, on="utterance_id", how="left").partition_by("partition", "fold", as_dict=True)
    for division, rows in joined.items():
        for (corpus, split), part in rows.partition_by("corpus", "split", as_dict=True).items():
            others = rows.filter(~pl.col("split").is_in([split, UNLABELLED]))
            people = set(part["person"].drop_nulls()) & set(others["person"].drop_nulls())
            shared[corpus, *division, split] = (len(find_shared_clips(part, others)), len(people))
    return shared


def build_stage1(
    study: Study, splits: Mapping[str, pl.DataFrame], clips: pl.DataFrame, parts: Mapping[str, Path]
) -> pl.DataFrame:
    """Build one row per adaptation and test set: Stage-1 data, and its share of the test set.

    Args:
        study: the configuration.
        splits: task -> its SPLITS rows.
        clips: as from `read_clips`.
        parts: adaptation -> PARTS table. Its held-out clips count as used: they choose the checkpoint.

    Returns:
        `clips_of_unknown`: Stage-1 clips whose speaker is unknown, among whom a test speaker would not be found;
        `seen_clips`, `seen_speakers`: of the test set (speakers null where those of the test set are unknown).
    """
    rows: list[dict[str, Any]] = []
    for adaptation, path in parts.items():
        part = read_frame([path], schema.PARTS)
        heard = part.select("utterance_id", "part").join(clips, on="utterance_id", how="left")
        base = {
            "adaptation": adaptation,
            "corpora": ", ".join(study.adaptations[adaptation].corpora),
            "clips": part.height,
            "held_out": part.filter(part="held_out").height,
            "speakers": heard["person"].drop_nulls().n_unique(),
            "clips_of_unknown": heard["person"].null_count(),
        }
        tested = [
            {**base, "task": task, "test_corpus": corpus, **_count_seen(test, heard)}
            for task, frame in splits.items()
            for (corpus,), test in frame.filter(split="test")
            .join(clips, on="utterance_id", how="left")
            .unique("utterance_id")
            .partition_by("corpus", as_dict=True)
            .items()
        ]
        rows += sorted(tested, key=lambda row: (row["task"], row["test_corpus"])) or [
            {**base, **dict.fromkeys(_TESTED)}
        ]
    texts = ("adaptation", "corpora", "task", "test_corpus")
    order = ("adaptation", "corpora", "clips", "held_out", "speakers", "clips_of_unknown", *_TESTED)
    return pl.DataFrame(rows, schema={name: pl.String if name in texts else pl.Int64 for name in order})


def leak_footnotes(study: Study, leaks: pl.DataFrame) -> dict[str, list[str]]:
    """Sentences to print below every table of a task: what its test sets share with what came before them.

    Args:
        study: the configuration.
        leaks: LEAKS rows of its tasks.

    Returns:
        Task -> sentences, most serious first; no sentence where nothing is shared. What could not be looked for is said
        in a sentence of its own.
    """
    order = pl.Enum(list(_CONSEQUENCE))
    notes: dict[str, list[str]] = {name: [] for name in study.tasks}
    rows = leaks.with_columns(pl.col("kind").cast(order)).sort("kind", maintain_order=True)
    for row in rows.filter(pl.col("count") > 0).iter_rows(named=True):
        notes.setdefault(row["task"], []).append(f"{describe_leak(row)}: {_name_consequence(row)}")
    for task, sentences in notes.items():
        # Few corpora bring transcripts: that sentences were not compared is said where somebody counts on it.
        idle = [] if task in study.tasks and study.tasks[task].leaks.transcripts == "refuse" else ["transcripts"]
        idle += ["overlaps"]  # unknown where `clips` is
        unknown = rows.filter(~pl.col("kind").is_in(idle), task=task, verdict="unknown")
        unknown = unknown.select("kind", "between", "corpus").rows()
        if unknown:
            listed = [
                f"{kind.replace('_', ' ').replace('stage1', 'Stage-1')} of {corpus} ({between})"
                for kind, between, corpus in unknown
            ]
            sentences.append(f"Not known, and so not looked for: {listing(dict.fromkeys(listed))}.")
    return notes


def select_footnotes(tidy: pl.DataFrame, notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Footnotes of a table: those of the tasks in it, if it is about models. They name their task where there are several in the study.

    Args:
        tidy: a table as written to CSV.
        notes: as from `leak_footnotes`.
    """
    if not {"task", "backbone"} <= set(tidy.columns):
        return []
    tasks = tidy["task"].unique(maintain_order=True)
    several = len(notes) > 1
    return [f"{task}: {note}" if several else note for task in tasks for note in notes.get(task, [])]


def print_footnotes(notes: Sequence[str]) -> str:
    """Footnotes below a table in Markdown."""
    return "".join(["\n", *(f"- {note}\n".replace("<", "&lt;") for note in notes)]) if notes else ""


def _name_consequence(row: Mapping[str, Any]) -> str:
    if row["kind"] == "clips" and row["between"] == "train / dev":
        return "the epoch is chosen on clips that the model was trained on."
    if row["kind"] == "duplicates" and row["between"] != "test / test":
        return "each copy counts there."
    return _CONSEQUENCE[row["kind"]]


_CONSEQUENCE = {
    "clips": "scores there are too good.",
    "development": "the choice of the epoch has seen the test, and scores there are too good.",
    "labels": "no model can be right about both.",
    "target_clips": "scores there of models that read it are not those of unseen recordings.",
    "stage1_clips": "the scores of this adaptation there are not those of unseen recordings.",
    "speakers": "scores there are not those of unseen speakers.",
    "target_speakers": "scores there of models that read it are not those of unseen speakers.",
    "stage1_speakers": "the scores of this adaptation there are not those of unseen speakers.",
    "transcripts": "scores there do not say how a model does on other words.",
    "duplicates": "scores count each copy.",
    "overlaps": "scores there may be a little too good.",
    "stage1_copies": "copies are on one side of its training and held-out parts, where each counts.",
}
"""Kind of leak -> what it does to scores; most serious first."""


def _count_seen(test: pl.DataFrame, heard: pl.DataFrame) -> dict[str, int | None]:
    shared = {*find_shared_clips(test, heard), *set(test["utterance_id"]).intersection(heard["utterance_id"])}
    people = set(test["person"].drop_nulls())
    known = people & set(heard["person"].drop_nulls())
    known |= set(test.filter(pl.col("utterance_id").is_in(list(shared)))["person"].drop_nulls())
    return {
        "test_clips": test.height,
        "seen_clips": len(shared),
        "test_speakers": len(people) or None,
        "seen_speakers": len(known) if people else None,
    }

"""The jobs that turn labels into a task: classes, splits, low-resource subsets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emoadapt import schema
from emoadapt.config import Study, Task
from emoadapt.flow.frames import read_frame
from emoadapt.flow.shards import group_by_corpus
from emoadapt.flow.store import write_table
from emoadapt.tasks.notes import describe_left_out
from emoadapt.tasks.splits import build_task
from emoadapt.tasks.subsets import draw_subsets


def write_splits(study: Study, task: str, manifests: Sequence[Path], labels: Sequence[Path], output: Path) -> None:
    """Write a task's utterances with class, fold and split (SPLITS).

    Args:
        study: the study.
        task: name of the task.
        manifests: manifest shards `<corpus>/<shard>.parquet` of the task's corpora.
        labels: label tables `<corpus>.parquet` of the same.
        output: table to write.
    """
    clips = {corpus: read_frame(paths, schema.MANIFEST) for corpus, paths in group_by_corpus(manifests).items()}
    tables = {path.stem: read_frame(path, schema.LABELS) for path in labels}
    splits = build_task(task, study.tasks[task], clips, tables)
    left_out = describe_left_out(study.tasks[task], clips, tables)
    write_table(output, splits.to_arrow(), schema.SPLITS, {"left_out": left_out})


def write_subsets(task: str, subset: str, config: Task, splits: Path, output: Path) -> None:
    """Write the drawn training clips of every resampling and fold (SUBSETS)."""
    table = read_frame(splits, schema.SPLITS)
    size = "full" if subset == "full" else int(subset)
    write_table(output, draw_subsets(table, config, size, task).to_arrow(), schema.SUBSETS)

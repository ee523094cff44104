"""Number of folds of a task. Light: the graph asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.listing.reading import read_labels, read_utterances
from emoadapt.tasks.split_tables import list_folds, read_split_table

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus, Task


def count_folds(name: str, task: Task, corpus: AnyCorpus) -> int:
    """Number of folds of each partition of a task.

    Args:
        name: the corpus trained on.
        task: the task's configuration.
        corpus: the configuration of the corpus trained on.

    Raises:
        CorpusError: the corpus, or the table of a split, cannot be read.
    """
    split = task.split
    match split.by:
        case "folds":
            return split.k
        case "table" if split.columns.fold is not None:
            return len(list_folds(split, read_split_table(split)))
        case "leave_one_speaker_out":
            return _count_values("speaker", name, task, corpus)
        case "leave_one_part_out":
            return _count_values("split", name, task, corpus)
        case _:
            return 1


def _count_values(unit: str, name: str, task: Task, corpus: AnyCorpus) -> int:
    """Number of speakers, or of official parts, among the clips that the task can use."""
    used = {
        row.utterance_id
        for row in read_labels(name, corpus)
        if task.class_map.get(row.label or "", row.label) in task.classes
        or any(getattr(row, attribute) is not None for attribute in task.attributes)
    }
    values = {getattr(row, unit) for row in read_utterances(name, corpus) if row.utterance_id in used}
    return len(values - {None, ""})

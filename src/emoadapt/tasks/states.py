"""State of a task's splits and leaks. Light."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from emoadapt.plugins import read_declaration
from emoadapt.tasks.split_tables import describe_split_table

if TYPE_CHECKING:
    from emoadapt.config import Study, Task


def describe_splits(task: Task) -> str:
    """State of a task's classes and splits: configuration and split table.

    Raises:
        CorpusError: the table cannot be read.
    """
    idle = {"subsets": True, "resamplings": True, "draws": True, "leaks": True, "score": True}
    # What a table says counts, not where it lies.
    where = {"file", "columns"} if task.split.by == "table" else set()
    return f"{task.model_dump_json(exclude=idle | {'split': where})} {describe_split_table(task.split)}".strip()


def describe_leaks(study: Study, name: str) -> str:
    """State of a task's leaks: verdicts, Stage-1 corpora, and namespaces of speakers."""
    task = study.tasks[name]
    stage1 = {adaptation: study.adaptations[adaptation].corpora for adaptation in study.adaptations_of(name)}
    corpora = dict.fromkeys([task.corpus, *task.test_also, *(corpus for used in stage1.values() for corpus in used)])
    configs = {corpus: study.corpora[corpus] for corpus in corpora}
    whose = [
        (corpus, config.importer, config.root, read_declaration("corpora", config.importer, "SPEAKERS_OF"))
        for corpus, config in configs.items()
    ]
    return json.dumps([task.leaks.model_dump(), task.score, stage1, whose])

"""State of a task's splits and leaks. Light."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emoadapt.plugins import read_declaration
from emoadapt.tasks.split_tables import describe_split_table

if TYPE_CHECKING:
    from emoadapt.config import Study, Task


def describe_splits(study: Study, name: str, partition: int) -> str:
    """State of a partition of a task, as JSON: its keys, its division, and those of the tasks whose test parts it is tested on.

    The number of partitions is no part of it: another one changes none of the others.

    Raises:
        CorpusError: the table of a split cannot be read.
    """
    own = _describe_division(study.tasks[name], partition)
    # What else another task is tested on, and what it asks of its test sets, does not divide its corpus.
    whose = sorted(study.list_tested_tasks(name).items())
    others = {
        task.corpus: _describe_division(task, partition, ("test_also", "target", "missing_classes"))
        for _, task in whose
    }
    return json.dumps(own | ({"tested": others} if others else {}), sort_keys=True)


def _describe_division(task: Task, partition: int, also_idle: Sequence[str] = ()) -> dict[str, Any]:
    idle = dict.fromkeys(also_idle, True)
    idle |= dict.fromkeys(("subsets", "resamplings", "draws", "leaks", "score", "partitions", "trials"), True)
    # What a table says counts, not where it lies.
    where = {"file", "columns"} if task.split.by == "table" else {"partitions"}
    listed, own = getattr(task.split, "partitions", ()), partition if task.partitions > 1 else 0
    division: Any = listed[own].model_dump(mode="json") if listed else own
    found = _sort_names(task.model_dump(mode="json", exclude=idle | {"split": where}))
    table = describe_split_table(task.split, own)
    return found | {"split": found["split"] | {"partition": division} | ({"table": table} if table else {})}


def _sort_names(task: dict[str, Any]) -> dict[str, Any]:
    """A task with the names of corpora, and of what its parts hold, in one order: theirs decides nothing."""
    split = {key: sorted(value) if isinstance(value, list) else value for key, value in task["split"].items()}
    also = task.get("test_also")
    return task | {"split": split} | ({"test_also": sorted(also)} if isinstance(also, list) else {})


def describe_leaks(study: Study, name: str) -> str:
    """State of a task's leaks: verdicts, Stage-1 corpora, and namespaces of speakers."""
    task = study.tasks[name]
    stage1 = {adaptation: study.adaptations[adaptation].corpora for adaptation in study.adaptations_of(name)}
    corpora = sorted({*task.corpora, *(corpus for used in stage1.values() for corpus in used)})
    configs = {corpus: study.corpora[corpus] for corpus in corpora}
    whose = [
        (corpus, config.importer, config.root, read_declaration("corpora", config.importer, "SPEAKERS_OF"))
        for corpus, config in configs.items()
    ]
    target = task.target.corpus if task.target else None
    return json.dumps([task.leaks.model_dump(), task.score, target, stage1, whose], sort_keys=True)

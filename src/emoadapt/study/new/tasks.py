"""Task of a labelled corpus: the first classes and split that the checks of a study accept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emoadapt.config import load_study
from emoadapt.errors import CorpusError, EmoadaptError, Problem, name_count, show
from emoadapt.storage.spreadsheets import CsvWriter
from emoadapt.study.check.listings import Listings
from emoadapt.study.check.tasks import find_task_problems
from emoadapt.study.new.classes import Classes, list_confounded, propose_classes
from emoadapt.study.new.divisions import Division, list_divisions
from emoadapt.study.new.drafts import Draft


@dataclass
class TaskDraft:
    """A proposed task.

    Args:
        name: name of the task.
        draft: its corpus.
        classes: its classes; None for a task of attributes.
        attributes: its attributes; empty for a task of classes.
        division: its split.
        refused: splits that did not pass the checks, each with the reason.
    """

    name: str
    draft: Draft
    classes: Classes | None
    attributes: Sequence[str]
    division: Division
    refused: list[str] = field(default_factory=list)

    def explain_parts(self) -> str:
        """Explain why the corpus's own parts are not used; empty if they are used, or if there are none."""
        parts = sorted({utterance.split for utterance in self.draft.utterances if utterance.split})
        if not parts or self.division.official:
            return ""
        reason = next(iter(self.refused), "they are no train and test, or clips have none")
        return f"the corpus's own parts ({show(parts)}) are not used: {reason}"

    def section(self) -> dict[str, Any]:
        """Its keys, as a study has them."""
        asked: dict[str, Any] = {"corpus": self.draft.name}
        if self.classes is None:
            asked["attributes"] = list(self.attributes)
        else:
            asked["classes"] = self.classes.names
            asked |= {"class_map": dict(self.classes.class_map)} if self.classes.class_map else {}
            asked |= {"other_labels": "drop"} if self.classes.dropped else {}
        asked["split"] = dict(self.division.split)
        return asked | ({"leaks": dict(self.division.leaks)} if self.division.leaks else {})


def propose_tasks(draft: Draft, table: Path, *, force: bool) -> list[TaskDraft]:
    """Propose a task for the labels of a corpus, and one for its ratings.

    Args:
        draft: the corpus.
        table: file of parts, which is written if no other split is possible.
        force: whether that file may be replaced.

    Raises:
        CorpusError: no split is possible, or the file of parts exists already.
    """
    asked = []
    if len({label.label for label in draft.labels if label.label}) > 1:
        asked.append(_settle(draft, draft.name, propose_classes(draft), [], table, force))
    if draft.attributes:
        name = f"{draft.name}_attributes" if asked else draft.name
        try:
            asked.append(_settle(draft, name, None, draft.attributes, table.with_stem(f"{table.stem}_{name}"), force))
        except CorpusError as error:
            if not asked:
                raise
            draft.doubts.append(f"the ratings {', '.join(draft.attributes)} are left out: {error}")
    return asked


def _settle(
    draft: Draft, name: str, classes: Classes | None, attributes: Sequence[str], table: Path, force: bool
) -> TaskDraft:
    """Take the first split that passes the checks; without one, drop the rarest class and try again.

    Raises:
        CorpusError: no split passes with two classes.
    """
    refused: list[str] = []
    first = classes
    while True:
        for division in list_divisions(draft, list(_list_used(draft, classes, attributes)), table.as_posix()):
            task = TaskDraft(name, draft, classes, attributes, division, refused)
            if not (problems := _try(task, table, force)):
                return _warn_confounded(task)
            refused.append(f"{division.split['by']}: {problems[0]}")
        if classes is None or len(classes.counts) <= 2:
            raise CorpusError(_explain_none(draft, first))
        classes = classes.drop_rarest()
        refused.clear()


def _explain_none(draft: Draft, classes: Classes | None) -> str:
    """Say why a corpus has no task of its own, and what it is good for."""
    speakers = f"of {name_count(len(draft.speakers), 'speaker')}" if draft.speakers else "of unknown speakers"
    if classes is None:
        return f"{draft.folder} has too few rated clips ({speakers}) to divide into train, dev and test; add clips"
    return (
        f"{draft.folder} has too few clips to divide into train, dev and test with two classes in each: {classes.describe()}, {speakers}; "
        "add clips, or name the folder beside another labelled corpus, whose task can be tested on it (test_also)"
    )


def _warn_confounded(task: TaskDraft) -> TaskDraft:
    """Say that no division by speaker suits a corpus of which a class is mostly of one speaker."""
    if task.classes and not task.division.official and list_confounded(task.draft, task.classes):
        warning = (
            "a class is mostly of one speaker, so that no division by speaker is fair: where this speaker is tested, the class is hardly "
            "learned, and elsewhere it is hardly tested. Better train on another corpus, and name this one in its test_also"
        )
        task.division = replace(task.division, warning=f"{task.division.warning} {warning}".strip())
    return task


def _list_used(draft: Draft, classes: Classes | None, attributes: Sequence[str]) -> Iterator[int]:
    """Positions of the clips that a task uses."""
    for at, label in enumerate(draft.labels):
        if classes is None:
            used = any(getattr(label, name) is not None for name in attributes)
        else:
            used = classes.find(label.label) is not None
        if used:
            yield at


def _try(task: TaskDraft, table: Path, force: bool) -> list[Problem]:
    """Problems that `emoadapt check` would find in a task."""
    if task.division.table:
        write_parts(table, task.division, force=force)
    corpora = {task.draft.name: task.draft.section}
    values = {"study": "trial", "corpora": corpora, "tasks": {task.name: task.section()}}
    values["backbones"] = {"egemaps": {"architecture": "vector", "reads": "egemaps_functionals"}}
    try:
        problems = find_task_problems(Listings(load_study(values)), task.name)
    except EmoadaptError as error:
        problems = error.problems
    if problems and task.division.table:
        table.unlink()
    return problems


def write_parts(path: Path, division: Division, *, force: bool) -> None:
    """Write the table of a split.

    Raises:
        CorpusError: the file is there.
    """
    if path.exists() and not force:
        raise CorpusError(f"{path} is there already; add --force to replace it, or choose another --output")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, ["utterance_id", "part"])
        writer.write_header()
        for name, part in sorted(division.table.items()):
            writer.write_row({"utterance_id": name, "part": part})

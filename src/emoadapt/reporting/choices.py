"""Combinations of settings that runs chose, how often, and among how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.data.vectors import find_small_groups
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.style import listing, state_weights, subset_name
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Model
from emoadapt.tasks.targets import describe_target, list_readers

COLUMNS = {
    **dict.fromkeys(("task", "subset", *Model._fields, "combination"), pl.String),
    **dict.fromkeys(("times", "trainings", "tried"), pl.Int64),
    "score": pl.Float64,
    "chosen_by": pl.String,
    "weights": pl.String,
}
"""Columns of the table `choices`. `score`: mean over the trainings that chose the combination."""
NAMED = 3
"""Combinations that a footnote names."""


def build_choices(study: Study, splits: Mapping[str, Sequence[Path]], results: Path) -> pl.DataFrame:
    """Build one row per setting and combination that some of its trainings chose, the most frequent first.

    Args:
        study: the configuration.
        splits: task -> its SPLITS tables.
        results: folder of results, laid out as by the rules.
    """
    rows: list[dict[str, Any]] = []
    for setting in study.list_settings():
        settings = study.finetunings[setting.model.finetuning]
        if not getattr(settings, "lists", []):
            continue
        paths = [folder / "curves.parquet" for folder, _ in list_batches(study, setting, splits[setting.task], results)]
        tried = read_frame(paths, schema.CURVES).filter(part="choice")
        base = {"task": setting.task, "subset": setting.subset, **setting.model._asdict()}
        base |= {"trainings": tried["run"].n_unique(), "tried": tried["epoch"].n_unique()}
        base |= {"chosen_by": name_chooser(settings), "weights": state_weights(study, setting.model.backbone)}
        chosen = tried.filter("best").group_by("epoch", "metric").agg(times=pl.len(), score=pl.col("value").mean())
        for _, name, times, score in chosen.sort(["times", "epoch"], descending=[True, False]).iter_rows():
            rows.append({**base, "combination": name, "times": times, "score": score})
    return pl.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], schema=COLUMNS)


def name_chooser(settings: Any) -> str:
    """Name the clips that choose among the combinations of a fine-tuning."""
    if settings.choose_by == "dev":
        return "the dev part"
    return f"up to {settings.inner_folds} inner folds over training speakers"


def list_choice_notes(choices: pl.DataFrame) -> dict[tuple[str, str], str]:
    """(task, model) -> a sentence: what was chosen, how often, by whom, and among how many combinations.

    Args:
        choices: rows of `build_choices`.
    """
    notes = {}
    for (task, *model), part in choices.group_by(["task", *Model._fields], maintain_order=True):
        name = str(Model(*map(str, model)))
        sizes = [_describe_subset(rows) for _, rows in part.group_by(["subset"], maintain_order=True)]
        first = part.row(0, named=True)
        notes[str(task), name] = (
            f"{task}, {name}: each training chose one of {first['tried']} combinations by {first['chosen_by']}, never by the test part; "
            f"{'; '.join(sizes)}."
        )
    return notes


def _describe_subset(rows: pl.DataFrame) -> str:
    """What the trainings with so many clips chose, the most frequent first."""
    named = [f"{name} {_count(times)}" for name, times in rows.select("combination", "times").head(NAMED).iter_rows()]
    others = sum(rows["times"].slice(NAMED))
    trainings = rows["trainings"][0]
    listed = ", ".join([*named, *([f"others {_count(others)}"] if others else [])])
    return f"{subset_name(rows['subset'][0])}, {trainings} training{'' if trainings == 1 else 's'}: {listed}"


def _count(times: int) -> str:
    return "once" if times == 1 else f"{times} times"


def list_scale_notes(study: Study, splits: Mapping[str, pl.DataFrame]) -> dict[str, list[str]]:
    """Task -> sentences about speakers or corpora that are too small for statistics of their own, and about a target.

    Args:
        study: the configuration.
        splits: task -> its SPLITS rows.
    """
    notes: dict[str, list[str]] = {}
    for task, rows in splits.items():
        for name in dict.fromkeys(setting.model.finetuning for setting in study.list_settings(task)):
            scope: Any = getattr(study.finetunings[name], "normalise", "train")
            for sentence in find_small_groups(rows, rows["utterance_id"], scope):
                notes.setdefault(task, []).append(f"Fine-tuning {name}, {task}: {sentence}.")
        if readers := list_readers(study, task):
            said = describe_target(study.tasks[task], rows)
            notes.setdefault(task, []).append(
                f"Fine-tuning {listing(readers)}, {task}: {said}; scores there are those of adaptation to this corpus, and not of transfer "
                "to an unknown one."
            )
    return notes

"""Table of the targets of Stage 1 that are classes: the clips of each class, in the training and the held-out part."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt.config import Study
from emoadapt.config.features import list_upstream
from emoadapt.data.class_names import name_class, name_task
from emoadapt.data.objective_targets import describe_target

COLUMNS = {
    "adaptations": pl.String, "objective": pl.String, "task": pl.String, "threshold": pl.String, "class": pl.String, "train": pl.Int64,
    "train_share": pl.Float64, "held_out": pl.Int64, "held_out_share": pl.Float64,
}  # fmt: skip
"""Columns of the table `pretext`: clips of a class, and their share of the clips that have the target. The share is null in the row of
the clips without it, which are masked."""
ABSENT = "no target"
PARTS = ("train", "held_out")


def build_pretext(models: Sequence[Path]) -> pl.DataFrame:
    """Build one row per target, task of it and class. Adaptations with the same counts share their rows.

    Where the models of one adaptation differ, since a backbone cannot read some clips, each is named instead of it.

    Args:
        models: folders of Stage-1 models, `<backbone>.<adaptation>`; `adaptation.json` holds the counts.
    """
    found: dict[tuple[tuple[Any, ...], ...], list[str]] = {}
    for folder in models:
        facts = json.loads((folder / "adaptation.json").read_text(encoding="utf-8"))
        for objective in facts["objectives"]:
            if facts["classes"].get(objective):
                found.setdefault(tuple(_list_classes(facts, objective)), []).append(folder.name)
    tables = Counter(
        (rows[0][0], name) for rows, names in found.items() for name in dict.fromkeys(map(_name_adaptation, names))
    )

    def show(objective: str, names: Sequence[str]) -> str:
        adapted = {name: _name_adaptation(name) for name in names}
        return ", ".join(dict.fromkeys(name if tables[objective, of] > 1 else of for name, of in adapted.items()))

    named = [(show(rows[0][0], names), *row) for rows, names in found.items() for row in rows]
    return pl.DataFrame(named, schema=COLUMNS, orient="row")


def _name_adaptation(model: str) -> str:
    return model.rpartition(".")[2]


def _list_classes(facts: Mapping[str, Any], objective: str) -> Iterator[tuple[Any, ...]]:
    """Rows of an objective without the names of adaptations: each task with its classes, then the clips without the target."""
    counts = facts["classes"][objective]
    for number in range(max(len(counts.get(part, ())) for part in PARTS)):
        found = [counts[part][number] if part in counts else [] for part in PARTS]
        first = objective, name_task(objective, number), _name_threshold(facts, objective, number)
        for place in range(max(map(len, found))):
            clips = [values[place] if place < len(values) else 0 for values in found]
            shares = [n / total if (total := sum(values)) else None for n, values in zip(clips, found, strict=True)]
            yield *first, name_class(objective, place), clips[0], shares[0], clips[1], shares[1]
    lacking = [facts["utterances"][part] - facts["targets"][objective][part] for part in PARTS]
    if any(lacking):
        yield objective, "", None, ABSENT, lacking[0], None, lacking[1], None


def _name_threshold(facts: Mapping[str, Any], objective: str, number: int) -> str | None:
    """The threshold of a task in the feature's unit; of each corpus where they differ."""
    found = [
        (row["corpus"], f"{row['mean'][number]:.3g}")
        for row in facts["normalisers"]
        if row["objective"] == objective and number < len(row["mean"])
    ]
    if len(found) == 1:
        return found[0][1]
    return ", ".join(f"{corpus} {value}" for corpus, value in found) or None


def describe_pretext(row: Mapping[str, Any]) -> dict[str, str]:
    """The row as text."""

    def show(part: str) -> str:
        share = row[f"{part}_share"]
        return f"{row[part]:,}" + ("" if share is None else f" ({100 * share:.0f} %)")

    return {
        "adaptations": row["adaptations"],
        "objective": row["objective"],
        "task": row["task"] or "–",
        "threshold": row["threshold"] or "–",
        "class": row["class"],
        "training clips": show("train"),
        "held-out clips": show("held_out"),
    }


def list_pretext_notes(study: Study, pretext: pl.DataFrame) -> list[str]:
    """The commands that draw examples of the classes. The report holds none: it may be passed on, and people are recognised in them."""
    targets: dict[str, list[str]] = {}
    for names, objective in pretext.select("adaptations", "objective").unique(maintain_order=True).rows():
        adaptation = _name_adaptation(names.split(", ")[0])
        for command in _write_commands(study, adaptation):
            targets.setdefault(command, []).append(f"{adaptation}.{objective}")
    return [
        "This page shows no example of a class, since people are recognised in frames. Where the corpora are, "
        f"{command} --target TARGET draws some of each class (TARGET: {', '.join(dict.fromkeys(found))})."
        for command, found in targets.items()
    ]


def _write_commands(study: Study, adaptation: str) -> list[str]:
    """Commands that draw clips of an adaptation, one for each corpus whose faces its objectives look at."""
    config = study.adaptations[adaptation]
    targets = [feature for name in config.objectives if (feature := describe_target(name)[0])]
    behind = {step for feature in targets for step in list_upstream(feature)}
    found = next((feature for feature in ("landmarks", "faces") if feature in behind), None)
    filmed = [name for name in config.corpora if found and "video" in study.corpora[name].modalities]
    return [f"emoadapt contact-sheet {shlex.quote(corpus)} --feature {found}" for corpus in filmed]

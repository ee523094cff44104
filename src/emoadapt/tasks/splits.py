"""Train, development and test: who is in which. Whether they are disjoint is looked into by `tasks.leaks`.

A partition depends on the clips' speakers, labels and the seed only, never on the order of rows or on features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from emoadapt.corpora.base import show
from emoadapt.corpora.names import suggest_name
from emoadapt.corpora.speakers import group_speakers
from emoadapt.errors import CorpusError, DataError
from emoadapt.schema import SPLITS
from emoadapt.tasks.classes import check_test_classes, count_labels, map_labels, share_votes

if TYPE_CHECKING:
    from emoadapt.config import FoldSplit, FractionSplit, OfficialSplit, SpeakerSplit, Split, Task

PARTS = ("train", "dev", "test")

COLUMNS = dict(pl.DataFrame(SPLITS.empty_table()).schema)
"""`schema.SPLITS` in polars."""


def build_task(
    task_name: str, task: Task, manifests: Mapping[str, pl.DataFrame], labels: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """The whole partition of a task.

    Args:
        task_name: for messages.
        task: its configuration.
        manifests: corpus -> `schema.MANIFEST` rows, for the task's corpus and those it is also tested on.
        labels: corpus -> `schema.LABELS` rows, for the same.

    Returns:
        `schema.SPLITS` rows sorted by fold and id; utterances of `test_also` corpora are test rows of every fold.

    Raises:
        CorpusError: labels outside the classes, a test set that lacks one, or what `assign_splits`, `check_splits` and
            `check_attributes` refuse. What is shared between the parts is looked for by `leaks`, which the training waits for.
    """
    main = _join(task_name, task, task.corpus, manifests, labels)
    try:
        splits = assign_splits(main, task.split)
    except CorpusError as error:
        raise CorpusError(f"task {task_name}, {error}") from None
    check_splits(task_name, splits, task.classes)
    check_attributes(task_name, splits, task.attributes)
    folds = splits.select("fold").unique()
    also = [
        _conform(
            _join(task_name, task, corpus, manifests, labels)
            .join(folds, how="cross")
            .with_columns(split=pl.lit("test"))
        )
        for corpus in task.test_also
    ]
    splits = pl.concat([splits, *also]).sort("fold", "utterance_id")
    if task.classes:
        counts = {corpus: count_labels(task, labels[corpus]) for corpus in (task.corpus, *task.test_also)}
        check_test_classes(task_name, task, splits, counts)
    return splits


def take_ratings(task_name: str, task: Task, labels: pl.DataFrame, corpus: str) -> pl.DataFrame:
    """Take the values of a task's attributes; utterances without a single one are left out.

    Args:
        task_name: for messages.
        task: its configuration (`attributes`).
        labels: columns `utterance_id` and the attributes.
        corpus: the corpus they belong to.

    Returns:
        Columns `utterance_id` and the task's attributes, in the corpus's own scale; null = not rated.

    Raises:
        CorpusError: no utterance has a value, or one is not finite.
    """
    rated = labels.select("utterance_id", *task.attributes).filter(
        pl.any_horizontal(pl.col(name).is_not_null() for name in task.attributes)
    )
    if rated.is_empty():
        raise CorpusError(
            f"task {task_name}: no clip of corpus {corpus} has a value of {', '.join(task.attributes)}; name its columns in "
            f"corpora.{corpus}.columns, or take another corpus"
        )
    strange = rated.filter(pl.any_horizontal(~pl.col(name).is_finite() for name in task.attributes).fill_null(False))
    if len(strange):
        raise CorpusError(
            f"task {task_name}: values of {', '.join(task.attributes)} that are no finite numbers in corpus {corpus}: "
            f"{show(strange['utterance_id'].sort())}; correct them, or leave the cells empty"
        )
    return rated


def assign_splits(table: pl.DataFrame, split: Split) -> pl.DataFrame:
    """Give every utterance a fold and a part of it.

    Args:
        table: columns `utterance_id`, `corpus`, `speaker`, `sex`, `split` (the official partition), and `label` and `soft`, or
            attributes.
        split: how. `fractions` and `folds` keep speakers together and come as close to the wanted number of clips as
            moving and swapping speakers allows; clips in a part that `split` does not name are left out.

    Returns:
        `schema.SPLITS` rows sorted by fold and id.

    Raises:
        CorpusError: no official partition, unknown speakers, or fewer speakers than parts.
    """
    if split.by == "official":
        assigned = [_assign_official(table, split)]
    elif split.by == "leave_one_part_out":
        assigned = list(_leave_parts_out(table))
    else:
        _refuse_unknown_speakers(table, split.by)
        assigned = [
            table.with_columns(
                split=pl.col("speaker").replace_strict(parts, default=None, return_dtype=pl.String),
                fold=pl.lit(fold, dtype=pl.Int32),
            ).filter(pl.col("split").is_not_null())
            for fold, parts in enumerate(_partition_speakers(table, split))
        ]
    return _conform(pl.concat(assigned)).sort("fold", "utterance_id")


def check_splits(task_name: str, splits: pl.DataFrame, classes: Sequence[str]) -> None:
    """Refuse a partition that would give worthless results.

    Args:
        task_name: for messages.
        splits: `schema.SPLITS` rows of the corpus trained on.
        classes: the task's classes.

    Raises:
        CorpusError: an empty part, or a class without a training clip.
    """
    folds = splits["fold"].unique().sort().to_list() or [0]
    for fold in folds:
        rows = splits.filter(pl.col("fold") == fold)
        for part in PARTS:
            if not (rows["split"] == part).any():
                raise CorpusError(f"task {task_name}, fold {fold}: {part} is empty; correct tasks.{task_name}.split")
        present = set(rows.filter(pl.col("split") == "train")["label"])
        if absent := [name for name in classes if name not in present]:
            raise CorpusError(
                f"task {task_name}, fold {fold}: no training clip of class {show(absent)}; take the class out of "
                f"tasks.{task_name}.classes, merge it with class_map, or choose another split"
            )


def check_attributes(task_name: str, splits: pl.DataFrame, attributes: Sequence[str]) -> None:
    """Refuse a partition on which a CCC would not be defined.

    Args:
        task_name: for messages.
        splits: `schema.SPLITS` rows of the corpus trained on.
        attributes: the task's; none in a task of classes.

    Raises:
        CorpusError: an attribute has fewer than two different values in a part of a fold.
    """
    for name in attributes:
        # Nulls are not counted among the values.
        found = splits.group_by("fold", "split").agg(pl.col(name).drop_nulls().n_unique().alias("values"))
        for fold, part, values in found.filter(pl.col("values") < 2).sort("fold", "split").iter_rows():
            raise CorpusError(
                f"task {task_name}, fold {fold}: {part} has {values or 'no'} value{'s' if values != 1 else ''} of {name}, and at "
                f"least two different ones are needed; take it out of tasks.{task_name}.attributes, or choose another split"
            )


def _conform(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of SPLITS; those that a task does not have are null."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None).alias(name)).cast(kind)
        for name, kind in COLUMNS.items()
    )


def _join(
    task_name: str, task: Task, corpus: str, manifests: Mapping[str, pl.DataFrame], labels: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Columns `utterance_id`, `corpus`, `speaker`, `sex`, `split` (official), `label` (class) and `soft`, or attributes."""
    if task.attributes:
        mapped = take_ratings(task_name, task, labels[corpus], corpus)
    else:
        mapped = map_labels(task_name, task, labels[corpus], corpus)
    manifest = manifests[corpus].select("utterance_id", "speaker", "sex", "split")
    if len(strangers := mapped.join(manifest, on="utterance_id", how="anti")):
        raise DataError(
            f"task {task_name}: labels of corpus {corpus} without a row in its manifest: "
            f"{show(strangers['utterance_id'].sort())}; delete results/labels/{corpus}.parquet and run again"
        )
    known = mapped.join(manifest, on="utterance_id", how="inner").with_columns(corpus=pl.lit(corpus))
    return known if task.attributes else known.join(share_votes(task, labels[corpus]), on="utterance_id", how="left")


def _assign_official(table: pl.DataFrame, split: OfficialSplit) -> pl.DataFrame:
    _refuse_partless(table)
    corpus = table["corpus"][0]
    parts = {name.lower(): part for part in PARTS for name in getattr(split, part)}
    named = table.with_columns(
        split=pl.col("split").str.to_lowercase().replace_strict(parts, default=None, return_dtype=pl.String),
        fold=pl.lit(0, dtype=pl.Int32),
    ).filter(pl.col("split").is_not_null())
    if missing := [part for part in PARTS if part not in set(named["split"])]:
        found = show(table["split"].unique().sort(), 20)
        raise CorpusError(
            f"corpus {corpus}: its official parts are {found}; none of them is called like {show(missing)}; "
            "name them in the task's split (train, dev, test)"
        )
    return named


def _leave_parts_out(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """For each official part, in the order of their names: a fold that tests on it and develops on the next."""
    _refuse_partless(table)
    parts = table["split"].unique().sort().to_list()
    if len(parts) < len(PARTS):
        raise CorpusError(
            f"corpus {table['corpus'][0]}: {len(parts)} official parts ({show(parts)}) cannot be train, dev and test in turn; "
            "choose another split"
        )
    for fold, roles in enumerate(_rotate([[part] for part in parts])):
        yield table.with_columns(
            split=pl.col("split").replace_strict(roles, return_dtype=pl.String), fold=pl.lit(fold, dtype=pl.Int32)
        )


def _refuse_partless(table: pl.DataFrame) -> None:
    without = table.filter(pl.col("split").is_null())["utterance_id"].sort()
    corpus = table["corpus"][0]
    if len(without):
        raise CorpusError(
            f"corpus {corpus}: {len(without)} labelled clips belong to no official part: {show(without)}; "
            f"fill the column of corpora.{corpus}.columns.split, or choose another split"
        )


def _refuse_unknown_speakers(table: pl.DataFrame, kind: str) -> None:
    unknown = table.filter(pl.col("speaker").is_null())["utterance_id"].sort()
    if len(unknown):
        raise CorpusError(
            f"corpus {table['corpus'][0]}: a split by {kind} needs speakers, and {len(unknown)} labelled clips "
            f"have no speaker: {show(unknown)}; give the corpus speakers (a column, a speaker_pattern) "
            "or use its official split"
        )


def _partition_speakers(table: pl.DataFrame, split: Split) -> Iterator[dict[str, str]]:
    """For each fold: speaker -> part."""
    counts = table.group_by("speaker").len().sort("speaker")
    clips = {speaker: int(n) for speaker, n in counts.iter_rows()}
    corpus = str(table["corpus"][0])
    if split.by == "speakers":
        yield _name_speakers(corpus, list(clips), split)
    elif split.by == "fractions":
        yield _draw_fractions(corpus, clips, split)
    elif split.by == "folds":
        yield from _draw_folds(corpus, clips, split)
    else:
        groups = [[speaker] for speaker in clips]
        _refuse_few_speakers(corpus, clips, split.by, len(PARTS))
        yield from _rotate(groups)


def _name_speakers(corpus: str, known: list[str], split: SpeakerSplit) -> dict[str, str]:
    named = {part: list(getattr(split, part) or ()) for part in PARTS}
    places: dict[str, list[str]] = {}
    for part, speakers in named.items():
        for speaker in speakers:
            places.setdefault(speaker, []).append(f"split.{part}")
    if unknown := [speaker for speaker in places if speaker not in known]:
        raise CorpusError(
            f"corpus {corpus}: no labelled clip of speaker {show(_locate(unknown, places))}; "
            f"{_hint(unknown[0], known)}there are {show(known, 30)}"
        )
    if twice := sorted(speaker for speaker, parts in places.items() if len(parts) > 1):
        raise CorpusError(
            f"corpus {corpus}: more than one part names speaker {show(_locate(twice, places))}; leave each in one part"
        )
    if split.train is None:
        named["train"] = [speaker for speaker in known if speaker not in places]
    return {speaker: part for part, speakers in named.items() for speaker in speakers}


def _locate(speakers: Sequence[str], places: Mapping[str, Sequence[str]]) -> list[str]:
    """Speakers with the keys that name them: `s1 (split.dev, split.test)`."""
    return [f"{speaker} ({', '.join(places[speaker])})" for speaker in speakers]


def _hint(word: str, known: Sequence[str]) -> str:
    close = suggest_name(word, known)
    return f"is {close} meant? " if close is not None else ""


def _draw_fractions(corpus: str, clips: dict[str, int], split: FractionSplit) -> dict[str, str]:
    _refuse_few_speakers(corpus, clips, split.by, len(PARTS))
    groups = group_speakers(clips, (split.train, split.dev, split.test), np.random.default_rng(split.seed))
    return {speaker: part for part, speakers in zip(PARTS, groups, strict=True) for speaker in speakers}


def _draw_folds(corpus: str, clips: dict[str, int], split: FoldSplit) -> Iterator[dict[str, str]]:
    _refuse_few_speakers(corpus, clips, split.by, split.k)
    yield from _rotate(group_speakers(clips, [1 / split.k] * split.k, np.random.default_rng(split.seed)))


def _rotate(groups: list[list[str]]) -> Iterator[dict[str, str]]:
    """Fold i tests on group i, develops on the next and trains on the others."""
    for test in range(len(groups)):
        dev = (test + 1) % len(groups)
        yield {
            speaker: "test" if i == test else "dev" if i == dev else "train"
            for i, group in enumerate(groups)
            for speaker in group
        }


def _refuse_few_speakers(corpus: str, clips: dict[str, int], kind: str, needed: int) -> None:
    if len(clips) < needed:
        parts = " (one each for train, dev and test)" if needed == len(PARTS) else ""
        raise CorpusError(
            f"corpus {corpus}: split.by: {kind} needs at least {needed} speakers with labelled clips{parts}; "
            f"there {'is' if len(clips) == 1 else 'are'} {len(clips)} ({show(clips, 10)}); choose another split"
        )

"""Train, development and test parts of a task.

A division depends on the clips' speakers, labels and the seed only, never on the order of rows or on features. `leaks` checks that
the parts are disjoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from emoadapt import schema
from emoadapt.corpora.base import parent_of
from emoadapt.errors import Change, CorpusError, DataError, show
from emoadapt.fixes import rename, take_out
from emoadapt.flow.provenance import library_versions
from emoadapt.flow.shards import group_by_corpus
from emoadapt.listing.names import suggest_name
from emoadapt.listing.speakers import deal_speakers, group_speakers
from emoadapt.schema import SPLITS
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import write_table
from emoadapt.tasks.classes import check_test_classes, count_labels, map_labels, share_votes
from emoadapt.tasks.divisions import PARTS, UNLABELLED, describe_fold, list_parts
from emoadapt.tasks.left_out import describe_left_out
from emoadapt.tasks.split_tables import list_folds, list_partitions, place_utterances, read_split_table

if TYPE_CHECKING:
    from emoadapt.config import Division, OfficialSplit, SpeakerSplit, Split, Study, TableSplit, Target, Task

DRAWS = 200
"""Times that a partition is dealt anew before its speakers are taken to have no further division."""

_SPEAKERS = Change("split", {"by": "fractions"}, "whole speakers in each part")
"""What does without official parts."""

COLUMNS = dict(pl.DataFrame(SPLITS.empty_table()).schema)
"""`schema.SPLITS` in polars."""


def write_splits(
    study: Study,
    task: str,
    partition: int,
    manifests: Sequence[Path],
    labels: Mapping[str, pl.DataFrame],
    output: Path,
    *,
    hidden: Collection[str] = (),
) -> None:
    """Write the utterances of a partition of a task with class, fold and part (SPLITS).

    Args:
        study: the study.
        task: name of the task.
        partition: its number.
        manifests: manifest shards `<corpus>/<shard>.parquet` of the task's corpora.
        labels: corpus -> LABELS rows, of the same.
        output: table to write.
        hidden: corpora whose labels are left out of it.

    Raises:
        DataError: manifests and labels are not of the same clips.
        CorpusError: as `build_partition`.
    """
    clips = {corpus: read_frame(paths, schema.MANIFEST) for corpus, paths in group_by_corpus(manifests).items()}
    for corpus, rows in clips.items():
        _refuse_other_clips(task, corpus, set(rows["utterance_id"]), set(labels[corpus]["utterance_id"]))
    splits = build_partition(task, study.tasks[task], partition, clips, labels, study.list_tested_tasks(task))
    if hidden:
        shown = ~pl.col("corpus").is_in(list(hidden))
        splits = splits.with_columns(
            pl.when(shown).then(name).alias(name) for name in ("label", "soft", *schema.ATTRIBUTES)
        )
    left_out = describe_left_out(study.tasks[task], clips, labels)
    write_table(output, splits.to_arrow(), schema.SPLITS, {"left_out": left_out, **library_versions()})


def _refuse_other_clips(task: str, corpus: str, listed: set[str], labelled: set[str]) -> None:
    """A clip without a row of labels would be left out without a word; one without a label has a row that says so."""
    if odd := listed ^ labelled:
        raise DataError(
            f"task {task}: the manifests of corpus {corpus} have {len(listed):,} clips, and its labels {len(labelled):,}; {min(odd)} is not in both; "
            "it changed while it was listed: run the same command again"
        )


def build_task(
    task_name: str,
    task: Task,
    manifests: Mapping[str, pl.DataFrame],
    labels: Mapping[str, pl.DataFrame],
    others: Mapping[str, Task] | None = None,
) -> pl.DataFrame:
    """Assign the utterances of a task in all its partitions; see `build_partition`."""
    partitions = range(max(config.partitions for config in (task, *(others or {}).values())))
    return pl.concat(build_partition(task_name, task, number, manifests, labels, others) for number in partitions)


def build_partition(
    task_name: str,
    task: Task,
    partition: int,
    manifests: Mapping[str, pl.DataFrame],
    labels: Mapping[str, pl.DataFrame],
    others: Mapping[str, Task] | None = None,
) -> pl.DataFrame:
    """Assign the utterances of a task in one partition.

    Args:
        task_name: for messages.
        task: its configuration.
        partition: its number. A task with one division, tested on the test parts of a task with several, has that one in each.
        manifests: corpus -> `schema.MANIFEST` rows, for the task's corpus and those it is also tested on.
        labels: corpus -> `schema.LABELS` rows, for the same.
        others: tasks whose test parts it is tested on, by name (`Study.list_tested_tasks`).

    Returns:
        `schema.SPLITS` rows sorted by fold and id; utterances of `test_also` corpora are test rows of every fold, those of a
        target are test rows or unlabelled ones.

    Raises:
        CorpusError: labels outside the classes, a test set that lacks one, or what `assign_splits`, `check_splits` and
            `check_attributes` refuse. What is shared between the parts is looked for by `leaks`, which the training waits for.
    """
    splits = _divide_task(task_name, task, partition, manifests, labels)
    check_splits(task_name, splits, task.classes, list_parts(task))
    check_attributes(task_name, splits, task.attributes)
    folds = splits.select("partition", "fold").unique()
    also = []
    for corpus in task.test_also:
        tested = _join(task_name, task, corpus, manifests, labels)
        for name, other in (others or {}).items():
            if other.corpus == corpus:
                parts = _divide_task(name, other, partition, manifests, labels)
                tested = tested.join(parts.filter(split="test"), on="utterance_id", how="semi")
        also.append(_conform(tested.join(folds, how="cross").with_columns(split=pl.lit("test"))))
    if task.target:
        clips = _join(task_name, task, task.target.corpus, manifests, labels)
        try:
            also.append(_conform(_divide_target(clips, task.target, partition).join(folds, how="cross")))
        except CorpusError as error:
            raise CorpusError(error.add_place(f"task {task_name}, ", f"tasks.{task_name}")) from None
    splits = pl.concat([splits, *also]).sort("partition", "fold", "utterance_id")
    if task.score == "parents":
        check_parents(task_name, splits, task.attributes or ("label",))
    if task.classes:
        counts = {corpus: count_labels(task, labels[corpus]) for corpus in task.corpora}
        check_test_classes(task_name, task, splits, counts)
    return splits


def _divide_task(
    name: str,
    task: Task,
    partition: int,
    manifests: Mapping[str, pl.DataFrame],
    labels: Mapping[str, pl.DataFrame],
) -> pl.DataFrame:
    """SPLITS rows of a task's own corpus in a partition, the same in all where the task has one."""
    main, known = _join(name, task, task.corpus, manifests, labels), manifests[task.corpus]["utterance_id"].to_list()
    own = partition if task.partitions > 1 else 0
    try:
        rows = assign_partition(main, task.split, own, task.partitions, known)
    except CorpusError as error:
        raise CorpusError(error.add_place(f"task {name}, ", f"tasks.{name}")) from None
    return rows.with_columns(partition=pl.lit(partition, dtype=pl.Int32))


def _divide_target(clips: pl.DataFrame, target: Target, partition: int) -> pl.DataFrame:
    """The clips of a target in a partition, with a column `split`: unlabelled or test."""
    shares, names = (target.share, 1 - target.share), (UNLABELLED, "test")
    if target.unit == "utterances":
        parts = _draw_utterances(clips["utterance_id"], shares, names, target.seed, partition)
        _refuse_empty_part(target, len(clips), set(parts.values()))
        return clips.with_columns(split=pl.col("utterance_id").replace_strict(parts, return_dtype=pl.String))
    counts = {speaker: int(n) for speaker, n in clips.group_by("speaker").len().sort("speaker").iter_rows()}
    if None in counts or len(counts) < len(names):
        raise CorpusError(
            f"corpus {target.corpus}: target.unit: speakers needs the speaker of each labelled clip, and at least two speakers; of "
            f"{len(clips)} clips {counts.pop(None, 0)} have none, and there {'is' if len(counts) == 1 else 'are'} {len(counts)}; set "
            "target.unit: utterances, or give the corpus speakers (a column, a speaker_pattern)",
            Change("target.unit", "utterances"),
        )
    groups = _draw_groups(target.corpus, counts, shares, target.seed, partition, ordered=True)
    parts = {speaker: part for part, speakers in zip(names, groups, strict=True) for speaker in speakers}
    return clips.with_columns(split=pl.col("speaker").replace_strict(parts, return_dtype=pl.String))


def _refuse_empty_part(target: Target, n_clips: int, parts: Collection[str]) -> None:
    if lacking := [f"{part} part" for part in (UNLABELLED, "test") if part not in parts]:
        raise CorpusError(
            f"corpus {target.corpus}: share {target.share:g} of the {n_clips} clips of the target leaves its {lacking[0]} empty; choose another "
            "target.share, or another target",
            Change("target.share"),
        )


def _draw_utterances(
    utterances: pl.Series, shares: Sequence[float], parts: Sequence[str], seed: int, partition: int
) -> dict[str, str]:
    """Draw a part for each utterance; labels and speakers decide nothing."""
    names = sorted(utterances)
    random = np.random.default_rng(seed if partition == 0 else (seed, partition))
    ends = np.round(np.cumsum(shares) * len(names)).astype(int)
    places = np.searchsorted(ends, random.permutation(len(names)), side="right")
    return {name: parts[min(place, len(parts) - 1)] for name, place in zip(names, places, strict=True)}


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
            f"corpora.{corpus}.columns, or take another corpus",
            *(Change(f"corpora.{corpus}.columns.{name}", "COLUMN") for name in task.attributes),
        )
    strange = rated.filter(pl.any_horizontal(~pl.col(name).is_finite() for name in task.attributes).fill_null(False))
    if len(strange):
        raise CorpusError(
            f"task {task_name}: values of {', '.join(task.attributes)} that are no finite numbers in corpus {corpus}: "
            f"{show(strange['utterance_id'].sort())}; correct them, or leave the cells empty"
        )
    return rated


def assign_splits(
    table: pl.DataFrame, split: Split, partitions: int = 1, known: Collection[str] | None = None
) -> pl.DataFrame:
    """Give every utterance a part in every fold of every partition; see `assign_partition`."""
    return pl.concat(
        assign_partition(table, split, partition, partitions, known) for partition in range(partitions)
    ).sort("partition", "fold", "utterance_id")


def assign_partition(
    table: pl.DataFrame, split: Split, partition: int, partitions: int = 1, known: Collection[str] | None = None
) -> pl.DataFrame:
    """Give every utterance a part in every fold of a partition.

    Args:
        table: columns `utterance_id`, `corpus`, `speaker`, `sex`, `split` (the official part), and `label` and `soft`, or
            attributes.
        split: how. Drawn splits keep speakers together and come as close to the wanted number of clips as moving and swapping
            speakers allows; clips that `split` does not name are left out.
        partition: number of the division. No two are the same where they are drawn: the first is drawn with the split's seed, each
            other with that seed and its number.
        partitions: how many the task has; a table must hold as many.
        known: all utterances of the corpus, which a table may name; default: those of `table`.

    Returns:
        `schema.SPLITS` rows sorted by fold and id.

    Raises:
        CorpusError: no official parts, unknown speakers, fewer speakers than parts, or a table that does not fit the corpus.
    """
    if split.by == "table":
        listed = set(table["utterance_id"] if known is None else known)
        rows = _follow_table(table, split, partition, partitions, listed)
    else:
        rows = _divide(table, split, partition)
    return _conform(rows.with_columns(partition=pl.lit(partition, dtype=pl.Int32))).sort("fold", "utterance_id")


def _divide(table: pl.DataFrame, split: Split, partition: int) -> pl.DataFrame:
    """The rows of a partition, with columns `fold` and `split`."""
    if split.by == "official":
        return _assign_official(table, split, partition)
    if split.by == "leave_one_part_out":
        return _leave_parts_out(table)
    if split.by in ("fractions", "all") and split.unit == "utterances":
        shares = (split.train, split.dev, split.test) if split.by == "fractions" else (1 - split.dev, split.dev)
        drawn = _draw_utterances(table["utterance_id"], shares, PARTS, split.seed, partition)
        part = pl.col("utterance_id").replace_strict(drawn, return_dtype=pl.String)
        return table.with_columns(split=part, fold=pl.lit(0, dtype=pl.Int32))
    _refuse_unknown_speakers(table, split.by)
    return pl.concat(
        table.with_columns(
            split=pl.col("speaker").replace_strict(parts, default=None, return_dtype=pl.String),
            fold=pl.lit(fold, dtype=pl.Int32),
        ).filter(pl.col("split").is_not_null())
        for fold, parts in enumerate(_place_speakers(table, split, partition))
    )


def check_splits(task_name: str, splits: pl.DataFrame, classes: Sequence[str], parts: Sequence[str] = PARTS) -> None:
    """Refuse a division with an empty part or an untrained class.

    Args:
        task_name: for messages.
        splits: `schema.SPLITS` rows of the corpus trained on.
        classes: the task's classes.
        parts: those that must not be empty.

    Raises:
        CorpusError: an empty part, or a class without a training clip.
    """
    divisions = splits.sort("partition", "fold").partition_by("partition", "fold", as_dict=True, maintain_order=True)
    for (partition, fold), rows in (divisions or {(0, 0): splits}).items():
        where = f"task {task_name}, {describe_fold(int(partition), int(fold))}"
        for part in parts:
            if not (rows["split"] == part).any():
                raise CorpusError(f"{where}: {part} is empty; correct tasks.{task_name}.split")
        present = set(rows.filter(pl.col("split") == "train")["label"])
        if absent := [name for name in classes if name not in present]:
            raise CorpusError(
                f"{where}: no training clip of class {show(absent)}; take the class out of "
                f"tasks.{task_name}.classes, merge it with class_map, or choose another split",
                *_leave_classes(task_name, classes, absent),
            )


def _leave_classes(task_name: str, classes: Sequence[str], absent: Collection[str]) -> list[Change]:
    """Propose the classes without some; nothing where fewer than two are left."""
    left = [name for name in classes if name not in absent]
    why = f"without {', '.join(absent)}; other_labels: drop leaves its clips out"
    return [Change(f"tasks.{task_name}.classes", left, why)] if len(left) > 1 else []


def check_attributes(task_name: str, splits: pl.DataFrame, attributes: Sequence[str]) -> None:
    """Refuse a division on which a CCC would not be defined.

    Args:
        task_name: for messages.
        splits: `schema.SPLITS` rows of the corpus trained on.
        attributes: the task's; none in a task of classes.

    Raises:
        CorpusError: an attribute has fewer than two different values in a part of a fold.
    """
    keys = ("partition", "fold", "split")
    for name in attributes:
        # Nulls are not counted among the values.
        found = splits.group_by(keys).agg(pl.col(name).drop_nulls().n_unique().alias("values"))
        for partition, fold, part, values in found.filter(pl.col("values") < 2).sort(keys).iter_rows():
            raise CorpusError(
                f"task {task_name}, {describe_fold(partition, fold)}: {part} has {values or 'no'} "
                f"value{'s' if values != 1 else ''} of {name}, and at least two different ones are needed; "
                f"take it out of tasks.{task_name}.attributes, or choose another split",
                take_out(f"tasks.{task_name}.attributes", attributes, name),
            )


def check_parents(task_name: str, splits: pl.DataFrame, truths: Sequence[str]) -> None:
    """Refuse segments of one recording with different truths: the average of their predictions would have none.

    Segments that are not rated for an attribute do not count for it.

    Args:
        task_name: for messages.
        splits: `schema.SPLITS` rows.
        truths: columns of what is predicted.

    Raises:
        CorpusError: test segments of a parent do not agree.
    """
    tested = splits.filter(split="test").unique("utterance_id")
    parents = pl.col("utterance_id").map_elements(parent_of, pl.String).alias("parent")
    counted = tested.group_by(parents).agg(pl.col(name).drop_nulls().n_unique() for name in truths)
    torn = counted.filter(pl.any_horizontal(pl.col(name) > 1 for name in truths))["parent"].sort()
    if len(torn):
        raise CorpusError(
            f"task {task_name}: segments of {show(torn)} have different {' or '.join(name + 's' for name in truths)}, so that their "
            f"predictions cannot be averaged; correct them, or set tasks.{task_name}.score to utterances",
            Change(f"tasks.{task_name}.score", "utterances"),
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
            f"{show(strangers['utterance_id'].sort())}; it changed while it was listed: run the same command again"
        )
    known = mapped.join(manifest, on="utterance_id", how="inner").with_columns(corpus=pl.lit(corpus))
    return known if task.attributes else known.join(share_votes(task, labels[corpus]), on="utterance_id", how="left")


def _assign_official(table: pl.DataFrame, split: OfficialSplit, partition: int) -> pl.DataFrame:
    _refuse_partless(table)
    corpus = table["corpus"][0]
    division = split.partitions[partition] if split.partitions else split
    parts = {name.lower(): part for part in PARTS for name in getattr(division, part) or ()}
    named = table.with_columns(
        split=pl.col("split").str.to_lowercase().replace_strict(
            parts, default="train" if division.train is None else None, return_dtype=pl.String
        ),
        fold=pl.lit(0, dtype=pl.Int32),
    ).filter(pl.col("split").is_not_null())  # fmt: skip
    there = table["split"].unique().sort()
    missing = [part for part in PARTS if part not in set(named["split"])]
    if split.partitions:
        # A list names parts that exist; the default names of a single division are guesses.
        absent = sorted(set(parts) - set(there.str.to_lowercase()))
        missing = missing or absent
    if missing:
        where = f"split.partitions[{partition}]" if split.partitions else "the task's split (train, dev, test)"
        raise CorpusError(
            f"corpus {corpus}: its official parts are {show(there, 20)}; none has one of the names {show(missing)}; "
            f"name them in {where}",
            *(
                []
                if split.partitions
                else [Change(f"split.{part}", ["NAME"], f"of {', '.join(there)}") for part in PARTS]
            ),
        )
    return named


def _leave_parts_out(table: pl.DataFrame) -> pl.DataFrame:
    """For each official part, in the order of their names: a fold that tests on it and develops on the next."""
    _refuse_partless(table)
    parts = table["split"].unique().sort().to_list()
    if len(parts) < len(PARTS):
        raise CorpusError(
            f"corpus {table['corpus'][0]}: {len(parts)} official parts ({show(parts)}) cannot be train, dev and test in turn; "
            "choose another split",
            _SPEAKERS,
        )
    return _take_turns(table, "split", parts)


def _take_turns(table: pl.DataFrame, column: str, groups: Sequence[str]) -> pl.DataFrame:
    """A fold for each group of clips, which is tested; a column names the group of each clip."""
    return pl.concat(
        table.with_columns(
            split=pl.col(column).replace_strict(roles, return_dtype=pl.String), fold=pl.lit(fold, dtype=pl.Int32)
        )
        for fold, roles in enumerate(_rotate([[group] for group in groups]))
    )


def _follow_table(
    table: pl.DataFrame, split: TableSplit, partition: int, partitions: int, known: set[str]
) -> pl.DataFrame:
    """The rows of a partition of a user's table."""
    rows, corpus = read_split_table(split), str(table["corpus"][0])
    names = list_partitions(rows)
    if len(names) != partitions:
        raise CorpusError(
            f"corpus {corpus}: {split.file} holds {len(names)} partitions ({show(names)}), and the task's partitions is "
            f"{partitions}; correct one of the two",
            Change("partitions", len(names)),
        )
    own = [row for row in rows if row.partition == names[partition]]
    group = pl.col("utterance_id").replace_strict(
        dict(place_utterances(split, corpus, own, known)), default=None, return_dtype=pl.String
    )
    named = table.with_columns(group=group).drop_nulls("group")
    if split.columns.fold is None:
        return named.with_columns(split=pl.col("group"), fold=pl.lit(0, dtype=pl.Int32))
    return _take_turns(named, "group", list_folds(split, rows))


def _refuse_partless(table: pl.DataFrame) -> None:
    without = table.filter(pl.col("split").is_null())["utterance_id"].sort()
    corpus = table["corpus"][0]
    if len(without):
        raise CorpusError(
            f"corpus {corpus}: {len(without)} labelled clips belong to no official part: {show(without)}; "
            f"fill the column of corpora.{corpus}.columns.split, or choose another split",
            _SPEAKERS,
        )


def _refuse_unknown_speakers(table: pl.DataFrame, kind: str) -> None:
    unknown = table.filter(pl.col("speaker").is_null())["utterance_id"].sort()
    if len(unknown):
        raise CorpusError(
            f"corpus {table['corpus'][0]}: a split by {kind} needs speakers, and {len(unknown)} labelled clips "
            f"have no speaker: {show(unknown)}; give the corpus speakers (a column, a speaker_pattern) "
            "or use its official split",
            Change("split", {"by": "official"}),
            *(
                [Change("split.unit", "utterances", "a speaker may then be in train and test")]
                if kind in ("fractions", "all")
                else []
            ),
        )


def _place_speakers(table: pl.DataFrame, split: Split, partition: int) -> Iterator[dict[str, str]]:
    """For each fold of a partition: speaker -> part."""
    counts = table.group_by("speaker").len().sort("speaker")
    clips = {speaker: int(n) for speaker, n in counts.iter_rows()}
    corpus = str(table["corpus"][0])
    if split.by == "speakers":
        yield _name_speakers(corpus, list(clips), split, partition)
        return
    needed = {"folds": getattr(split, "k", 0), "all": 2}.get(split.by, len(PARTS))
    _refuse_few_speakers(corpus, clips, f"split.by: {split.by}", needed)
    if split.by == "fractions":
        shares: Sequence[float] = (split.train, split.dev, split.test)
        yield _name_parts(_draw_groups(corpus, clips, shares, split.seed, partition, ordered=True))
    elif split.by == "all":
        shares = (1 - split.dev, split.dev)
        yield _name_parts(_draw_groups(corpus, clips, shares, split.seed, partition, ordered=True))
    elif split.by == "folds":
        yield from _rotate(_draw_groups(corpus, clips, [1 / split.k] * split.k, split.seed, partition, ordered=False))
    else:
        yield from _rotate([[speaker] for speaker in clips])


def _name_speakers(corpus: str, known: list[str], split: SpeakerSplit, partition: int) -> dict[str, str]:
    division: SpeakerSplit | Division = split.partitions[partition] if split.partitions else split
    key = f"split.partitions[{partition}]" if split.partitions else "split"
    named = {part: list(getattr(division, part) or ()) for part in PARTS}
    places: dict[str, list[str]] = {}
    for part, speakers in named.items():
        for speaker in speakers:
            places.setdefault(speaker, []).append(f"{key}.{part}")
    if unknown := [speaker for speaker in places if speaker not in known]:
        raise CorpusError(
            f"corpus {corpus}: no labelled clip of speaker {show(_locate(unknown, places))}; "
            f"{_hint(unknown[0], known)}there are {show(known, 30)}",
            *(
                rename(place, named[place.rpartition(".")[2]], unknown[0], known)
                for place in places[unknown[0]]
                if key == "split"
            ),
        )
    if twice := sorted(speaker for speaker, parts in places.items() if len(parts) > 1):
        raise CorpusError(
            f"corpus {corpus}: more than one part names speaker {show(_locate(twice, places))}; leave each in one part",
            *(
                Change(place, left)
                for place in reversed(places[twice[0]])
                if key == "split" and (left := [s for s in named[place.rpartition(".")[2]] if s != twice[0]])
            ),
        )
    if division.train is None:
        named["train"] = [speaker for speaker in known if speaker not in places]
    return {speaker: part for part, speakers in named.items() for speaker in speakers}


def _locate(speakers: Sequence[str], places: Mapping[str, Sequence[str]]) -> list[str]:
    """Speakers with the keys that name them: `s1 (split.dev, split.test)`."""
    return [f"{speaker} ({', '.join(places[speaker])})" for speaker in speakers]


def _hint(word: str, known: Sequence[str]) -> str:
    close = suggest_name(word, known)
    return f"is {close} meant? " if close is not None else ""


def _draw_groups(
    corpus: str, clips: dict[str, int], shares: Sequence[float], seed: int, partition: int, *, ordered: bool
) -> list[list[str]]:
    """Groups of speakers of a partition.

    Those of the first are drawn with the split's seed and come as near to the shares as speakers allow. Those of each further
    one are dealt at random, until they are unlike all before: otherwise few speakers would give the same division again, which is no
    further evidence.

    Args:
        corpus: for messages.
        clips: speaker -> number of clips.
        shares: of the groups.
        seed: of the split.
        partition: its number.
        ordered: whether the groups in another order are another division.

    Raises:
        CorpusError: the speakers have too few divisions.
    """
    groups = group_speakers(clips, shares, np.random.default_rng(seed))
    before: set[object] = set()
    for number in range(1, partition + 1):
        before.add(_identify(groups, ordered))
        rng = np.random.default_rng((seed, number))
        dealt = (deal_speakers(clips, shares, rng) for _ in range(DRAWS))
        found = next((groups for groups in dealt if _identify(groups, ordered) not in before), None)
        if found is None:
            raise CorpusError(
                f"corpus {corpus}: its {len(clips)} speakers give {number} partitions that differ, and {partition + 1} or more are asked "
                f"for; set partitions to {number} or less",
                Change("partitions", number),
            )
        groups = found
    return groups


def _identify(groups: list[list[str]], ordered: bool) -> object:
    """The division that groups make."""
    found = [tuple(group) for group in groups]
    return tuple(found) if ordered else frozenset(found)


def _name_parts(groups: list[list[str]]) -> dict[str, str]:
    """Speaker -> part: train, dev and, where there are three groups, test."""
    return {speaker: part for part, speakers in zip(PARTS, groups, strict=False) for speaker in speakers}


def _rotate(groups: list[list[str]]) -> Iterator[dict[str, str]]:
    """Fold i tests on group i, develops on the next and trains on the others."""
    for test in range(len(groups)):
        dev = (test + 1) % len(groups)
        yield {
            speaker: "test" if i == test else "dev" if i == dev else "train"
            for i, group in enumerate(groups)
            for speaker in group
        }


def _refuse_few_speakers(corpus: str, clips: dict[str, int], key: str, needed: int) -> None:
    if len(clips) < needed:
        why = "the scores are then those of known speakers"
        drawn = key.endswith(("fractions", "all"))
        parts = " (one each for train, dev and test)" if needed == len(PARTS) else ""
        raise CorpusError(
            f"corpus {corpus}: {key} needs at least {needed} speakers with labelled clips{parts}; "
            f"there {'is' if len(clips) == 1 else 'are'} {len(clips)} ({show(clips, 10)}); choose another split",
            *([Change("split.k", len(clips))] if key.endswith("folds") and len(clips) >= len(PARTS) else []),
            Change("split.unit", "utterances", why)
            if drawn
            else Change("split", {"by": "fractions", "unit": "utterances"}, why),
        )

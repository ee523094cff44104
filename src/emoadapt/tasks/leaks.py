"""Search for leaks into the test set, and for repeated recordings.

Each kind is described in docs/evaluation.md. Speakers, recordings and sentences are compared within each fold of each partition;
Stage 1 uses every clip of its corpora, so it is compared with the test sets of all folds and partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study, Task
from emoadapt.corpora.base import parent_of
from emoadapt.errors import Change, CorpusError, Problem, name_count
from emoadapt.flow.provenance import library_versions
from emoadapt.flow.shards import group_by_corpus
from emoadapt.plugins import read_declaration
from emoadapt.storage.agreement import refuse_missing
from emoadapt.storage.frames import make_frame, read_frame
from emoadapt.storage.tables import write_table
from emoadapt.tasks.contradictions import compare_labels, name_truth
from emoadapt.tasks.divisions import PARTS, UNLABELLED
from emoadapt.tasks.overlap import CLIP_COLUMNS, find_overlapping_clips, find_shared_clips, is_readable

FEWEST_WORDS = 3
"""Sentences of fewer words ("Oh, really?") are said by everybody, and are no leak."""

EXAMPLES = 3

REMARKS = ("labels", "duplicates", "stage1_copies", "overlaps")
"""Kinds that are no leak: recordings that are there more than once, or in pieces that overlap a little."""

_NEVER_REFUSED = ("stage1_copies", "overlaps")
"""Kinds that `tasks.<name>.leaks` does not name. Copies in Stage 1 are kept on one side; neighbours in a conversation overlap."""

_KINDS = (
    "speakers",
    "clips",
    "development",
    "transcripts",
    "target_clips",
    "target_speakers",
    "stage1_clips",
    "stage1_speakers",
    *REMARKS,
)

_UNCHECKED = {
    "speakers": ("{have} no speaker", "people", pl.col("person").is_null()),
    "clips": ("cannot be read", "recordings", ~is_readable()),
    "transcripts": ("{have} no transcript", "sentences", pl.col("sentence").is_null()),
}
"""Last word of a kind -> what clips lack that cannot be compared, what they may share, and which clips these are."""

_ADVICE = {
    "speakers": "choose another tasks.{task}.split, or keep other speakers of a corpus (corpora.<name>.speakers)",
    "clips": "take the copies out of the corpus",
    "development": "take the copies out of the corpus",
    "transcripts": "choose a tasks.{task}.split that keeps a sentence in one part",
    "target_clips": "take the copies out of the corpus",
    "target_speakers": "set tasks.{task}.target.unit: speakers",
    "stage1_clips": "keep them out of the corpora of adaptations.{adaptation} (corpora.<name>.speakers)",
    "stage1_speakers": "keep them out of the corpora of adaptations.{adaptation} (corpora.<name>.speakers)",
    "labels": "correct the labels, or take the copies out of the corpus",
    "duplicates": "take the copies out of the corpus",
}


_NONE = pl.Series(dtype=pl.String)


@dataclass(frozen=True)
class _Shared:
    """What two parts have in common, as columns of names: a million names as Python's own would take ten times the memory.

    Attributes:
        found: speakers or utterances of the later part that the earlier has too.
        compared: those that could be looked for.
        unchecked: utterances of either part that could not.
        examples: how to show what was found.
    """

    found: pl.Series
    compared: pl.Series
    unchecked: pl.Series
    examples: pl.Series

    def __or__(self, other: _Shared) -> _Shared:
        """What is in either, each name once."""
        return _Shared(*(_join(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))


def _join(*names: pl.Series) -> pl.Series:
    return pl.concat([series.alias("") for series in names]).unique()


def _intersect(names: pl.Series, others: pl.Series) -> pl.Series:
    return names.filter(names.is_in(others.implode())).unique()


def read_clips(study: Study, manifests: Sequence[Path]) -> pl.DataFrame:
    """Every clip with its recording, its person and its sentence, from manifest shards `<corpus>/<shard>.parquet`.

    Returns:
        As `describe_clips`.
    """
    columns = ["utterance_id", *CLIP_COLUMNS, "speaker", "transcript"]
    corpora = sorted(group_by_corpus(manifests).items())
    return describe_clips(study, {name: read_frame(paths, schema.MANIFEST, columns) for name, paths in corpora})


def describe_clips(study: Study, manifests: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Every clip with its recording, its person and its sentence.

    Args:
        study: the configuration.
        manifests: corpus -> MANIFEST rows.

    Returns:
        Columns `utterance_id`, `fingerprint`, `start`, `end`; `person`, equal for the same speaker of a corpus that is
        configured more than once, null where the speaker is unknown; `sentence`, the transcript in small letters
        without punctuation, null where there is none; `source`, the clip that `segments` of the corpus cut it from, else itself.
    """
    empty = make_frame([], schema.MANIFEST)
    frames = [
        frame.select(
            "utterance_id",
            *CLIP_COLUMNS,
            source=_name_sources(study, corpus, frame["utterance_id"]),
            person=pl.lit(f"{_population(study, corpus)}/") + pl.col("speaker"),
            sentence=_simplify(pl.col("transcript")),
        )
        for corpus, frame in {"": empty, **manifests}.items()
    ]
    return pl.concat(frames)


def _name_sources(study: Study, corpus: str, utterances: pl.Series) -> pl.Series:
    if not corpus or study.corpora[corpus].segments is None:
        return utterances
    return pl.Series(map(parent_of, utterances), dtype=pl.String)


def _simplify(text: pl.Expr) -> pl.Expr:
    """Small letters and figures, one space between words; null if nothing is left. Accents stay, apostrophes go."""
    plain = text.str.normalize("NFKC").str.to_lowercase().str.replace_all("['\u2019]", "")
    words = plain.str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars(" ")
    return pl.when(words != "").then(words)


def find_leaks(
    name: str,
    task: Task,
    splits: pl.DataFrame,
    clips: pl.DataFrame,
    stage1: Mapping[str, Sequence[str]],
    *,
    only_refused: bool = False,
) -> pl.DataFrame:
    """Look for every kind of leak of a task.

    Args:
        name: of the task.
        task: its configuration.
        splits: its SPLITS rows.
        clips: as from `read_clips`, of the task's corpora and those of `stage1`.
        stage1: adaptation -> its corpora.
        only_refused: leave out kinds that the task only reports.

    Returns:
        LEAKS rows: one per kind and pair of parts that was compared, also where nothing is shared.
    """
    # `explain_refusals` reads the corpus that is trained on from the rows of speakers.
    wanted = {kind for kind in _KINDS if not only_refused or kind == "speakers" or _is_refused(task, kind)}
    columns = ["utterance_id", "corpus", "speaker", "partition", "fold", "split"]
    rows = splits.select(*columns, truth=name_truth(task.attributes))
    rows = rows.join(clips, on="utterance_id", how="left")
    found = [*_compare_parts(task, rows, wanted)]
    if "labels" in wanted:
        found += compare_labels(task.corpora, rows)
    home = pl.col("utterance_id").str.split("/").list.first()
    for adaptation, corpora in stage1.items():
        used = clips.filter(home.is_in(list(corpora)))
        if "stage1_copies" in wanted:
            found += find_stage1_copies(adaptation, corpora, used)
        for corpus in task.tested:
            tested = rows.filter(corpus=corpus, split="test").unique("utterance_id")
            base = {"between": f"Stage 1 ({adaptation}) / test", "adaptation": adaptation, "corpus": corpus}
            for kind, share in (("stage1_clips", _share_clips), ("stage1_speakers", _share_speakers)):
                if kind in wanted:
                    found.append({"kind": kind, **base, **_summarise([share(used, tested)])})
    for row in found:
        row |= {"task": name, "verdict": _judge(task, row)}
    return make_frame(found, schema.LEAKS)


def _compare_parts(task: Task, rows: pl.DataFrame, wanted: Collection[str]) -> Iterator[dict[str, Any]]:
    """Rows of train, development and test, without task and verdict."""
    share_clips = _share_files if task.score == "parents" else _share_clips
    pairs: list[tuple[str, str, str, Callable[[pl.DataFrame, pl.DataFrame], _Shared]]] = [
        ("speakers", "train", "dev", _share_speakers),
        ("speakers", "train", "test", _share_speakers),
        ("speakers", "dev", "test", _share_speakers),
        ("clips", "train", "dev", share_clips),
        ("clips", "train", "test", share_clips),
        ("development", "dev", "test", share_clips),
        ("overlaps", "train", "test", _share_little),
        ("overlaps", "dev", "test", _share_little),
        ("transcripts", "train", "test", _share_sentences),
        *(("duplicates", part, part, _find_duplicates) for part in PARTS),
    ]
    folds = rows.partition_by("partition", "fold", maintain_order=True)
    partitions = [fold["partition"][0] for fold in folds]
    for corpus in task.corpora:
        for kind, early, late, share in pairs:
            if kind not in wanted or corpus not in (task.tested if late == "test" else [task.corpus]):
                continue
            shared = (share(fold.filter(split=early), fold.filter(split=late, corpus=corpus)) for fold in folds)
            base = {"kind": kind, "between": f"{early} / {late}", "adaptation": None, "corpus": corpus}
            yield {**base, **_summarise(shared, partitions)}
    if task.target:
        parts = [fold.filter(corpus=task.target.corpus) for fold in folds]
        for kind, share in (("target_clips", share_clips), ("target_speakers", _share_speakers)):
            if kind in wanted:
                base = {
                    "kind": kind,
                    "between": f"{UNLABELLED} / test",
                    "adaptation": None,
                    "corpus": task.target.corpus,
                }
                shared = (share(part.filter(split=UNLABELLED), part.filter(split="test")) for part in parts)
                yield {**base, **_summarise(shared, partitions)}


def find_stage1_copies(adaptation: str, corpora: Sequence[str], clips: pl.DataFrame) -> list[dict[str, Any]]:
    """Count the clips of Stage 1 that are copies of others; segments of one clip are none.

    Copies are on one side of its training and held-out parts (`data.held_out`).

    Args:
        adaptation: name of the adaptation.
        corpora: its corpora.
        clips: as from `describe_clips`, of these corpora.

    Returns:
        LEAKS rows, without task and verdict, one of each corpus.
    """
    copies = find_shared_clips(clips, clips, "source")
    rows = []
    for corpus in corpora:
        own = clips.filter(pl.col("utterance_id").str.starts_with(f"{corpus}/"))
        found = _intersect(own["utterance_id"], copies)
        shared = _Shared(found, _list_ids(is_readable(), own), _list_ids(~is_readable(), own), found)
        base = {
            "kind": "stage1_copies",
            "between": f"Stage 1 ({adaptation})",
            "adaptation": adaptation,
            "corpus": corpus,
        }
        rows.append({**base, **_summarise([shared])})
    return rows


def _share_speakers(early: pl.DataFrame, late: pl.DataFrame) -> _Shared:
    people = late.drop_nulls("person")
    found = people.filter(pl.col("person").is_in(early["person"].drop_nulls().unique().implode()))
    return _Shared(
        found["person"],
        people["person"] if early["person"].count() else _NONE,
        _list_ids(pl.col("person").is_null(), early, late),
        found["speaker"],
    )


def _share_clips(early: pl.DataFrame, late: pl.DataFrame) -> _Shared:
    found = _join(find_shared_clips(late, early), _intersect(late["utterance_id"], early["utterance_id"]))
    return _Shared(
        found,
        _list_ids(is_readable(), late) if early.height else _NONE,
        _list_ids(~is_readable(), early, late),
        found,
    )


def _share_files(early: pl.DataFrame, late: pl.DataFrame) -> _Shared:
    """All segments of a file are one recording, whose outputs are averaged."""
    whole = {name: pl.lit(None, pl.Float64) for name in ("start", "end")}
    return _share_clips(early.with_columns(**whole), late.with_columns(**whole))


def _share_little(early: pl.DataFrame, late: pl.DataFrame) -> _Shared:
    copies = _share_clips(early, late)
    found = find_overlapping_clips(late, early)
    found = found.filter(~found.is_in(copies.found.implode()))
    return _Shared(found, copies.compared, copies.unchecked, found)


def _find_duplicates(_: pl.DataFrame, part: pl.DataFrame) -> _Shared:
    # Segments of one clip overlap as their corpus wants it.
    found = find_shared_clips(part, part, "source")
    return _Shared(found, _list_ids(is_readable(), part), _list_ids(~is_readable(), part), found)


def _share_sentences(early: pl.DataFrame, late: pl.DataFrame) -> _Shared:
    said, spoken = early["sentence"].drop_nulls(), late.drop_nulls("sentence")
    long = pl.col("sentence").str.count_matches(" ") + 1 >= FEWEST_WORDS
    found = spoken.filter(long & pl.col("sentence").is_in(said.unique().implode()))
    return _Shared(
        found["utterance_id"],
        spoken["utterance_id"] if said.len() else _NONE,
        _list_ids(pl.col("sentence").is_null(), early, late),
        found["sentence"],
    )


def _list_ids(condition: pl.Expr, *parts: pl.DataFrame) -> pl.Series:
    """Utterances of parts that fulfil a condition, each once; where it is null, it is not fulfilled."""
    return _join(*(part.filter(condition)["utterance_id"] for part in parts))


def _summarise(shared: Iterable[_Shared], partitions: Sequence[int] = (0,)) -> dict[str, Any]:
    """Columns of a LEAKS row over the folds of all partitions; something shared in several counts once.

    Args:
        shared: of each fold, one after the other, so that only one is in memory.
        partitions: that each fold is of.
    """
    every, where = _Shared(*[_NONE] * 4), []
    for partition, fold in zip(partitions, shared, strict=True):
        every |= fold
        where += [partition] if fold.found.len() else []
    return {
        "count": every.found.len(),
        # What has the same id is found without being readable.
        "of": _join(every.compared, every.found).len(),
        "unchecked": every.unchecked.len(),
        "folds": len(where),
        "partitions": len(set(where)),
        "examples": every.examples.sort().head(EXAMPLES).to_list(),
    }


def _judge(task: Task, row: Mapping[str, Any]) -> str:
    if row["count"]:
        return "refused" if _is_refused(task, row["kind"]) else "reported"
    return "none" if row["of"] else "unknown"


def _is_refused(task: Task, kind: str) -> bool:
    return kind not in _NEVER_REFUSED and getattr(task.leaks, kind) == "refuse"


def describe_leak(row: Mapping[str, Any]) -> str:
    """A LEAKS row that counts something, as the beginning of a sentence, with examples."""
    early, _, late = row["between"].partition(" / ")
    where = f"of {row['corpus']}{name_compared(row)}{_name_folds(row['folds'], row['partitions'])}"
    clips = f"{row['count']:,} of the {row['of']:,} {late} clips {where}"
    people = f"{row['count']:,} of the {row['of']:,} {late} speakers {where}"
    examples = ", ".join(row["examples"]) + (", ..." if row["count"] > len(row["examples"]) else "")
    used = f"Stage 1 of {row['adaptation']} used"
    match row["kind"]:
        case "speakers":
            return f"{people} are in {early} too ({examples})"
        case "clips":
            return f"{clips} are recordings that are in train too ({examples})"
        case "development":
            return f"{clips} are recordings of the development part, on which the epoch is chosen ({examples})"
        case "overlaps":
            return f"{clips} overlap in time with clips of {early}, by less than half of the shorter one ({examples})"
        case "transcripts":
            return f"{clips} say sentences that are said in train too ({'; '.join(row['examples'])})"
        case "labels":
            pairs = "; ".join(row["examples"])
            return f"{row['count']:,} of the {row['of']:,} clips {where} are recordings that have another label too ({pairs})"
        case "duplicates":
            return f"{clips} are recordings that are in {late} more than once ({examples})"
        case "stage1_copies":
            clips = f"{row['count']:,} of the {row['of']:,} clips {where}"
            return f"{clips} are recordings that are in Stage 1 of {row['adaptation']} more than once ({examples})"
        case "target_clips":
            return f"{clips} are recordings that are in its unlabelled part too ({examples})"
        case "target_speakers":
            return f"{people} are in its unlabelled part too ({examples})"
        case "stage1_clips":
            return f"{clips} are recordings that {used}, without labels ({examples})"
        case _:
            return f"{people} are people whose clips {used} ({examples})"


def name_compared(row: Mapping[str, Any]) -> str:
    """Which clips were compared, where others could not be."""
    if not row["unchecked"] or "speakers" in row["kind"]:
        return ""
    return " with a transcript" if row["kind"] == "transcripts" else " that can be read"


def _name_folds(folds: int, partitions: int) -> str:
    """Where it is so, if in several folds or partitions."""
    if folds < 2:
        return ""
    if partitions == folds:
        return f" (in {partitions} partitions)"
    return f" (in {folds} folds" + (f" of {partitions} partitions)" if partitions > 1 else ")")


def refuse_leaks(leaks: pl.DataFrame) -> None:
    """Refuse a task whose leaks its configuration does not accept.

    Args:
        leaks: LEAKS rows.

    Raises:
        CorpusError: a sentence per refused row, with examples and what to do.
    """
    if problems := explain_refusals(leaks):
        raise CorpusError(problems)


def explain_refusals(leaks: pl.DataFrame) -> list[Problem]:
    """A problem per LEAKS row that is refused: what was found, where, and what to do."""
    problems = []
    # Only the task's own corpus has a training part, from which it cannot be taken out.
    own = set(leaks.filter(between="train / dev")["corpus"])
    for row in leaks.filter(verdict="refused").iter_rows(named=True):
        advice = _ADVICE[row["kind"]].format(**row)
        if row["kind"] in ("clips", "development") and row["corpus"] not in own:
            advice += f", or {row['corpus']} out of tasks.{row['task']}.test_also"
        fixes = [Change(f"tasks.{row['task']}.leaks", {row["kind"]: "report"}, "accept it")]
        if row["kind"] == "target_speakers":
            fixes.insert(0, Change(f"tasks.{row['task']}.target.unit", "speakers"))
        said = f"task {row['task']}: {describe_leak(row)}; {advice}, or accept it with {fixes[-1]}"
        problems.append(Problem("", said, *fixes))
    return problems


def describe_unchecked(
    task: Task,
    leaks: pl.DataFrame,
    splits: pl.DataFrame,
    clips: pl.DataFrame,
    stage1: Mapping[str, Sequence[str]],
) -> list[str]:
    """Sentences about clips among which a leak could not be looked for; arguments as of `find_leaks`.

    Few corpora have transcripts: that sentences were not compared is only said where they are refused.
    """
    rows = leaks.filter(pl.col("unchecked") > 0).unique(["kind", "corpus", "adaptation"], maintain_order=True)
    sentences = []
    for row in rows.iter_rows(named=True):
        kind = row["kind"].rpartition("_")[2]
        if kind not in _UNCHECKED or (kind == "transcripts" and task.leaks.transcripts != "refuse"):
            continue
        lack, shared, condition = _UNCHECKED[kind]
        early = _list_compared(task, row, splits, clips, stage1)
        late = splits.filter(corpus=row["corpus"])["utterance_id"]
        lacking = clips.filter(pl.col("utterance_id").is_in(_join(early, late).implode()), condition)["utterance_id"]
        counts = lacking.str.split("/").list.first().value_counts(sort=True)
        said = " and ".join(f"{name_count(number, 'clip')} of {corpus}" for corpus, number in counts.iter_rows())
        where = _name_doubt(
            task, row, shared, lacking.is_in(early.implode()).all(), lacking.is_in(late.implode()).all()
        )
        lack = lack.format(have="has" if len(lacking) == 1 else "have")
        sentences.append(f"{said} {lack}: whether {where} is unknown")
    return list(dict.fromkeys(sentences))


def _list_compared(
    task: Task,
    row: Mapping[str, Any],
    splits: pl.DataFrame,
    clips: pl.DataFrame,
    stage1: Mapping[str, Sequence[str]],
) -> pl.Series:
    """Clips that the test part of a LEAKS row is compared with."""
    if row["adaptation"]:
        home = pl.col("utterance_id").str.split("/").list.first()
        return clips.filter(home.is_in(list(stage1[row["adaptation"]])))["utterance_id"]
    corpus = row["corpus"] if row["kind"].startswith("target") else task.corpus
    return splits.filter(corpus=corpus)["utterance_id"]


def _name_doubt(task: Task, row: Mapping[str, Any], shared: str, early: bool, late: bool) -> str:
    """What is not known of clips that could not be compared; `early` and `late`: all of them are of that part."""
    test, adaptation = f"the test set of {row['corpus']}", row["adaptation"]
    if adaptation and early and not late:
        return f"these {shared} are in {test}"
    if adaptation and late and not early:
        return f"Stage 1 of {adaptation} used these {shared}"
    if adaptation:
        return f"these {shared} are in both Stage 1 of {adaptation} and {test}"
    if row["kind"].startswith("target"):
        return f"these {shared} are in both the unlabelled part and {test}"
    return (
        f"these {shared} are in more than one part"
        if row["corpus"] == task.corpus
        else f"these {shared} are in both train and {test}"
    )


def write_leaks(study: Study, task: str, splits: Sequence[Path], manifests: Sequence[Path], output: Path) -> None:
    """Write the LEAKS table of a task.

    Args:
        study: the study.
        task: name of the task.
        splits: its SPLITS tables.
        manifests: manifest shards `<corpus>/<shard>.parquet` of its corpora and of all adaptations that are fine-tuned on it.
        output: table to write.

    Raises:
        CorpusError: a leak is refused; nothing is written then.
    """
    leaks = judge_leaks(study, task, study.adaptations_of(task), splits, manifests)
    refuse_leaks(leaks)
    write_table(output, leaks.to_arrow(), schema.LEAKS, library_versions())


def judge_leaks(
    study: Study,
    task: str,
    adaptations: Sequence[str],
    splits: Sequence[Path],
    manifests: Sequence[Path],
    *,
    only_refused: bool = False,
) -> pl.DataFrame:
    """LEAKS rows of a task; arguments as of `write_leaks` and `find_leaks`."""
    table = read_frame(splits, schema.SPLITS)
    stage1 = {name: study.adaptations[name].corpora for name in adaptations}
    clips = read_clips(study, manifests)
    refuse_missing(set(table["utterance_id"]) - set(clips["utterance_id"]), table["utterance_id"].n_unique(), manifests)
    return find_leaks(task, study.tasks[task], table, clips, stage1, only_refused=only_refused)


def _population(study: Study, corpus: str) -> str:
    """Namespace of a corpus's speakers: the corpus, or its root, as the importer declares."""
    if not corpus:
        return ""
    config = study.corpora[corpus]
    by_root = read_declaration("corpora", config.importer, "SPEAKERS_OF") == "root"
    return str(Path(config.root).resolve()) if by_root else config.importer

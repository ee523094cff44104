"""Two folders of results compared row by row, in pairs of runs where both were tested on the same clips."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from emoadapt.errors import DataError, name_count
from emoadapt.evaluation.comparisons import Sampled, Scoring, compare_outcomes
from emoadapt.evaluation.outcomes import Outcome, ScoredRun
from emoadapt.evaluation.questions import RUN_OF_MODEL, Question, pose_question
from emoadapt.evaluation.significance import compare_pairs
from emoadapt.metrics.base import find_metric
from emoadapt.storage.footers import read_statement
from emoadapt.study.nodes import Model
from emoadapt.terminal.results.folder import Results
from emoadapt.terminal.results.rows import choose_rows

TABLES = ("results", "low_resource", "per_class_f1", "f1_bias", "cosine_distance", "cross_corpus")
"""Tables whose rows can be compared."""
SETTING = ("task", "test_corpus", "subset", *Model._fields)
_KEY = [*SETTING, "metric", "label"]
SCHEMA = {
    **dict.fromkeys((*SETTING, "metric", "label"), pl.String),
    **dict.fromkeys(("here", "there", "difference", "difference_low", "difference_high", "p_value"), pl.Float64),
    "n_pairs": pl.Int64,
    "tested": pl.String,
}
Score = tuple[str, str | None]
"""Metric, and the class that it is of."""


@dataclass(frozen=True)
class Evidence:
    """What two folders say together of one setting and test corpus.

    Args:
        tested: a remark on the clips and runs.
        comparable: whether a difference of means has a meaning.
        paired: score -> difference, its interval, p-value and number of pairs.
    """

    tested: str
    comparable: bool = True
    paired: Mapping[Score, dict[str, Any]] = field(default_factory=dict)


def compare_results(here: Results, there: Results, table: str, conditions: Sequence[str] = ()) -> pl.DataFrame:
    """Compare a table of two folders.

    Args:
        here: the results.
        there: those that they are compared with.
        table: one of `TABLES`.
        conditions: on its rows, as for `choose_rows`; a row counts that fits them in either folder.

    Returns:
        A row for each score that one of them has, with the columns of `SCHEMA`. `difference` is here − there. It is null where the two
        are not comparable; `tested` says why.

    Raises:
        DataError: the table holds no scores of models, or a folder lacks it.
    """
    if table not in TABLES:
        raise DataError(f"--against compares tables of scores, and {table} is none; name one of {', '.join(TABLES)}")
    sides = [_read_means(results, table, name) for results, name in ((here, "here"), (there, "there"))]
    # Conditions on a score must not make a row of both folders one of the other alone.
    fitting = pl.concat([_read_means(results, table, "mean", conditions) for results in (here, there)])
    joined = (
        sides[0]
        .join(sides[1], on=_KEY, how="full", coalesce=True, nulls_equal=True, maintain_order="left_right")
        .join(fitting, on=_KEY, how="semi", nulls_equal=True, maintain_order="left")
    )
    found: dict[tuple[str, ...], Evidence] = {}
    rows = []
    for row in joined.iter_rows(named=True):
        setting = tuple(row[name] for name in SETTING)
        if None in (row["here"], row["there"]):
            rows.append(row | {"tested": f"only in {(there if row['here'] is None else here).path}"})
            continue
        if setting not in found:
            found[setting] = _weigh(here, there, setting)
        rows.append(row | _judge(row, found[setting]))
    return pl.DataFrame(rows, schema=SCHEMA)


def _read_means(results: Results, table: str, name: str, conditions: Sequence[str] = ()) -> pl.DataFrame:
    """Means of a table, as a column of this name, beside the columns that say what they are of.

    Raises:
        DataError: the table lacks one of these.
    """
    frame = choose_rows(results.scan(table), conditions)
    if lacking := [column for column in (*SETTING, "metric", "mean") if column not in frame.collect_schema()]:
        raise results.explain_lacking(table, f"it has no column {', '.join(lacking)}")
    if "label" not in frame.collect_schema():
        frame = frame.with_columns(label=pl.lit(None, pl.String))
    return frame.select(*_KEY, pl.col("mean").alias(name)).collect()


def _judge(row: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Difference and remark of a row that both have."""
    if not evidence.comparable:
        return {"tested": evidence.tested}
    paired = evidence.paired.get((row["metric"], row["label"]))
    if paired is not None:
        return {**paired, "tested": evidence.tested}
    unpaired = evidence.tested if not evidence.paired else f"{evidence.tested}; of this score no pairs"
    return {"difference": row["here"] - row["there"], "tested": unpaired}


def _weigh(here: Results, there: Results, setting: tuple[str, ...]) -> Evidence:
    """Read what both folders hold of a setting."""
    task, test_corpus, subset, *model = setting
    scores = [_read_scores(results, setting) for results in (here, there)]
    lacking = [str(r.path) for r, found in zip((here, there), scores, strict=True) if found is None]
    batches = [r.list_batches(task, str(Model(*model)), subset) for r in (here, there)]
    lacking += [str(r.path) for r, found in zip((here, there), batches, strict=True) if not found]
    if lacking:
        return Evidence(
            f"means alone: {lacking[0]} has no predictions, so that the clips and runs are not known to be the same"
        )
    classes = [_list_classes(found) for found in scores if found is not None]
    if classes[0] != classes[1]:
        return Evidence(
            f"not comparable: classes {', '.join(classes[0])} here, {', '.join(classes[1])} there", comparable=False
        )
    sides = [_Side.read(s, paths, setting) for s, paths in zip(scores, batches, strict=True) if s is not None]
    if changed := _count_replaced(here, there, test_corpus, sides[0].list_clips()):
        return Evidence(
            f"not comparable: {changed} test clips of {test_corpus} are other recordings under the same name",
            comparable=False,
        )
    return _pair(sides[0], sides[1], zlib.crc32(f"{task}/{test_corpus}".encode()))


def _count_replaced(here: Results, there: Results, corpus: str, clips: pl.Series) -> int:
    """Count clips whose media have another content there, as far as both folders hold manifests of their corpus."""
    found = [results.scan_manifest(corpus) for results in (here, there)]
    if found[0] is None or found[1] is None:
        return 0
    both = found[0].join(found[1], on="utterance_id", suffix="_there")
    changed = pl.col("utterance_id").is_in(clips.to_list()) & (pl.col("fingerprint") != pl.col("fingerprint_there"))
    return int(both.filter(changed).select(pl.len()).collect().item())


def _read_scores(results: Results, setting: tuple[str, ...]) -> pl.DataFrame | None:
    """METRICS rows of a setting; None without any."""
    found = results.read_scores(setting[0])
    if found is None:
        return None
    rows = found.filter(**dict(zip(SETTING, setting, strict=True)))
    return rows if rows.height else None


def _list_classes(scores: pl.DataFrame) -> list[str]:
    """Classes of a task in the order of its outputs; none of a task with attributes."""
    return scores["label"].drop_nulls().unique(maintain_order=True).to_list()


@dataclass(frozen=True)
class _Side:
    """Runs of a setting in one folder.

    Args:
        question: that scores the predictions as the folder's own tables do; None where the scores are not those of the predictions.
        answers: predictions of the test corpus.
        scores: METRICS rows.
        identities: digests of the tables of predictions, by batch.
    """

    question: Question | None
    answers: pl.DataFrame
    scores: pl.DataFrame
    identities: dict[str, str]

    @classmethod
    def read(cls, scores: pl.DataFrame, batches: Sequence[Path], setting: tuple[str, ...]) -> _Side:
        paths = [batch / "predictions.parquet" for batch in batches]
        identities = {path.parent.name: read_statement(path).identity for path in paths}
        classes = _list_classes(scores)
        for parents in (False, True):
            question = pose_question(setting[0], "classes" if classes else "attributes", classes, parents=parents)
            if not classes:
                question = _name_attributes(question, paths)
            answers = question.order(question.read(paths).filter(test_corpus=setting[1]))
            side = cls(question, answers, scores, identities)
            if side._agrees():
                return side
        return cls(None, answers, scores, identities)

    def collect(self, universe: pl.Series) -> Outcome:
        """All runs."""
        assert self.question is not None
        (outcome,) = self.question.collect(self.answers, universe).values()
        return outcome

    def _agrees(self) -> bool:
        """Whether the predictions have the scores that were computed before."""
        outcome = self.collect(self.list_clips())
        order = pl.DataFrame(outcome.runs, schema=dict.fromkeys(RUN_OF_MODEL, pl.Int32), orient="row")
        known = self.scores.filter(pl.col("label").is_null())
        for name, values in outcome.scores.items():
            stated = order.join(known.filter(metric=name), on=RUN_OF_MODEL, how="left", maintain_order="left")["value"]
            if stated.null_count() == len(stated):
                continue  # a metric that is younger than the scores
            if not np.allclose(values, stated.fill_null(float("nan")).to_numpy(), atol=1e-9, equal_nan=True):
                return False
        return True

    def list_clips(self) -> pl.Series:
        """Names of the clips, sorted."""
        return self.answers["utterance_id"].unique().cast(pl.String).sort()

    def list_truths(self) -> pl.DataFrame:
        """Clips with their labels, or ratings."""
        truth = ["label"] if "label" in self.answers.columns else ["attribute", "value"]
        return self.answers.select("utterance_id", *truth).unique()


def _name_attributes(question: Question, paths: Sequence[Path]) -> Question:
    names = pl.concat([pl.scan_parquet(path).select("attribute").unique().collect() for path in paths])
    return type(question)(question.task, tuple(sorted(set(names["attribute"]))), question.parents)


def _pair(here: _Side, there: _Side, seed: int) -> Evidence:
    """Compare the runs that both have, on the clips that both were tested on."""
    common = here.list_truths().join(there.list_truths(), on="utterance_id", suffix="_there")
    clips = [side.answers["utterance_id"].n_unique() for side in (here, there)]
    n_common = common["utterance_id"].n_unique()
    if not n_common:
        return Evidence(f"not comparable: of {clips[0]} and {clips[1]} test clips none is in both", comparable=False)
    if changed := _count_relabelled(here, there):
        return Evidence(
            f"not comparable: {changed} of {n_common} common test clips have other labels", comparable=False
        )
    if here.question is None or there.question is None:
        return Evidence("means alone: the scores are not those of the predictions that are here; run snakemake")
    tested = f"same {n_common} clips" if clips == [n_common] * 2 else f"{n_common} clips of {clips[0]} and {clips[1]}"
    if here.question != there.question:
        return Evidence(f"not comparable: segments here, recordings there; {tested}", comparable=False)
    universe = pl.concat([here.list_clips(), there.list_clips()]).unique().sort()
    own, other = (side.collect(universe) for side in (here, there))
    pairs = _list_pairs(own, other)
    if not pairs:
        return Evidence(f"means alone: no run (partition, draw, seed) is in both; {tested}")
    in_both = own.seen.any(axis=0) & other.seen.any(axis=0)
    parts = [_share(own.seen[left] & in_both, other.seen[right] & in_both) for left, right in pairs]
    if not any(both for both, _ in parts):
        return Evidence(f"means alone: runs of the same partition were tested on other clips; {tested}")
    n_pairs = sum(both > 0 for both, _ in parts)
    tested += (
        f", {name_count(n_pairs, 'run')}"
        if own.runs == other.runs and n_pairs == len(pairs)
        else f", {name_count(n_pairs, 'run')} of {len(own.runs)} and {len(other.runs)}"
    )
    if any(both < of for both, of in parts):
        share = sum(both for both, _ in parts) / sum(of for _, of in parts)
        tested += f"; partitions differ, and pairs of runs have {share:.0%} of their clips in common"
    if here.identities == there.identities:
        tested += ", the same predictions"
    return Evidence(tested, paired=_compare(own, other, seed) | _compare_values(here, there, own, other))


def _list_pairs(own: Outcome, other: Outcome) -> list[tuple[int, int]]:
    """Places of the runs that both have."""
    return [(place, other.runs.index(run)) for place, run in enumerate(own.runs) if run in other.runs]


def _share(own: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """Clips that both of two runs were tested on, and clips that at least one of them was."""
    return int((own & other).sum()), int((own | other).sum())


def _count_relabelled(here: _Side, there: _Side) -> int:
    """Count the clips of both that have another label, or another rating, there."""
    mine, theirs = here.list_truths(), there.list_truths()
    both = mine.join(theirs, on="utterance_id", how="semi")
    return both.join(theirs, on=both.columns, how="anti", nulls_equal=True)["utterance_id"].n_unique()


def _compare(own: Outcome, other: Outcome, seed: int) -> dict[Score, dict[str, Any]]:
    """Scores that are computed from the predictions again: with an interval."""
    scoring = Scoring()
    metrics = {name: find_metric(name) for name in own.scores if name in other.scores}
    ours, theirs = (Sampled(outcome, outcome.sample(scoring.bootstrap, seed)) for outcome in (own, other))
    found = compare_outcomes(ours, theirs, metrics, seed, scoring)
    columns = ("difference", "difference_low", "difference_high", "p_value", "n_pairs")
    return {
        (name, None): {column: row[column] for column in columns}
        for name, row in found.items()
        if row["n_pairs"] and np.isfinite(row["difference"])
    }


def _compare_values(here: _Side, there: _Side, own: Outcome, other: Outcome) -> dict[Score, dict[str, Any]]:
    """Scores that only the tables have (of classes, of embeddings), where every pair was tested on the same clips."""
    if not all((own.seen[left] == other.seen[right]).all() for left, right in _list_pairs(own, other)):
        return {}
    key = [*RUN_OF_MODEL, "metric", "label"]
    joined = here.scores.select(*key, "value").join(
        there.scores.select(*key, there="value"), on=key, nulls_equal=True, maintain_order="left"
    )  # fmt: skip
    found: dict[Score, dict[str, Any]] = {}
    for (metric, label), rows in joined.group_by("metric", "label", maintain_order=True):
        if metric in own.scores:
            continue
        runs = [ScoredRun(*run) for run in rows.select(RUN_OF_MODEL).iter_rows()]
        values = rows["value"].to_numpy(), rows["there"].to_numpy()
        found[str(metric), label] = {
            "difference": float((values[0] - values[1]).mean()),
            "p_value": compare_pairs(*values, runs),
            "n_pairs": len(runs),
        }
    return found

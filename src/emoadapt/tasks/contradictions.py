"""Recordings that are labelled more than once, with different labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from emoadapt.tasks.overlap import find_partner, find_shared_clips, is_readable

PAIRS = 5
"""Pairs of clips that are shown."""


def name_truth(attributes: Sequence[str]) -> pl.Expr:
    """The label, or the values of the attributes with their names; null where there is none."""
    values = [pl.when(pl.col(name).is_not_null()).then(pl.format(f"{name} {{}}", name)) for name in attributes]
    truth = pl.concat_str(["label", *values], separator=", ", ignore_nulls=True)
    return pl.when(truth != "").then(truth)


def compare_labels(corpora: Sequence[str], rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Look for recordings with different labels, within a corpus and between those of a task.

    Args:
        corpora: the task's.
        rows: columns `utterance_id`, `corpus`, `fingerprint`, `start`, `end` and `truth` (as `name_truth`); an utterance may
            be in several folds.

    Yields:
        A LEAKS row of each corpus, without task and verdict.
    """
    labelled = rows.unique("utterance_id").drop_nulls("truth")
    readable = labelled.filter(is_readable())
    for corpus in corpora:
        own = readable.filter(corpus=corpus)
        found = find_shared_clips(own, readable, "truth")
        yield {
            "kind": "labels",
            "between": "task / task",
            "adaptation": None,
            "corpus": corpus,
            "count": len(found),
            "of": own.height,
            "unchecked": labelled.filter(corpus=corpus).height - own.height,
            "folds": int(bool(len(found))),
            "partitions": int(bool(len(found))),
            "examples": _list_pairs(found, readable),
        }


def _list_pairs(found: pl.Series, clips: pl.DataFrame) -> list[str]:
    """The first pairs of clips, `id = id: label vs label`; if there are more, a last entry that says so."""
    recordings = clips.filter(pl.col("utterance_id").is_in(found.implode())).select("fingerprint").unique()
    shared = clips.join(recordings, on="fingerprint", how="semi")
    truth = dict(shared.select("utterance_id", "truth").iter_rows())
    pairs: list[tuple[str, str]] = []
    for clip in found.sort():
        first, second = sorted((clip, find_partner(clip, shared, "truth")))
        if (first, second) not in pairs:
            pairs.append((first, second))
        if len(pairs) > PAIRS:
            break
    shown = [f"{first} = {second}: {truth[first]} vs {truth[second]}" for first, second in pairs]
    more = f"... (cut after {PAIRS} pairs; {len(found):,} clips are in such pairs)"
    return shown if len(shown) <= PAIRS else [*shown[:PAIRS], more]

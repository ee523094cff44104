"""Table of the features of `features.also`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.extraction.recipes import find_network
from emoadapt.features.base import Network
from emoadapt.reporting.style import describe_feature
from emoadapt.storage.frames import read_frame

COLUMNS = {
    **dict.fromkeys(("feature", "corpus", "holds", "computed_by"), pl.String),
    **dict.fromkeys(("clips", "ok", "noted", "absent", "failed"), pl.Int64),
    "seconds": pl.Float64,
    "folder": pl.String,
}
"""Columns of the table `extracted`. `ok` counts clips with and without a note, `noted` those with one; `seconds` of audio where a feature
holds samples."""


def build_extracted(study: Study, features: Sequence[Path]) -> pl.DataFrame:
    """Build one row per feature and corpus: what it holds, and how many clips have it.

    Args:
        study: the configuration.
        features: shards `<feature>/<corpus>/<shard>.parquet`.
    """
    shards: dict[tuple[str, str], list[Path]] = {}
    for path in features:
        shards.setdefault((path.parent.parent.name, path.parent.name), []).append(path)
    rows = [_count(study, feature, corpus, paths) for (feature, corpus), paths in shards.items()]
    return pl.DataFrame(rows, schema=COLUMNS)


def _count(study: Study, feature: str, corpus: str, paths: Sequence[Path]) -> dict[str, Any]:
    samples = "n_samples" in schema.feature_table(feature).names
    columns = ["utterance_id", "status", "reason", *(["n_samples"] if samples else [])]
    table = read_frame(paths, columns=columns)
    counts = dict(table["status"].value_counts().iter_rows())
    return {
        "feature": feature,
        "corpus": corpus,
        "holds": describe_feature(feature),
        "computed_by": _name_network(find_network(study, feature)),
        "clips": table.height,
        **{status: counts.get(status, 0) for status in ("ok", "absent", "failed")},
        "noted": table.filter(pl.col("reason").is_not_null(), status="ok").height,
        "seconds": float(table["n_samples"].sum()) / schema.SAMPLE_RATE if samples else None,
        "folder": paths[0].parent.as_posix(),
    }


def _name_network(network: Network | None) -> str:
    if network is None:
        return "signal processing"
    state = {"untrained": " (UNTRAINED)", "rules": " (rules)"}.get(network.state, "")
    return f"{network.kind}{state}" + (f", {network.weights}" if network.weights else "")

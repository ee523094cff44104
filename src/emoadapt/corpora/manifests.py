"""From a corpus on disk to its manifest shards and its table of labels, and the state that makes them stale."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from emoadapt import schema
from emoadapt.config import AnyCorpus
from emoadapt.corpora.base import load_importer, read_labels, read_utterances
from emoadapt.flow.code import digest
from emoadapt.flow.fingerprints import fingerprint_media
from emoadapt.flow.shards import assign_shard

CACHE = Path("results/.cache/fingerprints")
"""Where content hashes are remembered between calls, one file a corpus."""


def list_manifest(name: str, config: AnyCorpus) -> list[list[dict[str, Any]]]:
    """Rows of each manifest shard (MANIFEST), sorted by utterance id.

    Labels are no part of it: relabelling a corpus leaves its manifests, and so its features, as they are.
    """
    utterances = read_utterances(name, config)
    importer = load_importer(config.importer)
    if hasattr(importer, "fingerprints"):
        fingerprints = importer.fingerprints(name, config)
    else:
        fingerprints = fingerprint_media(Path(config.root), [u.media for u in utterances], CACHE / f"{name}.json")
    shards: list[list[dict[str, Any]]] = [[] for _ in range(config.shards)]
    for utterance in sorted(utterances, key=lambda u: u.utterance_id):
        row = {**asdict(utterance), "fingerprint": fingerprints[utterance.media]}
        shards[assign_shard(utterance.utterance_id, config.shards)].append(row)
    return shards


def digest_rows(rows: list[dict[str, Any]]) -> str:
    """Digest of manifest rows: changes when, and only when, one of the clips does."""
    return digest([tuple(row.values()) for row in rows])


def digest_labels(name: str, config: AnyCorpus) -> str:
    """Digest of a corpus's labels."""
    return digest([tuple(asdict(label).values()) for label in read_labels(name, config)])


def write_manifest(name: str, config: AnyCorpus, shard: int, output: Path) -> None:
    """Write one manifest shard (MANIFEST)."""
    from emoadapt.flow.store import write_table

    write_table(output, list_manifest(name, config)[shard], schema.MANIFEST)


def list_label_rows(name: str, config: AnyCorpus) -> list[dict[str, Any]]:
    """Rows of a corpus's table of labels (LABELS), sorted by utterance id."""
    rows = []
    for label in sorted(read_labels(name, config), key=lambda item: item.utterance_id):
        row = asdict(label)
        for column in ("votes", "soft"):
            if row[column] is not None:
                row[column] = [{"label": word, "weight": float(weight)} for word, weight in row[column].items()]
        rows.append(row)
    return rows


def write_labels(name: str, config: AnyCorpus, output: Path) -> None:
    """Write a corpus's labels (LABELS)."""
    from emoadapt.flow.store import write_table

    write_table(output, list_label_rows(name, config), schema.LABELS)

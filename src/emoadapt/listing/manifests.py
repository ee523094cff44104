"""Manifest shards and labels of a corpus, and their state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from emoadapt import schema
from emoadapt.config import AnyCorpus
from emoadapt.corpora.base import Label, Utterance, parent_of
from emoadapt.errors import DataError
from emoadapt.flow.code import code_digest, digest
from emoadapt.flow.fingerprints import witness_files
from emoadapt.flow.shards import assign_shard
from emoadapt.listing.durations import fingerprint_clips
from emoadapt.listing.reading import describe_sources, read_labels, read_utterances
from emoadapt.plugins import load_plugin
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.storage.files import Overtaken

STATES = Path("results/.cache/states")
"""Where the states of corpora are remembered, one file a corpus."""
LISTED = Path("results/.cache/manifests")
"""Where manifest shards and labels wait for the jobs that need them, named by their state: else each would list its whole corpus
again."""


MEMBERS = 2**64
"""Digests of clips are added up modulo this."""


@dataclass(frozen=True)
class CorpusState:
    """What the Snakefile keeps in memory of a corpus.

    Args:
        shards: digest of each manifest shard; changes when, and only when, one of its clips does.
        labels: digest of the labels. They are no part of a manifest: relabelling leaves all features as they are.
        transcripts: whether the corpus brings a transcript of any clip.
        members: label -> digest of the clips that have it. The sum of those of several labels stays the same when a clip's label
            changes from one of these to another.
    """

    shards: tuple[str, ...]
    labels: str
    transcripts: bool
    members: Mapping[str, int]


def find_state(name: str, config: AnyCorpus) -> CorpusState:
    """List a corpus once, or recall its state if nothing changed.

    Recalled is only what was found by the same code from the same configuration, tables, names and media files; the files
    are asked for size, times and inode, one by one, as `fingerprint_media` does before it reads one again.
    """
    # What is remembered is noted down before it is read: a change in between is then seen the next time.
    sources = describe_sources(name, config)
    path, root = STATES / f"{name}.json", Path(config.root)
    if sources is not None:
        sources = digest(sources, code_digest(__name__, f"emoadapt.corpora.{config.importer}"))
        if state := _recall_state(path, sources, root):
            return state
    utterances = read_utterances(name, config)
    media = list(dict.fromkeys(utterance.media for utterance in utterances))
    witness = None if sources is None else witness_files(root, media)
    state = _compute_state(name, config, utterances)
    if witness is not None:
        write_cache(path, {"sources": sources, "witness": witness, "media": media, "state": asdict(state)})
    return state


def _compute_state(name: str, config: AnyCorpus, utterances: list[Utterance]) -> CorpusState:
    shards = [_lay_by(name, rows, schema.MANIFEST) for rows in _assign_rows(name, config, utterances)]
    # The manifest's rows are gone by now: memory holds one of the two at a time.
    rows = list_label_rows(name, config, utterances)
    labels, members = _lay_by(name, rows, schema.LABELS), _digest_members(rows)
    for path in (LISTED / name).glob("*.parquet"):
        if path.stem not in (*shards, labels):
            path.unlink(missing_ok=True)
    return CorpusState(tuple(shards), labels, any(utterance.transcript for utterance in utterances), members)


def _digest_members(rows: list[dict[str, Any]]) -> dict[str, int]:
    members: dict[str, int] = {}
    for row in rows:
        if (label := row["label"]) is not None:
            members[label] = (members.get(label, 0) + int(digest(row["utterance_id"]), 16)) % MEMBERS
    return members


def _lay_by(name: str, rows: list[dict[str, Any]], columns: pa.Schema) -> str:
    """Cache rows for the job that needs them, and return their digest."""
    from emoadapt.storage.tables import write_table

    state = _digest_rows(rows)
    path = LISTED / name / f"{state}.parquet"
    if not path.exists():
        with suppress(OSError, Overtaken):
            write_table(path, rows, columns, {"state": state})
    return state


def _digest_rows(rows: list[dict[str, Any]]) -> str:
    return digest([tuple(row.values()) for row in rows])


def _list_again(name: str, state: str | None, rows: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """Rows that were listed since none were cached.

    Raises:
        DataError: they are not those of the state that the graph asked for, under which they would be taken for up to date.
    """
    if state and _digest_rows(rows) != state:
        raise DataError(f"corpus {name}: its {what} changed since it was listed; run the same command again")
    return rows


def _take_listed(name: str, state: str | None, columns: pa.Schema) -> pa.Table | None:
    """Rows of a state that are cached; those of another state, and what is damaged, are deleted."""
    from emoadapt.storage.tables import read_provenance, read_table

    listed = LISTED / name / f"{state}.parquet"
    if not state or not listed.exists():
        return None
    with suppress(OSError, DataError):
        if read_provenance(listed).get("state") == state:
            return read_table(listed, columns)
    with suppress(OSError):
        listed.unlink()
    return None


def _recall_state(path: Path, sources: str, root: Path) -> CorpusState | None:
    found = read_cache(path)
    if found is None or found["sources"] != sources or witness_files(root, found["media"]) != found["witness"]:
        return None
    state = found["state"]
    return CorpusState(tuple(state["shards"]), state["labels"], state["transcripts"], state["members"])


def list_manifest(
    name: str, config: AnyCorpus, utterances: list[Utterance] | None = None
) -> list[list[dict[str, Any]]]:
    """Rows of each manifest shard (MANIFEST), sorted by utterance id; `utterances` as for `read_labels`."""
    listed = read_utterances(name, config) if utterances is None else utterances
    return list(_assign_rows(name, config, listed))


def _assign_rows(name: str, config: AnyCorpus, utterances: list[Utterance]) -> Iterator[list[dict[str, Any]]]:
    """Manifest rows, shard after shard."""
    importer = load_plugin("corpora", config.importer)
    if hasattr(importer, "fingerprints"):
        fingerprints = importer.fingerprints(name, config)
    else:
        fingerprints = fingerprint_clips(name, config, utterances)
    shards: list[list[Utterance]] = [[] for _ in range(config.shards)]
    for utterance in utterances:
        # The segments of a clip are in one shard, so that one job reads its file.
        clip = utterance.utterance_id if config.segments is None else parent_of(utterance.utterance_id)
        shards[assign_shard(clip, config.shards)].append(utterance)
    for shard in shards:
        yield [{**list_fields(utterance), "fingerprint": fingerprints[utterance.media]} for utterance in shard]


def list_fields(row: Utterance | Label) -> dict[str, Any]:
    """Fields of a row by name, twenty times faster than `dataclasses.asdict`."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def write_manifest(name: str, config: AnyCorpus, shard: int, state: str | None, output: Path) -> None:
    """Write one manifest shard (MANIFEST), from the cached listing or a new one.

    Args:
        name: the corpus.
        config: its section.
        shard: number of the shard.
        state: of the shard, from `find_state`; None = list it anew.
        output: table to write.

    Raises:
        DataError: the corpus has changed since then.
    """
    from emoadapt.storage.tables import write_table

    listed: pa.Table | list[dict[str, Any]] | None = _take_listed(name, state, schema.MANIFEST)
    if listed is None:
        listed = _list_again(name, state, list_manifest(name, config)[shard], "clips")
    write_table(output, listed, schema.MANIFEST)


def take_labels(name: str, config: AnyCorpus, state: str | None) -> pa.Table:
    """Labels of a corpus (LABELS), from the cached listing or a new one.

    Args:
        name: the corpus.
        config: its section.
        state: of the labels, from `find_state`; None = list them anew.

    Raises:
        DataError: the labels have changed since then.
    """
    listed = _take_listed(name, state, schema.LABELS)
    if listed is not None:
        return listed
    rows = _list_again(name, state, list_label_rows(name, config), "labels")
    return pa.Table.from_pylist(rows, schema=schema.LABELS)


def list_label_rows(name: str, config: AnyCorpus, utterances: list[Utterance] | None = None) -> list[dict[str, Any]]:
    """Labels of a corpus (LABELS), sorted by utterance id; `utterances` as for `read_labels`."""
    rows = []
    for label in read_labels(name, config, utterances):
        row = list_fields(label)
        for column in ("votes", "soft"):
            if row[column] is not None:
                row[column] = [{"label": word, "weight": float(weight)} for word, weight in row[column].items()]
        rows.append(row)
    return rows

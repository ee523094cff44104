"""The state of a corpus: recalled while nothing changed, listed again after any change that could matter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from emoadapt import schema
from emoadapt.corpora.csv import Config as CsvCorpus
from emoadapt.corpora.folder import Config as FolderCorpus
from emoadapt.errors import DataError
from emoadapt.listing import manifests
from emoadapt.listing.manifests import CorpusState, find_state, list_manifest, take_labels, write_manifest
from emoadapt.storage.tables import read_table, write_table


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of three files with a table, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.wav").write_text(f"content of {name}")
    (folder / "table.csv").write_text("file,emotion\na.wav,joy\nb.wav,joy\nc.wav,fear\n")
    return folder


def folder_corpus(root: Path, **options: object) -> FolderCorpus:
    return FolderCorpus(importer="folder", root=str(root), shards=2, **options)


def csv_corpus(root: Path) -> CsvCorpus:
    return CsvCorpus(
        importer="csv", root=str(root), file="table.csv", columns={"media": "file", "label": "emotion"}, shards=2
    )


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the corpora that were listed, as often as they were."""
    names: list[str] = []
    original = manifests.read_utterances

    def read(name: str, config: object) -> object:
        names.append(name)
        return original(name, config)

    monkeypatch.setattr(manifests, "read_utterances", read)
    return names


@pytest.mark.parametrize("make", [folder_corpus, csv_corpus])
def test_an_unchanged_corpus_is_not_listed_again(root: Path, listed: list[str], make: Callable) -> None:
    first = find_state("c", make(root))
    assert find_state("c", make(root)) == first and listed == ["c"]


def edit_in_place(root: Path) -> None:
    """Same name, size, inode and modification time; the change time cannot be set."""
    path = root / "a.wav"
    before = path.stat()
    path.write_text("CONTENT of a")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_ino == before.st_ino


def exchange(root: Path) -> None:
    """Two files of the same size change names."""
    (root / "a.wav").rename(root / "x")
    (root / "b.wav").rename(root / "a.wav")
    (root / "x").rename(root / "b.wav")


@pytest.mark.parametrize("make", [folder_corpus, csv_corpus])
@pytest.mark.parametrize("change", [edit_in_place, exchange])
def test_a_changed_file_is_seen(root: Path, make: Callable, change: Callable[[Path], None]) -> None:
    first = find_state("c", make(root))
    change(root)
    second = find_state("c", make(root))
    assert second.shards != first.shards and second.labels == first.labels
    assert second == _anew("c", make(root))


def test_a_new_and_a_removed_file_are_seen(root: Path) -> None:
    first = find_state("c", folder_corpus(root))
    (root / "d.wav").write_text("d")
    second = find_state("c", folder_corpus(root))
    (root / "d.wav").unlink()
    assert first.shards != second.shards and find_state("c", folder_corpus(root)) == first


def test_a_relabelled_table_changes_the_labels_alone(root: Path) -> None:
    first = find_state("c", csv_corpus(root))
    table = root / "table.csv"
    before = table.stat()
    table.write_text(table.read_text().replace("c.wav,fear", "c.wav,rage"))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = find_state("c", csv_corpus(root))
    assert second.labels != first.labels and second.shards == first.shards


def test_another_configuration_is_listed_anew(root: Path, listed: list[str]) -> None:
    find_state("c", folder_corpus(root))
    assert find_state("c", folder_corpus(root, language="de")) == _anew("c", folder_corpus(root, language="de"))


def test_a_missing_file_is_refused_and_not_recalled(root: Path) -> None:
    from emoadapt.errors import CorpusError

    find_state("c", csv_corpus(root))
    (root / "b.wav").unlink()
    with pytest.raises(CorpusError, match=r"1 media file is missing .*b\.wav"):
        find_state("c", csv_corpus(root))


def test_a_damaged_memory_is_no_memory(root: Path) -> None:
    first = find_state("c", folder_corpus(root))
    (manifests.STATES / "c.json").write_text('{"sources": 1')
    assert find_state("c", folder_corpus(root)) == first


@pytest.mark.parametrize("damage", ["garbage", "empty", "flipped", "of another state"])
def test_a_cached_listing_that_is_wrong_is_not_believed(root: Path, tmp_path: Path, damage: str) -> None:
    """Symptom: garbage in the cached labels, which nobody had changed, ended in `delete it and run again`."""
    config = csv_corpus(root)
    state = find_state("c", config)
    expected = take_labels("c", config, None)
    cached = manifests.LISTED / "c" / f"{state.labels}.parquet"
    whole = cached.read_bytes()
    if damage == "of another state":
        with_joy = expected.to_pylist()
        with_joy[0]["label"] = "joy"
        write_table(cached, with_joy, schema.LABELS, {"state": "0" * 16})
    else:
        flipped = whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]
        cached.write_bytes({"garbage": b"garbage", "empty": b"", "flipped": flipped}[damage])
    assert take_labels("c", config, state.labels).to_pylist() == expected.to_pylist()
    for shard, digest in enumerate(state.shards):
        (manifests.LISTED / "c" / f"{digest}.parquet").write_bytes(b"garbage")
        write_manifest("c", config, shard, digest, tmp_path / f"{shard}.parquet")
        assert read_table(tmp_path / f"{shard}.parquet").to_pylist() == list_manifest("c", config)[shard]


def _anew(name: str, config: object) -> CorpusState:
    """The state without memory."""
    (manifests.STATES / f"{name}.json").unlink()
    return find_state(name, config)


def test_a_shard_is_published_as_it_was_listed(root: Path, listed: list[str], tmp_path: Path) -> None:
    """Its job does not list the corpus again: of a million clips, each of 128 jobs would."""
    config = folder_corpus(root)
    state = find_state("c", config)
    for shard, digest in enumerate(state.shards):
        write_manifest("c", config, shard, digest, tmp_path / f"{shard}.parquet")
    assert listed == ["c"]
    rows = [row for shard in (0, 1) for row in read_table(tmp_path / f"{shard}.parquet").to_pylist()]
    assert sorted(row["utterance_id"] for row in rows) == ["c/a", "c/b", "c/c"]
    assert rows == [row for shard in list_manifest("c", config) for row in shard]


def test_a_shard_whose_list_is_gone_is_listed_anew(root: Path, listed: list[str], tmp_path: Path) -> None:
    config = folder_corpus(root)
    before = find_state("c", config)
    (root / "d.wav").write_text("content of d")
    after = find_state("c", config)
    kept = {path.stem for path in (manifests.LISTED / "c").iterdir()}
    assert kept == {*after.shards, after.labels}, "what no state says any more is removed"
    shutil.rmtree(manifests.LISTED)
    changed = next(i for i in (0, 1) if before.shards[i] != after.shards[i])
    listed.clear()
    write_manifest("c", config, changed, after.shards[changed], tmp_path / "m.parquet")
    assert listed == ["c"]
    assert "c/d" in read_table(tmp_path / "m.parquet")["utterance_id"].to_pylist()


def test_a_corpus_is_listed_where_nothing_can_be_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").touch()
    monkeypatch.setattr(manifests, "LISTED", root / "file")
    assert len(find_state("c", folder_corpus(root)).shards) == 2


def test_a_corpus_that_changed_since_it_was_listed_is_refused(root: Path, tmp_path: Path) -> None:
    """Else other labels would be recorded under the old state, and pass for up to date once the edit is undone."""
    config = csv_corpus(root)
    before = find_state("c", config)
    assert take_labels("c", config, before.labels).num_rows == 3
    (root / "table.csv").write_text("file,emotion\na.wav,fear\nb.wav,joy\nc.wav,fear\n")
    (root / "a.wav").write_text("other content of a")
    find_state("c", config)  # such as by `emoadapt check` beside a run, which removes what was cached for it
    with pytest.raises(DataError, match="corpus c: its labels changed since it was listed; run the same command again"):
        take_labels("c", config, before.labels)
    for shard, state in enumerate(before.shards):
        with pytest.raises(DataError, match="corpus c: its clips changed"):
            write_manifest("c", config, shard, "0" + state[1:], tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()
    assert take_labels("c", config, None).column("label").to_pylist() == ["fear", "joy", "fear"]


def test_members_of_several_labels_stay_when_one_becomes_another(root: Path) -> None:
    """The sum of their digests tells who has one of them, and not which."""

    def relabel(old: str, new: str) -> dict[str, int]:
        table = root / "table.csv"
        table.write_text(table.read_text().replace(old, new))
        return dict(find_state("c", csv_corpus(root)).members)

    def add(members: dict[str, int], *labels: str) -> int:
        return sum(members.get(label, 0) for label in labels) % manifests.MEMBERS

    before, other, gone = relabel("", ""), relabel("b.wav,joy", "b.wav,fear"), relabel("b.wav,fear", "b.wav,rage")
    assert before.keys() == {"joy", "fear"} and before != other
    assert add(before, "joy", "fear") == add(other, "joy", "fear") != add(gone, "joy", "fear")
    assert add(gone, "joy", "fear", "rage") == add(before, "joy", "fear")
    assert dict(find_state("c", csv_corpus(root)).members) == gone, "recalled"

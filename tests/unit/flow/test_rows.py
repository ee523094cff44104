"""Row-level reuse: cost follows the change."""

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest

from emoadapt import schema
from emoadapt.errors import ClipError, DataError
from emoadapt.features.base import Extraction, guard
from emoadapt.flow import rows as rows_module
from emoadapt.flow.rows import Counts, compute_shard
from emoadapt.flow.upstream import Recipe, Row
from emoadapt.storage.tables import read_table, write_table


class Recorder:
    """An extractor that notes what it was asked for; stands for audio decoding."""

    table: ClassVar = schema.feature_table("audio")
    inputs: ClassVar = ("manifest",)
    manifest_columns: ClassVar = ()
    chunk_size: ClassVar = 3
    stated: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []
    stop_at: ClassVar[str | None] = None
    reasons: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, config: object = None, context: object = None) -> None:
        pass

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [guard(self._one, row) for row in rows]

    def _one(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["utterance_id"] == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(row["utterance_id"])
        if "bad" in row["media"]:
            raise ClipError("undecodable", "made so")
        if (kind := row["media"].rpartition("_")[0]) in self.reasons:
            return self.reasons[kind]
        return {"audio": row["fingerprint"].encode(), "n_samples": 1}


class Follower(Recorder):
    """A feature computed from the first."""

    table: ClassVar = schema.feature_table("egemaps")
    inputs: ClassVar = ("audio",)
    asked: ClassVar[list[str]] = []
    notes: ClassVar[dict[str, list[str]]] = {}

    def _one(self, row: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(row["utterance_id"])
        self.notes[row["utterance_id"]] = row["audio_notes"]
        return {"egemaps": np.full(25, len(row["audio"]), np.float32)}


def run(extractor_class: type[Recorder]) -> Callable[[Iterator[list[Row]]], Generator[tuple[Row, Row]]]:
    """The extractor in this process."""

    def extract(chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
        extractor = extractor_class()
        for rows in chunks:
            yield from zip(rows, extractor.extract(rows), strict=True)

    return extract


@pytest.fixture(autouse=True)
def fresh() -> None:
    Recorder.asked.clear()
    Follower.asked.clear()
    Follower.notes.clear()
    Recorder.stop_at = None
    Recorder.reasons = {}


def write_manifest(path: Path, clips: dict[str, str]) -> None:
    rows = [
        {"utterance_id": f"c/{name}", "media": f"{name}.wav", "fingerprint": fingerprint}
        for name, fingerprint in sorted(clips.items())
    ]
    write_table(path, rows, schema.MANIFEST)
    for row in rows:
        (path.parent / row["media"]).touch()


RECIPE = Recipe("audio", "{}", "code")


def compute(folder: Path, recipe: Recipe = RECIPE) -> Counts:
    output = folder / "features" / "000.parquet"
    return compute_shard(output, {"manifest": folder / "manifest.parquet"}, Recorder, run(Recorder), recipe, folder)


def result(folder: Path) -> dict[str, dict]:
    table = read_table(folder / "features" / "000.parquet", schema.feature_table("audio"))
    return {row["utterance_id"]: row for row in table.to_pylist()}


CLIPS = {f"clip{i:03d}": f"f{i}" for i in range(100)}


def test_adding_one_clip_to_a_shard_of_100_computes_one_row(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    assert compute(tmp_path) == Counts(100, 0, 0)
    before = result(tmp_path)
    (tmp_path / "features" / "000.parquet").unlink()  # as Snakemake does before it runs a job again
    Recorder.asked.clear()
    write_manifest(tmp_path / "manifest.parquet", {**CLIPS, "clip050b": "new"})
    assert compute(tmp_path) == Counts(1, 100, 0)
    assert Recorder.asked == ["c/clip050b"]
    after = result(tmp_path)
    assert {name: after[name] for name in before} == before
    assert list(after) == sorted(after)


def test_a_changed_clip_is_computed_and_a_removed_one_forgotten(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    compute(tmp_path)
    clips = {**CLIPS, "clip007": "changed"}
    del clips["clip008"]
    write_manifest(tmp_path / "manifest.parquet", clips)
    Recorder.asked.clear()
    assert compute(tmp_path) == Counts(1, 98, 0)
    assert Recorder.asked == ["c/clip007"]
    assert "c/clip008" not in result(tmp_path)
    assert result(tmp_path)["c/clip007"]["audio"] == b"changed"


@pytest.mark.parametrize(
    "recipe", [Recipe("audio", "{1}", "code"), Recipe("audio", "{}", "new"), Recipe("audio", "{}", "code", "m")]
)
def test_other_parameters_code_or_model_compute_all(tmp_path: Path, recipe: Recipe) -> None:
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    compute(tmp_path)
    assert compute(tmp_path, recipe) == Counts(100, 0, 0)


def test_nothing_new_loads_no_model(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    compute(tmp_path)

    def refuse(chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
        raise RuntimeError("a model was loaded for nothing")

    output = tmp_path / "features" / "000.parquet"
    counts = compute_shard(
        output, {"manifest": tmp_path / "manifest.parquet"}, Recorder, refuse, Recipe("audio", "{}", "code"), tmp_path
    )
    assert counts == Counts(0, 100, 0)


def test_rows_finished_before_a_kill_are_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "SECONDS_BETWEEN_SAVES", -1.0)
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    Recorder.stop_at = "c/clip060"
    with pytest.raises(KeyboardInterrupt):
        compute(tmp_path)
    assert not (tmp_path / "features" / "000.parquet").exists()
    done, Recorder.stop_at = list(Recorder.asked), None
    Recorder.asked.clear()
    compute(tmp_path)
    assert Recorder.asked[0] == "c/clip060"
    assert len(done) + len(Recorder.asked) == 100
    assert len(result(tmp_path)) == 100


def test_rows_removed_by_another_job_raise_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: of two jobs on one shard one overwrote rows of the other, and a shard without them was written as whole."""
    monkeypatch.setattr(rows_module, "SAVED_BYTES", 1)
    write_manifest(tmp_path / "manifest.parquet", {name: name for name in "abcd"})
    add = rows_module._SavedRows.add

    def add_and_lose(self: Any, rows: list[Row]) -> None:
        add(self, rows)
        if rows[0]["utterance_id"] == "c/b":
            self._files()[-1].unlink()

    monkeypatch.setattr(rows_module._SavedRows, "add", add_and_lose)
    with pytest.raises(
        DataError, match=r"lacks 1 of the 4 rows of shard 000, such as c/b: .* run the same command again"
    ):
        compute(tmp_path)
    assert not (tmp_path / "features/000.parquet").exists()
    monkeypatch.setattr(rows_module._SavedRows, "add", add)
    assert compute(tmp_path) == Counts(1, 3, 0)
    assert list(result(tmp_path)) == ["c/a", "c/b", "c/c", "c/d"]


def test_a_listing_without_the_newest_rows_overwrites_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: on a network disk two jobs gave their rows the same name."""
    jobs = [rows_module._SavedRows(tmp_path / "000.parquet", schema.feature_table("audio")) for _ in range(2)]
    with monkeypatch.context() as stale:
        stale.setattr(rows_module._SavedRows, "_files", lambda _: [])
        for name, job in zip("ab", jobs, strict=True):
            job.add([{"utterance_id": name, "key": "k", "status": "ok"}])
    jobs[0].keep({"a": "k", "b": "k"})
    assert jobs[0].ids == {"a", "b"}


def test_saved_rows_of_killed_jobs_are_removed_with_a_complete_shard(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", {"a": "a"})
    folder = tmp_path / "features/.rows"
    folder.mkdir(parents=True)
    for name in (".000.4711.part", ".000.1.ab.parquet.cd.part", ".0001.4711.part"):
        (folder / name).touch()
    compute(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".0001.4711.part", "000.parquet"]


def empty(content: bytes) -> bytes:
    return b""


def halve(content: bytes) -> bytes:
    return content[: len(content) // 2]


def blank_beginning(content: bytes) -> bytes:
    """Without the pages of the first columns, which are those that are looked at first."""
    return content[:4] + bytes(2000) + content[2004:]


@pytest.mark.parametrize("damage", [empty, halve, blank_beginning])
@pytest.mark.parametrize("kept", ["000.parquet", "000.1.*.parquet"])
def test_damaged_rows_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kept: str,
    damage: Callable[[bytes], bytes],
) -> None:  # fmt: skip
    """Symptom: after a power failure every further run ended with the same traceback."""
    monkeypatch.setattr(rows_module, "SECONDS_BETWEEN_SAVES", -1.0)
    write_manifest(tmp_path / "manifest.parquet", {name: name for name in "abcdefghij"})
    if kept != "000.parquet":
        Recorder.stop_at = "c/g"
        with pytest.raises(KeyboardInterrupt):
            compute(tmp_path)
        Recorder.stop_at = None
    else:
        compute(tmp_path)
        (tmp_path / "features/000.parquet").unlink()
    (path,) = (tmp_path / "features/.rows").glob(kept)
    path.write_bytes(damage(path.read_bytes()))
    lost = 10 if kept == "000.parquet" else 1
    done = len(Recorder.asked)
    assert compute(tmp_path) == Counts(10 - done + lost, done - lost, 0)
    assert f"{path} was damaged, and is deleted" in caplog.text
    assert list(result(tmp_path)) == [f"c/{name}" for name in "abcdefghij"]


def test_rows_damaged_in_what_is_read_last_are_deleted(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", {name: name for name in "abcdefghij"})
    compute(tmp_path)
    path = tmp_path / "features/.rows/000.parquet"
    begin = (
        pq.ParquetFile(path)
        .metadata.row_group(0)
        .column(schema.feature_table("audio").names.index("audio"))
        .data_page_offset
    )
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:begin] + bytes(40) + content[begin + 40 :])
    with pytest.raises(
        DataError, match=r"\.rows/000\.parquet was damaged and has been deleted; run the same command again"
    ):
        compute(tmp_path)
    assert compute(tmp_path) == Counts(10, 0, 0)


def test_a_bad_clip_is_a_row_and_what_depends_on_it_is_skipped(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", {"bad": "x", "good": "y"})
    compute(tmp_path)
    row = result(tmp_path)["c/bad"]
    assert (row["status"], row["reason"], row["audio"]) == ("failed", "undecodable: made so", None)
    output = tmp_path / "egemaps" / "000.parquet"
    upstream = {"audio": tmp_path / "features" / "000.parquet"}
    assert compute_shard(output, upstream, Follower, run(Follower), Recipe("egemaps", "{}", "c")) == Counts(1, 0, 1)
    rows = {row["utterance_id"]: row for row in read_table(output, schema.feature_table("egemaps")).to_pylist()}
    assert rows["c/bad"]["reason"] == "upstream audio: undecodable: made so"
    assert rows["c/good"]["egemaps"] == [1.0] * 25
    Follower.asked.clear()
    compute_shard(output, upstream, Follower, run(Follower), Recipe("egemaps", "{}", "c"))
    assert Follower.asked == []


def test_a_shard_is_merged_without_holding_it(tmp_path: Path) -> None:
    """Symptom: a shard over 2 GiB could not be sorted; now rows are merged a row group at a time."""
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    compute(tmp_path)
    file = pq.ParquetFile(tmp_path / "features" / "000.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [32, 32, 32, 4]
    assert list(result(tmp_path)) == sorted(result(tmp_path))


def test_media_that_vanished_stop_the_job(tmp_path: Path) -> None:
    """Symptom: a disk that was unmounted after listing put a whole corpus into quarantine."""
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    (tmp_path / "clip003.wav").unlink()
    with pytest.raises(DataError, match=r"clip003\.wav, which existed when its corpus was listed"):
        compute(tmp_path)


@pytest.mark.parametrize("code", ["crashed", "stalled"])
def test_a_crash_is_tried_again_with_the_next_run(tmp_path: Path, code: str) -> None:
    """A crash is stored, so that nothing waits for it; but it may have been the machine's."""
    write_manifest(tmp_path / "manifest.parquet", {"odd_1": "x", "good": "y"})
    Recorder.reasons = {"odd": {"status": "failed", "reason": f"{code}: made so"}}
    assert compute(tmp_path) == Counts(2, 0, 0)
    assert result(tmp_path)["c/odd_1"]["reason"] == f"{code}: made so"
    Recorder.reasons = {}
    assert compute(tmp_path) == Counts(1, 1, 0)
    assert result(tmp_path)["c/odd_1"]["status"] == "ok"
    assert compute(tmp_path) == Counts(0, 2, 0)


def test_a_row_computed_again_after_a_kill_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash lies in a file that the killed job left, its success in a later one."""
    monkeypatch.setattr(rows_module, "SECONDS_BETWEEN_SAVES", -1.0)
    write_manifest(tmp_path / "manifest.parquet", {"odd_1": "x", "then": "y", "zzz": "z"})
    Recorder.reasons = {"odd": {"status": "failed", "reason": "crashed: made so"}}
    Recorder.stop_at = "c/zzz"
    monkeypatch.setattr(Recorder, "chunk_size", 1)
    with pytest.raises(KeyboardInterrupt):
        compute(tmp_path)
    Recorder.reasons, Recorder.stop_at = {}, None
    assert compute(tmp_path) == Counts(2, 1, 0)
    assert {name: row["status"] for name, row in result(tmp_path).items()} == dict.fromkeys(
        ["c/odd_1", "c/then", "c/zzz"], "ok"
    )


def test_a_note_is_kept_and_blocks_nothing(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", {"odd_1": "x", "plain": "y"})
    note = "narrow_band: made so | clipped: too"
    Recorder.reasons = {"odd": {"reason": note, "audio": b"ab", "n_samples": 1}}
    compute(tmp_path)
    row = result(tmp_path)["c/odd_1"]
    assert (row["status"], row["reason"], row["audio"]) == ("ok", note, b"ab")
    upstream = {"audio": tmp_path / "features" / "000.parquet"}
    counts = compute_shard(
        tmp_path / "egemaps.parquet", upstream, Follower, run(Follower), Recipe("egemaps", "{}", "c")
    )
    assert counts == Counts(2, 0, 0)
    assert read_table(tmp_path / "egemaps.parquet", schema.feature_table("egemaps")).to_pylist()[0]["reason"] is None
    assert Follower.notes == {"c/odd_1": ["narrow_band: made so", "clipped: too"], "c/plain": []}


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"status": "failed"}, {"status": "absent", "reason": ""}])
def test_a_reason_says_something(tmp_path: Path, wrong: dict[str, str]) -> None:
    write_manifest(tmp_path / "manifest.parquet", {"odd_1": "x"})
    Recorder.reasons = {"odd": wrong}
    with pytest.raises(ValueError, match=r"c/odd_1 is .* without a reason"):
        compute(tmp_path)


def test_large_rows_do_not_gather_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: with fast extractors all that was done in 20 s was held, ten times as much in a shard ten times as large."""
    monkeypatch.setattr(rows_module, "SAVED_BYTES", 1000)
    write_manifest(tmp_path / "manifest.parquet", {f"odd_{i:02d}": "x" for i in range(20)})
    Recorder.reasons = {"odd": {"audio": bytes(400), "n_samples": 200}}
    held: list[int] = []
    add = rows_module._SavedRows.add
    monkeypatch.setattr(rows_module._SavedRows, "add", lambda self, rows: (held.append(len(rows)), add(self, rows)))
    opened: list[int] = []
    count_open = rows_module._Readers.read_row

    def read_row(self: Any, number: int, row: int) -> Any:
        found = count_open(self, number, row)
        opened.append(len(self._open))
        return found

    monkeypatch.setattr(rows_module._Readers, "read_row", read_row)
    compute(tmp_path)
    assert held == [3] * 6 + [2]
    assert max(opened) <= 1
    file = pq.ParquetFile(tmp_path / "features" / "000.parquet")
    assert {file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)} <= {1, 2, 3}
    assert list(result(tmp_path)) == [f"c/odd_{i:02d}" for i in range(20)]


def test_the_log_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(rows_module, "SECONDS_BETWEEN_SAVES", -1.0)
    write_manifest(tmp_path / "manifest.parquet", {"bad": "x", "odd_1": "y", "odd_2": "z"})
    Recorder.reasons = {"odd": {"reason": "narrow_band: made so", "audio": b"ab", "n_samples": 16000 * 3600}}
    compute(tmp_path)
    assert re.search(r"2 of 3 clips, \S+ clips/s, 1 h of media, 1 set aside, 1 noted, about \d+ s left", caplog.text)
    assert re.search(r"000.parquet: 3 clips in \d+ s: \S+ clips/s, 2 h of media, 1 set aside, 2 noted\n", caplog.text)


def test_what_the_study_states_stands_in_for_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a corpus's language was written into its manifest, so that audio was decoded again."""
    write_manifest(tmp_path / "manifest.parquet", {"one": "f"})
    asked: list[Any] = []
    monkeypatch.setattr(
        Recorder, "_one", lambda self, row: asked.append(row["language"]) or {"audio": b"", "n_samples": 0}
    )
    assert compute(tmp_path) == Counts(1, 0, 0)
    monkeypatch.setattr(Recorder, "stated", {"language": "de"})
    assert compute(tmp_path) == Counts(0, 1, 0), "nobody reads it"
    monkeypatch.setattr(Recorder, "manifest_columns", ("language",))
    assert compute(tmp_path) == Counts(1, 0, 0)
    assert asked == [None, "de"]


def test_an_upstream_table_of_other_clips_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", CLIPS)
    compute(tmp_path)
    names = dict(list(CLIPS.items())[1:])
    write_manifest(tmp_path / "manifest.parquet", names)
    upstream = {"manifest": tmp_path / "manifest.parquet", "audio": tmp_path / "features" / "000.parquet"}
    both = Extraction(schema.feature_table("egemaps"), ("manifest", "audio"))
    with pytest.raises(
        DataError, match=r"000\.parquet has 100 clips, and .*manifest\.parquet has 99; run the same command"
    ):
        compute_shard(tmp_path / "out.parquet", upstream, both, run(Recorder), RECIPE, tmp_path)

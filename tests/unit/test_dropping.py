"""Shards lose what takes space and nothing else, and get their old time back if they come back as they were."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emoadapt import dropping
from emoadapt.dropping import UNFINISHED, Dropped, drop_stages, end_restorations, find_stage, restore, select_shards
from emoadapt.errors import ConfigError, DataError
from emoadapt.flow.lock import keep_out_others
from emoadapt.flow.store import RowReader, iterate_chunks, iterate_groups, read_dropped, read_provenance, read_table

LONG_AGO = 1_000_000_000_000_000_000


def write_shard(
    results: Path, stage: str, values: list[int], rows_per_group: int = 2, time: int | None = None, name: str = "000"
) -> Path:
    shard = results / stage / f"talks/{name}.parquet"
    shard.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "utterance_id": [f"talks/{i}" for i in range(len(values))],
        "audio": [bytes([value]) * 10_000 for value in values],
        "target": [[float(value)] * 10 for value in values],
        "n_samples": values,
    }
    table = pa.table(columns).replace_schema_metadata({"emoadapt.feature": "x"})
    pq.write_table(table, shard, row_group_size=rows_per_group, compression="none", use_dictionary=False)
    if time is not None:
        os.utime(shard, ns=(time, time))
    return shard


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path(".snakemake").mkdir()
    return Path("results")


@pytest.fixture
def snakemake(results: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """In place of Snakemake: every shard that is forced holds 1, 2, 3 in other row groups; the stages, call by call."""
    calls: list[list[str]] = []
    others = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "snakemake" not in command:  # what its plugins ask when they are loaded
            return others(command, **options)
        files = [Path(part) for part in command if part.endswith(".parquet")]
        assert "--force" in command
        calls.append(list(dict.fromkeys(map(find_stage, files))))
        for path in files:
            path.unlink(missing_ok=True)  # as Snakemake does, before a job runs
            write_shard(results, find_stage(path), [1, 2, 3], rows_per_group=3, name=path.stem)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(dropping.subprocess, "run", run)
    return calls


def test_what_takes_space_goes_and_the_rest_stays(results: Path) -> None:
    shard = write_shard(results, "features/audio", [1, 2, 3], time=LONG_AGO)
    (shard.parent / ".rows").mkdir()
    os.link(shard, shard.parent / ".rows/000.parquet")
    size = shard.stat().st_size
    (dropped,) = drop_stages(results, ["features/audio"])
    assert dropped == Dropped("features/audio", 1, size - shard.stat().st_size)
    assert dropped.size > 30_000
    assert shard.stat().st_mtime_ns == LONG_AGO
    assert not list((shard.parent / ".rows").iterdir())
    light = read_table(shard, columns=["utterance_id", "n_samples"])
    assert light.to_pydict() == {"utterance_id": ["talks/0", "talks/1", "talks/2"], "n_samples": [1, 2, 3]}
    assert read_provenance(shard) == {"feature": "x"}
    # what is gone is gone
    assert drop_stages(results, ["features/audio"]) == [Dropped("features/audio", 0, 0)]


@pytest.mark.parametrize("columns", [None, ["audio"], ["utterance_id", "target"]])
def test_who_reads_what_is_gone_is_told(results: Path, columns: list[str] | None) -> None:
    shard = write_shard(results, "features/audio", [1, 2, 3])
    schema = pq.read_schema(shard)
    drop_stages(results, ["features/audio"])
    names = columns or schema.names
    readers = [
        lambda: read_table(shard, columns=columns),
        lambda: read_table(shard, schema, columns),
        lambda: list(iterate_groups(shard, schema, columns)),
        lambda: list(iterate_chunks(shard, [0], 1, names)),
        lambda: RowReader(shard, pa.schema([schema.field(name) for name in names])),
    ]
    for read in readers:
        with pytest.raises(DataError, match=r"000\.parquet was dropped to make room; call `emoadapt restore`"):
            read()
    # Columns that are there may be read against the contract of the whole table.
    assert read_table(shard, schema, ["n_samples"]).num_rows == 3


def test_shards_come_back_with_their_time(results: Path, snakemake: list[list[str]]) -> None:
    """Rows may be grouped otherwise: how many are written at once depends on how long they took."""
    shard = write_shard(results, "features/audio", [1, 2, 3], time=LONG_AGO)
    whole = write_shard(results, "features/faces", [1, 2, 3], time=LONG_AGO)
    drop_stages(results, ["features/audio"])
    found = restore(results, [str(shard), str(whole), "results/features/never/talks/000.parquet"], ["--cores", "1"])
    assert (found.same, found.other, found.away, found.status) == ([shard], [], [], 0)
    assert snakemake == [["features/audio"]]
    assert read_dropped(shard) is None
    assert shard.stat().st_mtime_ns == LONG_AGO
    assert not (results / UNFINISHED).exists()


def test_a_shard_that_holds_something_else_is_a_new_one(results: Path, snakemake: list[list[str]]) -> None:
    shard = write_shard(results, "features/audio", [1, 2, 4], time=LONG_AGO)
    drop_stages(results, ["features/audio"])
    found = restore(results, [str(shard)], [])
    assert (found.same, found.other, found.away) == ([], [shard], [])
    assert shard.stat().st_mtime_ns > LONG_AGO


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_restoration_that_did_not_end_goes_on(
    results: Path, snakemake: list[list[str]], monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    """Symptom: Snakemake had deleted a shard whose job then failed, and the second call knew nothing of it."""
    shards = [write_shard(results, "features/audio", [1, 2, 3], time=LONG_AGO + i, name=f"00{i}") for i in range(2)]
    shards.append(write_shard(results, "features/egemaps", [1, 2, 3], time=LONG_AGO + 2))
    drop_stages(results, ["features/audio", "features/egemaps"])
    run = dropping.subprocess.run

    def fail(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        run([part for part in command if part != str(shards[1])])
        shards[1].unlink()
        if interrupted:
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(dropping.subprocess, "run", fail)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            restore(results, map(str, shards), [])
    else:
        found = restore(results, map(str, shards), [])
        assert (found.same, found.away, found.status) == (shards[:1], shards[1:], 3)
    assert (results / UNFINISHED).exists()
    assert len(snakemake) == 1
    with pytest.raises(DataError, match="a restoration was interrupted; call `emoadapt restore` again"):
        drop_stages(results, ["features/audio"])
    monkeypatch.setattr(dropping.subprocess, "run", run)
    found = restore(results, map(str, shards), [])
    assert (found.same, found.away) == (shards if interrupted else shards[1:], [])
    assert [shard.stat().st_mtime_ns - LONG_AGO for shard in shards] == [0, 1, 2]
    assert not (results / UNFINISHED).exists()


def test_a_shard_that_came_back_otherwise_is_forgotten(
    results: Path, snakemake: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or, if it came back again as it was, what had been made of it in between would look up to date."""
    shards = [
        write_shard(results, stage, values, time=LONG_AGO)
        for stage, values in [("features/audio", [9]), ("features/egemaps", [1, 2, 3])]
    ]
    drop_stages(results, ["features/audio", "features/egemaps"])
    run = dropping.subprocess.run

    def stop(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return run(command) if "audio" in command[-2] else subprocess.CompletedProcess(command, 130)

    monkeypatch.setattr(dropping.subprocess, "run", stop)
    assert restore(results, map(str, shards), []).other == shards[:1]
    assert list(json.loads((results / UNFINISHED).read_text())) == [str(shards[1])]


def test_another_run_ends_a_restoration_that_is_going_on(
    results: Path, snakemake: list[list[str]], monkeypatch
) -> None:
    shard = write_shard(results, "features/audio", [1, 2, 3], time=LONG_AGO)
    drop_stages(results, ["features/audio"])
    run = dropping.subprocess.run

    def disturb(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        end_restorations(results)
        return run(command)

    monkeypatch.setattr(dropping.subprocess, "run", disturb)
    with pytest.raises(DataError, match="Snakemake was called while shards were being restored"):
        restore(results, [str(shard)], [])
    assert shard.stat().st_mtime_ns > LONG_AGO


def test_one_restoration_at_a_time(results: Path, tmp_path: Path) -> None:
    write_shard(results, "features/audio", [1])
    with keep_out_others(tmp_path, dropping.LOCK):
        with pytest.raises(DataError, match="another restoration is at work"):
            restore(results, [], [])
        with pytest.raises(DataError, match="is at work in"):
            drop_stages(results, ["features/audio"])


def test_rows_that_a_killed_call_left_go_with_the_next(results: Path) -> None:
    shard = write_shard(results, "features/audio", [1, 2, 3])
    drop_stages(results, ["features/audio"])
    (shard.parent / ".rows").mkdir()
    (shard.parent / ".rows/000.parquet").write_bytes(b"x")
    drop_stages(results, ["features/audio"])
    assert not list((shard.parent / ".rows").iterdir())


def test_a_run_in_between_ends_a_restoration(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.mkdir()
    for name, left in [("1", True), (None, False)]:
        (results / UNFINISHED).write_text(json.dumps({}))
        if name is None:
            monkeypatch.delenv(dropping.RESTORING)
        else:
            monkeypatch.setenv(dropping.RESTORING, name)
        end_restorations(results)
        assert (results / UNFINISHED).exists() is left


def test_failed_runs_are_told(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = [write_shard(results, stage, [1]) for stage in ("features/audio", "features/egemaps")]
    drop_stages(results, ["features/audio", "features/egemaps"])
    calls = []
    monkeypatch.setattr(
        dropping.subprocess,
        "run",
        lambda command, **_: calls.append(command) or subprocess.CompletedProcess(command, 3),
    )
    found = restore(results, map(str, shards), [])
    assert (found.away, found.status, len(calls)) == (shards, 3, 1)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ("-d x", "--directory"), ("--directory x", "--directory"), ("--directory=x", "--directory"), ("--dir x", "--directory"),
        ("-n", "--dry-run"), ("-np", "--dry-run"), ("--dry-run", "--dry-run"), ("--dryrun", "--dry-run"),
        ("--config a=1", "--config"), ("-C a=1", "--config"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_heeded_are_refused(results: Path, given: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"does not take {option}; "):
        restore(results, [], ["--cores", "1", *given.split()])


def test_a_damaged_note_of_a_restoration_is_named(results: Path) -> None:
    """`restore` ended with a traceback, and nothing could be dropped before it had been called."""
    results.mkdir()
    (results / UNFINISHED).write_bytes(bytes(50))
    with pytest.raises(DataError, match=r"results/\.restoring\.json is damaged; delete it and call this again"):
        restore(results, [], [])


def test_shards_are_dropped_where_snakemake_is_called(results: Path, tmp_path: Path) -> None:
    """Where the results are a link, a run is not seen beside the folder that it leads to."""
    write_shard(results, "features/audio", [1])
    elsewhere = tmp_path / "elsewhere/results"
    elsewhere.parent.mkdir()
    elsewhere.symlink_to(results.absolute())
    with pytest.raises(DataError, match=r"no study was run in .*elsewhere; call this in the folder"):
        drop_stages(elsewhere, ["features/audio"])


@pytest.mark.parametrize(
    "stage", ["models/small.adapted", "features", "features/../models", "features/faces/talks", "features/no"]
)
def test_other_folders_stay(results: Path, stage: str) -> None:
    shards = [write_shard(results, "features/faces", [1]), write_shard(results, "models/small.adapted", [1])]
    with pytest.raises(DataError, match=r"cannot be dropped; of results there can go: features/faces$"):
        drop_stages(results, ["features/faces", stage])
    assert [read_dropped(shard) for shard in shards] == [None, None]


def test_not_while_snakemake_is_at_work(results: Path, tmp_path: Path) -> None:
    shard = write_shard(results, "features/faces", [1])
    with keep_out_others(tmp_path), pytest.raises(DataError, match="Snakemake is at work in"):
        drop_stages(results, ["features/faces"])
    assert read_dropped(shard) is None


def test_stages_come_back_after_those_they_are_made_from(results: Path, snakemake: list[list[str]]) -> None:
    """CNN output last: a Stage-1 model may be behind it, which is behind training shards."""
    stages = ["features/audio", "features/faces", "features/egemaps", "features/face_embedding", "features/transcript"]
    stages += ["features/sentiment", "training/egemaps+face", "features/cnn.base", "features/cnn.base.adapted"]
    shards = [write_shard(results, stage, [1, 2, 3]) for stage in reversed(stages)]
    drop_stages(results, stages)
    assert len(restore(results, map(str, shards), []).same) == len(stages)
    assert [len(stage) for stage in snakemake] == [1] * len(stages)
    order = [stage for (stage,) in snakemake]
    assert order[-3:] == stages[-3:]
    pairs = [("egemaps", "audio"), ("face_embedding", "faces"), ("sentiment", "transcript"), ("transcript", "audio")]
    for later, earlier in pairs:
        assert order.index(f"features/{earlier}") < order.index(f"features/{later}")


def test_only_stages_that_are_wanted_come_back_with_what_they_need(results: Path, snakemake: list[list[str]]) -> None:
    """Symptom: who wanted CNN output had the faces, days of work, made again too."""
    inputs = {
        "features/audio": [],
        "features/cnn.base": ["features/audio"],
        "features/faces": [],
        "features/face_embedding": ["features/faces"],
        "training/face": ["features/audio", "features/face_embedding"],
    }
    shards = [str(write_shard(results, stage, [1, 2, 3])) for stage in inputs]
    drop_stages(results, [stage for stage in inputs if stage != "features/face_embedding"])

    def restore_stages(*stages: str) -> list[str]:
        snakemake.clear()
        restore(results, select_shards(results, shards, stages, inputs.__getitem__), [])
        return [stage for call in snakemake for stage in call]

    assert restore_stages("features/cnn.base") == ["features/audio", "features/cnn.base"]
    # Its embeddings are here: the faces behind them are not needed.
    assert restore_stages("training/face") == ["training/face"]
    assert restore_stages() == ["features/faces"]


def test_what_an_interrupted_restoration_holds_is_still_away(results: Path) -> None:
    results.mkdir()
    shards = ["results/features/audio/talks/000.parquet", "results/features/cnn.base/talks/000.parquet"]
    (results / UNFINISHED).write_text(json.dumps({shards[0]: ["digest", 1]}))
    assert select_shards(results, shards, ["features/cnn.base"], lambda _: ["features/audio"]) == shards


def test_a_stage_that_is_none_is_refused(results: Path) -> None:
    with pytest.raises(ConfigError, match="features/face is no stage of this study; there is features/faces"):
        select_shards(results, ["results/features/faces/talks/000.parquet"], ["features/face"], lambda _: [])

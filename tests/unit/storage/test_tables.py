"""Reading and writing tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.storage import tables as store
from emoadapt.storage.tables import (
    ROWS_PER_GROUP,
    iterate_chunks,
    iterate_groups,
    read_provenance,
    read_table,
    write_batches,
    write_table,
)


def audio_rows(count: int) -> list[dict]:
    return [
        {
            "utterance_id": f"c/{i:04d}",
            "key": "k",
            "status": "ok",
            "audio": np.full(8, i, "<i2").tobytes(),
            "n_samples": 8,
        }
        for i in range(count)
    ]


def test_round_trip_keeps_values_types_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.parquet"
    write_table(path, audio_rows(3), schema.feature_table("audio"), {"code": "abc"})
    table = read_table(path, schema.feature_table("audio"))
    assert table.schema.types == schema.feature_table("audio").types
    assert np.frombuffer(table["audio"][2].as_py(), "<i2").tolist() == [2] * 8
    assert read_provenance(path) == {"code": "abc"}


def test_shards_are_read_in_the_order_given(tmp_path: Path) -> None:
    rows = audio_rows(4)
    write_table(tmp_path / "0.parquet", rows[2:], schema.feature_table("audio"))
    write_table(tmp_path / "1.parquet", rows[:2], schema.feature_table("audio"))
    table = read_table(
        [tmp_path / "0.parquet", tmp_path / "1.parquet"], schema.feature_table("audio"), ["utterance_id"]
    )
    assert table["utterance_id"].to_pylist() == ["c/0002", "c/0003", "c/0000", "c/0001"]


def test_no_shards_is_an_empty_table() -> None:
    assert read_table([], schema.feature_table("audio"), ["utterance_id"]).num_rows == 0


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but not really"])
def test_a_missing_or_broken_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet"):
        read_table(path)


def test_a_table_of_another_schema_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", audio_rows(1), schema.feature_table("audio"))
    with pytest.raises(DataError, match="no column 'egemaps'"):
        read_table(tmp_path / "a.parquet", schema.feature_table("egemaps"))


def test_a_null_where_none_may_be_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must not be null"):
        write_table(
            tmp_path / "a.parquet", [{"utterance_id": None, "key": "k", "status": "ok"}], schema.feature_table("audio")
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, audio_rows(2), schema.feature_table("audio"))

    def fail(footer: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "sign_footer", fail)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, audio_rows(5), schema.feature_table("audio"))
    assert read_table(path).num_rows == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_chunks_hold_the_rows_wanted_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, audio_rows(store.ROWS_PER_GROUP * 3 + 5), schema.feature_table("audio"))
    wanted = [0, 1, 40, 41, 70, 100]
    chunks = [table["utterance_id"].to_pylist() for table in iterate_chunks(path, wanted, 4, ["utterance_id"])]
    assert [len(chunk) for chunk in chunks] == [4, 2]
    assert [name for chunk in chunks for name in chunk] == [f"c/{number:04d}" for number in wanted]


def test_groups_are_the_table_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, audio_rows(70), schema.feature_table("audio"), {"code": "abc"})
    columns = ["utterance_id", "audio"]
    groups = list(iterate_groups(path, schema.feature_table("audio"), columns))
    assert [group.num_rows for group in groups] == [ROWS_PER_GROUP, ROWS_PER_GROUP, 6]
    assert pa.concat_tables(groups).equals(read_table(path, schema.feature_table("audio"), columns))


@pytest.mark.parametrize("content", [None, b"no table"])
def test_groups_of_a_missing_or_broken_file_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="is missing" if content is None else "not a readable Parquet file"):
        list(iterate_groups(path))


def test_a_null_in_a_later_batch_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, audio_rows(1), schema.feature_table("audio"))
    good, bad = (
        pa.Table.from_pylist(rows, schema=schema.feature_table("audio")) for rows in (audio_rows(2), [{"key": "k"}])
    )
    with pytest.raises(DataError, match="'utterance_id' must not be null"):
        write_batches(path, [good, bad], schema.feature_table("audio"))
    assert read_table(path).num_rows == 1 and [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("columns", [None, ["audio"]])
def test_a_page_that_a_failing_disk_changed_is_noticed(tmp_path: Path, columns: list[str] | None) -> None:
    """Bytes are not compressed: other audio came out of them, without a word."""
    path = tmp_path / "a.parquet"
    write_table(path, audio_rows(40), schema.feature_table("audio"))
    content = bytearray(path.read_bytes())
    content[content.index(np.full(8, 7, "<i2").tobytes())] ^= 1
    path.write_bytes(content)
    sentence = r"a\.parquet is not a readable Parquet file \(.*CRC.*\); delete it and run again"
    with pytest.raises(DataError, match=sentence):
        read_table(path, schema.feature_table("audio"), columns)
    with pytest.raises(DataError, match=sentence):
        list(iterate_groups(path, schema.feature_table("audio"), columns))


NESTED = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("flat", pa.list_(pa.float32())),
        pa.field("fixed", pa.list_(pa.float32(), 2)),
        pa.field("deep", pa.list_(pa.list_(pa.int32()))),
        pa.field("pairs", pa.list_(pa.struct([("label", pa.string()), ("weight", pa.float64())]))),
    ]
)


def write_nested(path: Path) -> None:
    pair = {"label": "a", "weight": 1.0}
    values = [
        ([1.0, 2.0], [1.0, 2.0], [[1, 2], [3]], [pair, pair]),
        (None, None, None, None),
        ([], [None, 1.0], [[], None, [1]], []),
        ([None, 3.0], [3.0, 4.0], [], [None, pair]),
        ([3.0, 4.0, 5.0], [3.0, 4.0], [[5], [6, 7, 8]], [pair, pair, pair]),
    ]
    names = NESTED.names[1:]
    rows = [{"utterance_id": f"c/{i}", **dict(zip(names, row, strict=True))} for i, row in enumerate(values)]
    write_table(path, rows, NESTED)


def test_lists_of_every_kind_come_back(tmp_path: Path) -> None:
    write_nested(path := tmp_path / "a.parquet")
    assert read_table(path).column("deep").to_pylist()[2] == [[], None, [1]]
    assert read_table(path).equals(pa.concat_tables(iterate_groups(path)))
    (chunk,) = iterate_chunks(path, [1, 4], 2, ["pairs", "fixed"])
    assert [len(row or []) for row in chunk["pairs"].to_pylist()] == [0, 3]


def test_a_list_that_was_cut_off_is_noticed(tmp_path: Path) -> None:
    """Symptom: a page's number of values is under no checksum: the last list ended early, without a word."""
    write_nested(path := tmp_path / "a.parquet")
    expected, content, found = read_table(path), path.read_bytes(), set()
    pages = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(4, pages):
        for bit in (1, 2):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            try:
                assert read_table(path).equals(expected), (place, bit)
            except DataError as error:
                found |= {name for name in NESTED.names[1:] if f"column {name!r} has other values" in str(error)}
    assert found

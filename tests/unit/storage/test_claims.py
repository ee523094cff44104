"""What tables, folders and texts say of themselves."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.storage.claims import Claim, current_claim, state_claim
from emoadapt.storage.folders import CONTENTS, is_sealed, seal_folder, verify_folder
from emoadapt.storage.footers import Damaged, read_statement
from emoadapt.storage.identities import read_claim, read_identity
from emoadapt.storage.tables import iterate_groups, read_provenance, read_table, write_batches, write_table
from emoadapt.storage.texts import describe_claim, write_claimed

CLAIM = Claim("a" * 16, "b" * 16)
TABLE = schema.feature_table("audio")


@pytest.fixture(autouse=True)
def no_claim() -> Iterator[None]:
    state_claim(None)
    yield
    state_claim(None)


def rows(count: int, value: bytes = b"12") -> list[dict]:
    return [
        {"utterance_id": f"c/{i:03}", "key": "k", "status": "ok", "audio": value, "n_samples": 1} for i in range(count)
    ]


def test_a_claim_is_handed_on_to_children() -> None:
    assert current_claim() is None
    state_claim(CLAIM)
    assert current_claim() == CLAIM


def test_a_table_states_content_and_claim(tmp_path: Path) -> None:
    state_claim(CLAIM)
    write_table(path := tmp_path / "a.parquet", rows(40), TABLE, {"code": "\x18\x08emoadapt\x18\x04true", "ü": "ß"})
    assert read_claim(path) == CLAIM and read_statement(path).rows == 40
    assert read_provenance(path) == {"code": "\x18\x08emoadapt\x18\x04true", "ü": "ß"}
    names = "".join(f"c/{i:03}\n" for i in range(40)).encode()
    assert read_statement(path).keys == hashlib.sha256(names).hexdigest()[:32]


def test_identity_is_a_digest_of_the_pages(tmp_path: Path) -> None:
    """Recomputed from the file: pages, then columns and provenance."""
    write_table(path := tmp_path / "a.parquet", rows(70), TABLE, {"code": "x"})
    content = path.read_bytes()
    pages = content[: -8 - int.from_bytes(content[-8:-4], "little")]
    columns = [[field.name, str(field.type), field.nullable] for field in TABLE]
    expected = hashlib.sha256(pages + json.dumps([columns, [["code", "x"]]]).encode()).hexdigest()[:32]
    assert read_identity(path) == expected


def test_identity_follows_content_and_not_the_claim(tmp_path: Path) -> None:
    found = {}
    for name, content, claim, provenance in (
        ("first", rows(3), None, {}),
        ("again", rows(3), None, {}),
        ("claimed", rows(3), CLAIM, {}),
        ("longer", rows(4), CLAIM, {}),
        ("other", rows(3, b"21"), CLAIM, {}),
        ("origin", rows(3), CLAIM, {"left_out": "2"}),
    ):
        state_claim(claim)
        write_table(tmp_path / name, content, TABLE, provenance)
        found[name] = read_statement(tmp_path / name).identity
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()
    assert found["first"] == found["again"] == found["claimed"]
    assert len(set(found.values())) == 4


def test_tables_without_rows_differ_by_their_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "a", [], schema.MANIFEST)
    write_table(tmp_path / "b", [], schema.QUARANTINE)
    assert read_statement(tmp_path / "a").identity != read_statement(tmp_path / "b").identity


def test_a_large_footer_is_read(tmp_path: Path) -> None:
    batches = (pa.Table.from_pylist(rows(1), schema=TABLE) for _ in range(60))
    write_batches(path := tmp_path / "a.parquet", batches, TABLE)
    assert int.from_bytes(path.read_bytes()[-8:-4], "little") > 8192
    assert read_statement(path).rows == 60 and len(list(iterate_groups(path))) == 60


def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "a.parquet")
    with pytest.raises(Damaged, match=r"a\.parquet is not a readable Parquet file"):
        read_statement(path)


def test_every_flipped_bit_of_a_footer_is_noticed(tmp_path: Path) -> None:
    """A row group's number of rows is under no checksum of Parquet: a table went from 15 rows to 14, without a word."""
    write_table(path := tmp_path / "a.parquet", rows(15), TABLE)
    content = path.read_bytes()
    begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    with path.open("rb+", buffering=0) as file:
        for position in range(begin, len(content)):
            os.pwrite(file.fileno(), bytes([content[position] ^ 1 << position % 8]), position)
            with pytest.raises(Damaged, match=r"a\.parquet .*; delete it and run again"):
                read_statement(path)
            os.pwrite(file.fileno(), content[position : position + 1], position)
        os.pwrite(file.fileno(), bytes([content[begin + 9] ^ 1]), begin + 9)
    for read in (read_table, read_provenance, lambda path: list(iterate_groups(path))):
        with pytest.raises(Damaged, match=r"a\.parquet .*; delete it and run again"):
            read(path)


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), path := tmp_path / "a.parquet")
    with pytest.raises(Damaged, match=r"a\.parquet does not state its content"):
        read_table(path)


def test_other_rows_than_stated_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emoadapt.storage.tables._Names.digest", lambda self: "0" * 32)
    write_table(path := tmp_path / "a.parquet", rows(40), TABLE)
    monkeypatch.undo()
    with pytest.raises(Damaged, match="has other rows than were written"):
        read_table(path, columns=["utterance_id"])
    with pytest.raises(Damaged, match="has other rows than were written"):
        list(iterate_groups(path))
    assert read_table(path, columns=["status"]).num_rows == 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed folder, with a sealed folder in it."""
    for name, content in {"model.safetensors": b"weights", "config.json": b"{}", "inner/config.json": b"{1}"}.items():
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(content)
    state_claim(CLAIM)
    seal_folder(tmp_path / "f" / "inner")
    seal_folder(tmp_path / "f")
    return tmp_path / "f"


def test_a_folder_states_files_and_claim(folder: Path) -> None:
    assert is_sealed(folder) and read_claim(folder) == CLAIM
    files = json.loads((folder / CONTENTS).read_text())["files"]
    assert list(files) == ["config.json", "inner/config.json", "inner/contents.json", "model.safetensors"]
    assert files["model.safetensors"] == {"size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
    before = (folder / CONTENTS).read_bytes()
    verify_folder(folder, whole=True)
    seal_folder(folder)
    assert (folder / CONTENTS).read_bytes() == before
    identity = read_identity(folder)
    state_claim(None)
    seal_folder(folder)
    assert read_identity(folder) == identity and read_claim(folder) is None


@pytest.mark.parametrize(
    ("name", "content", "whole", "said"),
    [
        ("model.safetensors", None, False, "model.safetensors is missing"),
        ("inner/contents.json", None, False, "inner/contents.json is missing"),
        ("pytorch_model.bin", b"x", False, "pytorch_model.bin was added"),
        ("model.safetensors", b"weight", False, "has 6 bytes, and 7 were written"),
        ("model.safetensors", b"weighTs", True, "is not what was written"),
        ("contents.json", b"{}", False, "contents.json is not what was written"),
        ("contents.json", b"[", False, "contents.json is not what was written"),
    ],
)
def test_a_changed_folder_is_refused(folder: Path, name: str, content: bytes | None, whole: bool, said: str) -> None:
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(Damaged, match=f"{said}.*; copy the whole folder .* again, or delete it and run again; if"):
        verify_folder(folder, whole=whole)


def test_a_card_may_be_edited_and_hidden_files_added(folder: Path) -> None:
    (folder / "README.md").write_text("My model.")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").touch()
    verify_folder(folder, whole=True)


def test_a_folder_that_is_not_sealed_is_said_to_be(tmp_path: Path) -> None:
    assert not is_sealed(tmp_path)
    with pytest.raises(DataError, match=r"contents\.json is missing"):
        verify_folder(tmp_path)


def test_a_text_states_its_claim(tmp_path: Path) -> None:
    assert describe_claim() == ""
    identities = []
    for claim in (CLAIM, Claim("c", "d")):
        state_claim(claim)
        write_claimed(path := tmp_path / "index.html", f"<html>\n<!-- {describe_claim()} -->\n</html>")
        assert read_claim(path) == claim
        identities.append(read_identity(path))
    assert identities[0] == identities[1]
    write_claimed(path, "<html></html>")
    assert read_claim(path) is None and read_identity(path) != identities[0]


def test_a_text_that_was_changed_or_cut_off_claims_nothing(tmp_path: Path) -> None:
    """Symptom: half a page, and one with other numbers, counted as the report of the study."""
    state_claim(CLAIM)
    write_claimed(path := tmp_path / "index.html", f"<html>\n<!-- {describe_claim()} -->\n<p>0.5</p></html>")
    whole = path.read_bytes()
    for place in range(len(whole)):
        for text in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            path.write_bytes(text)
            try:
                assert read_claim(path) != CLAIM
            except Damaged as error:
                assert "index.html is not what was written" in str(error)

"""Texts that are given with files."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoadapt.errors import ConfigError
from emoadapt.inference.transcripts import read_languages, read_transcripts


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'speaker,file,text\nx,b.wav,"yes, two\nlines"\nx,a.wav,\n'),
        ("t.csv", '\ufefffile;text\na.wav;\nb.wav;"yes, two\nlines"\n'),
        ("t.tsv", 'file\ttext\na.wav\t\nb.wav\t"yes, two\nlines"\n'),
    ],
)
def test_table_of_any_making(name: str, content: str, tmp_path: Path) -> None:
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert read_transcripts(write(tmp_path / name, content), files) == {files[0]: "", files[1]: "yes, two\nlines"}


def test_files_may_be_named_as_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = write(tmp_path / "texts/t.csv", f"file,text\ncalls/a.wav,one\n{tmp_path}/b.wav,two\n../c.wav,three\n")
    files = [Path("c.wav"), Path("calls/a.wav"), Path("b.wav")]
    assert list(read_transcripts(table, files).values()) == ["three", "one", "two"]


def test_lines_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.txt", "one\r\n\r\nthree,\u2028 and more\r\n")
    files = [Path(name) for name in "cab"]
    assert read_transcripts(texts, files) == {Path("c"): "one", Path("a"): "", Path("b"): "three,\u2028 and more"}


def test_rows_of_other_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "t.csv", "file,text\na.wav,one\nb.wav,two\nc.wav,three\n")
    assert read_transcripts(table, [tmp_path / "b.wav"]) == {tmp_path / "b.wav": "two"}
    assert capsys.readouterr().err == f"emoadapt: 2 rows of {table} are of files that are not predicted\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "file,text\na.wav,one\n", r"has no text for 1 of 2 files: .*b\.wav; add rows for them"),
        ("t.csv", "file,text\na.wav,1\nb.wav,2\na.wav,3\n", r"has a\.wav twice, in lines 2 and 4; keep one"),
        ("t.csv", "file,words\na.wav,1\nb.wav,2\n", "has no column text, but file, words; it needs the columns"),
        ("t.csv", "path,words\na.wav,1\nb.wav,2\n", "has no column file and text, but path, words"),
        ("t.csv", "file,text\na.wav,1,x\nb.wav,2\n", "line 2: 3 cells under 2 columns; correct the line"),
        ("t.csv", "", "the table is empty"),
        ("t.txt", "one\ntwo\nthree\n", "has 3 lines for 2 files; write one text per line"),
        ("t.txt", "", "has 0 lines for 2 files; write one text per line"),
    ],
)
def test_wrong_transcripts_are_refused_in_a_sentence(name: str, content: str, said: str, tmp_path: Path) -> None:
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    with pytest.raises(ConfigError, match=said):
        read_transcripts(write(tmp_path / name, content), files)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff", b"caf\xe9\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
def test_what_cannot_be_read_is_named(content: bytes | None, name: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name}.*"):
        read_transcripts(tmp_path / name, [tmp_path / "a.wav"])


def test_languages_are_read_for_each_file(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,text,language\na.wav,yes,de\nb.wav,no,\n")
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert read_languages(table, files) == {files[0]: "de"}
    assert read_transcripts(table, files) == {files[0]: "yes", files[1]: "no"}
    table.write_text("file,text\na.wav,yes\nb.wav,no\n")
    assert read_languages(table, files, required=False) == {}
    with pytest.raises(
        ConfigError, match="has no column language, but file, text; it needs the columns file and language"
    ):
        read_languages(table, files)
    with pytest.raises(ConfigError, match=r"the languages .* cannot be read .*; they are a UTF-8 table"):
        read_languages(tmp_path / "none.csv", files)

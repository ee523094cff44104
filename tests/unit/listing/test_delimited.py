"""Tables are read row for row, or refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from emoadapt.errors import CorpusError
from emoadapt.listing.delimited import Reader


def read(path: Path, content: bytes | str, **options):
    path = path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Reader("corpus c: t.csv", "correct it", **options).read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_line_ends_and_byte_order_mark_change_nothing(tmp_path, end, mark):
    table = read(tmp_path, mark + end.join(["a,b", '1,"x, ""y"""', "", "2,z", ",", ""]))
    assert (table.header, table.rows) == (["a", "b"], [["1", 'x, "y"'], ["2", "z"]])
    assert (list(table.lines), table.n_lines, table.n_blank) == ([2, 4], 5, 2)
    assert table.describe() == "5 lines: a header, 2 rows and 2 blank"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.csv: the table is empty; add a header and rows, or name another table$"),
        ("\n\n", r"t\.csv: the table is empty; add a header and rows, or name another table$"),
        ("\na,b\n1,2\n", r"line 1: blank, and the header should stand here; correct it"),
        ("a,b\n,\n", r"the table is empty: it has a header and no row"),
        ("a,b\n1,2\n3\n", r"line 3: 1 cell under 2 columns; correct it"),
        ("a,b\n1,2\n\n3,4,5\n", r"line 4: 3 cells under 2 columns; correct it"),
        ("a,b\n1,2\na,b\n3,4\n", r"line 3: repeats the header, as where two tables were joined; correct it"),
        ("a,b\n1,2\n\ufeffa,b\n3,4\n".encode(), r"line 3: repeats the header"),
        (b"a,b\n1,2\n3,\x00\n", r"line 3: a NUL byte: the table is damaged, or UTF-16 text; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), r"t\.csv: UTF-16 text, as Excel saves it; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"line 1: a NUL byte"),
        (b"a,b\n1,2\n" + b"3,4\n" * 9000 + b"5,T\xfcr\n", r"line 9003: not UTF-8 text \(invalid start byte\)"),
        ('a,b\n1,"x\n2,y\n', r"lines 2 to 3: one cell spans these lines, because a quotation mark opens it in line 2 and none follows"),
        ('a,b\n1,"x\n2,y"\n', r"lines 2 to 3: .*opens it in line 2 and the next one stands in line 3; close the quotation"),
        ('a,b\n1,2\n"3,4\n' + "5,6\n" * 50_000, r"lines 3 to \d+: one cell spans these lines"),
        ('a,b\n1,"x" y\n', r"line 2: a cell begins with a quotation mark, and text follows the closing one"),
        ('a,b\n1,2\n3,"x\n', r"line 3: a cell begins with a quotation mark, and text follows the closing one, or there is none"),
    ],
)  # fmt: skip
def test_uncertain_tables_are_refused_with_their_lines(tmp_path, content, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, content, strict=True)


def test_cells_that_span_lines_are_read_where_the_quoting_says_so(tmp_path):
    text = 'a,b\n1,"x\r\ny"\n\n2,z\n'
    table = read(tmp_path, text, quoting="multiline")
    assert (table.rows, list(table.lines), table.n_lines) == ([["1", "x\ny"], ["2", "z"]], [2, 5], 5)


def test_quotation_marks_are_characters_without_quoting(tmp_path):
    table = read(tmp_path, 'a\tb\n"1\t"x" y"\n2\t"\n', quoting="none", separator=None)
    assert table.rows == [['"1', '"x" y"'], ["2", '"']]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_separator_is_that_of_the_header(tmp_path, separator):
    text = separator.join(["a", '"b,;|\tc"', "d"]) + "\n" + separator.join("123") + "\n"
    assert read(tmp_path, text, separator=None).rows == [["1", "2", "3"]]


def test_good_tables_are_read_as_the_csv_module_reads_them(tmp_path):
    rows = [["a", "b c", "ü"], ["1", ' x, "y" ', ""], ["'", '""', "\u2028\x85\x0b"], ["", "", "3"]]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    table = read(tmp_path, text.getvalue(), strict=True)
    assert [table.header, *table.rows] == rows

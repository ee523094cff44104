"""CSV files that run no formula in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import polars as pl
import pytest

import emoadapt
from emoadapt.inference.output import write_predictions
from emoadapt.inference.predict import Prediction
from emoadapt.storage.spreadsheets import CsvWriter, escape_cell, format_frame, read_csv
from emoadapt.study.plan.printing import write_csv
from emoadapt.study.plan.work import Row

ATTACKS = [
    '=HYPERLINK("http://x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    "-",
    "-x",
]
HARMLESS = ["anger", "s1=s2", "a-b", "-0.5", "+3", "-1e-7", ".5", "", "'quoted'", "1,000"]


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet may take a cell for one; numbers with a sign are none."""
    try:
        float(cell)
    except ValueError:
        return cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    return False


@pytest.mark.parametrize("text", ATTACKS)
def test_text_that_would_be_a_formula_gets_an_apostrophe(text: str) -> None:
    assert is_formula(text) and escape_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [*HARMLESS, -0.5, None, True])
def test_numbers_and_other_text_stay(value: object) -> None:
    assert escape_cell(value) is value


def test_a_table_holds_no_formula_and_is_read_back_as_it_was(tmp_path: Path) -> None:
    texts = [*ATTACKS, *HARMLESS, None, *(f"'{text}" for text in ATTACKS), *(f"''{text}" for text in ATTACKS)]
    frame = pl.DataFrame({"name": texts, "value": [-0.5 - number for number in range(len(texts))]})
    path = tmp_path / "a.csv"
    path.write_bytes(format_frame(frame).encode())
    with path.open(encoding="utf-8", newline="") as file:
        cells = list(csv.reader(file))[1:]
    assert [name for name, _ in cells] == [escape_cell(text) or "" for text in texts]
    assert not any(is_formula(cell) for line in cells for cell in line)
    assert [float(value) for _, value in cells] == frame["value"].to_list()
    assert read_csv(path, frame.schema).equals(frame)


def test_both_writers_escape_alike_also_names_of_columns() -> None:
    frame = pl.DataFrame({"=label": ["-x", "y"], "n": [-1, 2]})
    text = io.StringIO()
    writer = CsvWriter(text, frame.columns)
    writer.write_header()
    for row in frame.to_dicts():
        writer.write_row(row)
    assert text.getvalue() == format_frame(frame) == "'=label,n\n'-x,-1\ny,2\n"


def test_predictions_and_plans_hold_no_formula() -> None:
    text = io.StringIO()
    odd = Prediction(Path("=1+1.wav"), None, None, "failed", reason="@undecodable: -x")
    good = Prediction(Path("a.wav"), 0.0, 1.0, "ok", label="-calm", probabilities={"-calm": 0.75, "+joy": 0.25})
    write_predictions([odd, good], text, ["-calm", "+joy"], as_csv=True)
    lines = list(csv.reader(io.StringIO(text.getvalue())))
    assert not any(is_formula(cell) for line in lines for cell in line)
    assert lines[1][0] == "'=1+1.wav" and lines[2][4] == "'-calm" and lines[2][5:7] == ["0.75", "0.25"]
    plan = write_csv([Row("feature", "audio", "c", needs="=x")])
    assert "'=x" in plan and not any(is_formula(cell) for line in csv.reader(io.StringIO(plan)) for cell in line)


def test_there_is_one_writer() -> None:
    folder = Path(emoadapt.__file__).parent
    others = re.compile(r"csv\.(Dict)?[wW]riter|\.write_csv\(|\.to_csv\(")
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*.py") if others.search(p.read_text("utf-8"))}
    assert found == {"storage/spreadsheets.py"}

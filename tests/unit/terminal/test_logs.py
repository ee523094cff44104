"""Lines of logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoadapt.terminal.logs import TAIL, read_last_lines, read_newest_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("12:00:01 results/audio/000.parquet: 8 of 24 clips, about 3 s left\n\n", "8 of 24 clips, about 3 s left"),
        ("12:00:01 emotions.tiny.full.r0: epoch 3 of 20, dev: loss 0.1\n", "epoch 3 of 20, dev: loss 0.1"),
        ("emoadapt: no space is left\n", "emoadapt: no space is left"),
        ("loading\r 10%\r\x1b[31m 20%\x1b[0m", " 20%"),
        ("bell\x07 and \xff", "bell and \ufffd"),
    ],
)
def test_the_newest_line_stands_without_time_subject_and_colours(tmp_path: Path, text: str, line: str) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(text.encode("latin1"))
    assert read_newest_line([str(log)]) == line


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("x" * TAIL + "\n" + "\n".join(map(str, range(100))))
    assert read_last_lines([str(log)], 2) == ["98", "99"]
    log.write_text("begun " + "x" * TAIL)
    assert read_last_lines([str(log)], 2) == [], "half a line says nothing"


def test_a_log_that_is_missing_says_nothing(tmp_path: Path) -> None:
    assert read_newest_line([str(tmp_path / "none.log")]) == ""

"""What stands on the terminal, on one of fixed width."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console, RenderableType

from emoadapt.terminal.drawing import draw_dry_run, draw_run, explain_updates, format_time, shorten_reason
from emoadapt.terminal.stages import Run

if TYPE_CHECKING:
    from conftest import Events


def write(drawn: RenderableType, width: int = 90) -> list[str]:
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    console.print(drawn)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_run_is_a_line_a_stage_and_the_newest_lines_of_its_jobs(run: Run, events: Events, tmp_path: Path) -> None:
    log = tmp_path / "adapt.log"
    log.write_text("12:00:00 tiny.adapted: epoch 2 of 4, held out: loss 0.5\n")
    for record in (
        events.plan(manifest=2, audio=4, adapt=1, train=2, report=1),
        events.begin(1, "manifest", 0), events.begin(2, "manifest", 0), events.finish(1, 2), events.finish(2, 3),
        events.begin(3, "audio", 3, "talks", "000"), events.finish(3, 63),
        events.begin(4, "adapt", 63, "tiny", "adapted", log=[str(log)]), events.begin(5, "audio", 70, "talks", "001"),
        events.begin(6, "audio", 71, "talks", "002"), events.fail(6, "audio", 75),
    ):  # fmt: skip
        run.take(record)
    # The jobs took and take 132 s of the 100 s: 1.32 at a time. Of audio 60 s and 30 s are left; of the others nothing is known.
    assert write(draw_run(run, 100)) == [
        "stage                      done                          time         left",
        "corpora  ━━━━━━━━━━━━━━━━   2/2                       0:00:03",
        "audio    ━━━━               1/4  1 running, 1 failed  0:01:37      0:01:30",
        "Stage 1                     0/1            1 running  0:00:37            ?",
        "Stage 2                     0/2",
        "report                      0/1",
        "all      ━━━━╸             3/10  2 running, 1 failed  0:01:40  0:01:08 + ?",
        "",
        "adapt tiny adapted  0:00:37  epoch 2 of 4, held out: loss 0.5",
        "audio talks 001     0:00:30",
    ]


def test_a_narrow_terminal_gets_no_broken_lines(run: Run, events: Events, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("long " * 40)
    run.take(events.plan(train=6))
    for number in range(6):
        run.take(events.begin(number, "train", 0, f"emotions_of_{'very ' * 8}many", f"b{number}", log=[str(log)]))
    lines = write(draw_run(run, 0), width=80)
    assert len(lines) == 3 + 1 + 4 + 1 and lines[-1] == "and 2 more"
    assert max(map(len, lines)) <= 80
    assert lines[4].startswith("train emotions_of_very …y very very very many b0  0:00:00  long long")


def test_jobs_of_a_cluster_are_sent(run: Run, events: Events) -> None:
    run.take(events.plan(report=1))
    run.take(events.begin(1, "report", 0, local=False))
    assert "1 sent" in write(draw_run(run, 1))[1]


def test_a_dry_run_is_a_table_of_stages_and_reasons(run: Run, events: Events) -> None:
    missing, follows = "Missing output files: a", "Input files updated by another job: b, c"
    jobs = [
        run.take(events.begin(number, rule, 0, reason=reason))
        for number, (rule, reason) in enumerate([
            ("report", f"{missing}; {follows}"), ("audio", missing), ("audio", follows), ("audio", missing),
            ("train", f"{follows}; changed: finetunings.svm.c: 1.0 -> 2.0, code"),
        ])
    ]  # fmt: skip
    assert write(draw_dry_run(run.stages, filter(None, jobs))) == [
        "stage    jobs  because",
        "audio       3  2 no output yet",
        "               1 input is made anew",
        "Stage 2     1  finetunings.svm.c: 1.0 -> 2.0, code",
        "report      1  no output yet",
        "all         5",
    ]


@pytest.mark.parametrize(
    ("rule", "reason", "kept"),
    [
        ("audio", "Input files updated by another job: b", True),
        ("audio", "changed: made from other inputs", True),
        ("audio", "Missing output files: a", False),
        ("audio", "changed: code changed; Input files updated by another job: b", False),
        ("train", "Input files updated by another job: b", False),
    ],
)
def test_a_dry_run_says_that_rows_of_unchanged_clips_are_kept(
    run: Run, events: Events, rule: str, reason: str, kept: bool
) -> None:
    """Symptom: after 5 new clips `input is made anew` looked as if all 68 were computed again."""
    job = run.take(events.begin(1, rule, 0, reason=reason))
    assert job is not None
    assert ("are kept" in explain_updates(["audio"], [job])) == kept


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("Forced execution", "forced"),
        ("Updated input files: a; Input files updated by another job: b", "input changed"),
        ("Something new", "Something new"),
    ],
)
def test_reasons_are_short(reason: str, short: str) -> None:
    assert shorten_reason(reason) == short


def test_no_time_is_negative_when_the_clock_was_put_back() -> None:
    assert [format_time(seconds) for seconds in (200.4, -3600)] == ["0:03:20", "0:00:00"]

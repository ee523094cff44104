"""The plan of a study as tables and sentences, or as CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from emoadapt.config.features import needs_video
from emoadapt.errors import name_count
from emoadapt.machine.devices import list_devices
from emoadapt.plugins import list_plugins
from emoadapt.schema import KEPT
from emoadapt.storage.spreadsheets import CsvWriter
from emoadapt.study.nodes import Model
from emoadapt.study.plan.sizes import CorpusSize
from emoadapt.study.plan.work import UNKNOWN_SHARES, Row, to_hours

if TYPE_CHECKING:
    from emoadapt.config import Study


def write_csv(rows: Sequence[Row]) -> str:
    """The plan as CSV: a line per row, empty where something is not known."""
    text = io.StringIO()
    writer = CsvWriter(text, [field.name for field in fields(Row)])
    writer.write_header()
    for row in rows:
        writer.write_row({key: f"{v:.4g}" if isinstance(v, float) else v for key, v in asdict(row).items()})
    return text.getvalue()


def print_plan(
    study: Study, sizes: Mapping[str, CorpusSize], rows: Sequence[Row], speeds: Mapping[str, Any] | None, gpus: int
) -> None:
    """Print the plan for a person."""
    print(f"study {study.study}\n")
    print("done: the files exist. `snakemake --dry-run` shows whether they are up to date.\n")
    _print_table(
        ["corpus", "clips", "hours", "speakers", "known from"],
        [
            [n, _count(s.clips), show_hours(to_hours(s.seconds)), _count(s.speakers), _origin(s)]
            for n, s in sizes.items()
        ],
    )
    by_stage = {stage: [row for row in rows if row.stage == stage] for stage in ("feature", "stage1", "stage2")}
    if by_stage["feature"]:
        print("\nfeatures: hours of media to extract from")
        _print_table(
            ["feature", "corpus", "shards", "done", "media", "hours", ""],
            [
                [r.name, r.corpus, _count(r.jobs), _count(r.jobs_done), _medium(r.name),
                 show_hours(r.media_hours), r.needs]
                for r in by_stage["feature"]
            ],
        )  # fmt: skip
    device = name_processor(study, speeds)
    if by_stage["stage1"]:
        print("\nStage 1")
        _print_table(
            ["backbone", "adaptation", "corpora", "done", "audio hours, all epochs", f"{device} hours", ""],
            [
                [r.backbone, r.start, r.corpus, "yes" if r.jobs_done else "no", show_hours(r.media_hours), show_hours(r.hours), r.needs]
                for r in by_stage["stage1"]
            ],
        )  # fmt: skip
    if by_stage["stage2"]:
        print("\nStage 2")
        _print_table(
            ["task", "model", "clips", "trainings", "done", "jobs", "audio hours, all trainings", f"{device} hours", ""],
            [
                [r.name, str(Model(r.backbone or "", r.start or "", r.finetuning or "")), r.subset, _count(r.runs), _count(r.runs and r.runs_done), _count(r.jobs),
                 show_hours(r.media_hours), show_hours(r.hours), r.needs]
                for r in by_stage["stage2"]
            ],
        )  # fmt: skip
    print()
    for line in summarise_plan(study, rows, speeds, gpus, device):
        print(line)


def is_kept(row: Row) -> bool:
    """Whether a row is of the kept output of a frozen backbone."""
    return row.stage == "feature" and row.name.split(".")[0] in KEPT


def name_processor(study: Study, speeds: Mapping[str, Any] | None) -> str:
    """`CPU` or `GPU`: the one that was calibrated, else the one that the study would use here."""
    if speeds:
        return "CPU" if study.device == "cpu" or speeds["device"].startswith("CPU") else "GPU"
    return "CPU" if study.device == "cpu" or (study.device == "auto" and not list_devices()) else "GPU"


def summarise_plan(
    study: Study, rows: Sequence[Row], speeds: Mapping[str, Any] | None, gpus: int, device: str = "GPU"
) -> list[str]:
    """Totals in sentences, and what is not known."""
    stage1, stage2 = ([row for row in rows if row.stage == stage] for stage in ("stage1", "stage2"))
    known = [row for row in stage2 if row.runs is not None]
    runs, done = sum(row.runs or 0 for row in known), sum(row.runs_done for row in known)
    jobs = sum(row.jobs or 0 for row in known)
    lines = [
        f"Stage 1: {len(stage1)} jobs, {sum(row.jobs_done for row in stage1)} done. "
        f"Stage 2: {name_count(runs, 'training')} in {name_count(jobs, 'job')}, {done:,} done; each fold of a run is a training.",
    ]
    if len(known) < len(stage2):
        lines.append(
            f"Trainings of {len(stage2) - len(known)} settings are not known: their folds are the speakers, or the parts, of a missing corpus."
        )
    training = [*(row for row in rows if is_kept(row)), *stage1, *stage2]
    if not study.backbones:
        return lines
    if not speeds:
        lines.append(
            f"Not calibrated: {device} hours of training are not known. `emoadapt plan --calibrate` measures a few steps of each "
            "backbone on this machine."
        )
        return lines
    timed = [row for row in training if row.hours is not None and row.hours_left is not None]
    total, left = sum(row.hours or 0 for row in timed), sum(row.hours_left or 0 for row in timed)
    chain = sum(
        max((row.hours_left / max(1, (row.jobs or 1) - row.jobs_done) for row in group if row.hours_left), default=0.0)
        for group in (stage1, stage2)
    )
    lines.append(
        f"Training, and the outputs of frozen backbones that are kept: {show_hours(total)} {device} hours at most (all epochs), "
        f"{show_hours(left)} of them left; "
        f"with {gpus} at a time about {show_hours(max(left / gpus, chain))} hours. Calibrated on {speeds['device']}, torch {speeds['torch']}."
    )
    stand_ins = [name for name, found in speeds["backbones"].items() if found["stand_in"] and name in study.backbones]
    if stand_ins:
        lines.append(
            f"The weights of {', '.join(stand_ins)} are missing: the calibration used random models of the usual size."
        )
    if len(timed) < len(training):
        lines.append(
            f"{len(training) - len(timed)} of {len(training)} lines have no hours: the size of a corpus (--assume), or the speed of a "
            "backbone with these settings (--calibrate), is not known."
        )
    if any(row.stage == "feature" and not is_kept(row) and row.jobs_done < (row.jobs or 0) for row in rows):
        lines.append("The time to extract faces, transcripts, sentiment and descriptors is not estimated.")
    guessed = [name for name, task in study.tasks.items() if task.split.by in ("official", "speakers", "table")]
    if guessed:
        shares = "/".join(f"{100 * share:.0f}" for share in UNKNOWN_SHARES)
        lines.append(
            f"Train, dev and test of {', '.join(guessed)} are assumed to be {shares} % of the corpus; its official parts may differ."
        )
    return lines


def _print_table(heads: Sequence[str], lines: Sequence[Sequence[str | None]]) -> None:
    cells = [list(heads), *[[cell or "" for cell in line] for line in lines]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    right = [all(re.fullmatch(r"[\d,.]*|unknown", line[column]) for line in cells[1:]) for column in range(len(heads))]
    for line in cells:
        pairs = zip(line, widths, right, strict=True)
        print("  ".join(cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in pairs).rstrip())


def _origin(size: CorpusSize) -> str:
    return ", missing: ".join(filter(None, (size.source if size.source != "missing" else "nothing", size.needs)))


def _medium(feature: str) -> str:
    """What a feature, or a kept output, is computed from."""
    return "video" if feature in list_plugins("features") and needs_video(feature) else "audio"


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def show_hours(hours: float | None) -> str:
    """Hours with three digits at most."""
    if hours is None:
        return "unknown"
    if hours == 0:
        return "0"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}"

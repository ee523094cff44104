"""When, where and by which code a report was written, and how long its jobs took.

Nothing of this decides a result: no job reads it, and no claim states it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import __version__
from emoadapt.errors import name_count

_SECONDS = {"s": pl.Float64, "max_rss": pl.Float64, "cpu_time": pl.Float64}
"""Columns of Snakemake's benchmark files that are read: seconds by the clock, MiB of memory, seconds of all cores."""

_FOLDERS = {"train": "runs", "refit": "refits"}
"""Rule -> folder of its outputs, which a study may have lost."""


def describe_making(results: Path) -> dict[str, str]:
    """Describe the writing of a report, in words: `written`, `code`, `machine` and `time`.

    Args:
        results: folder of results, with the benchmark files that the rules write.
    """
    times = sum_times(results)
    found = {"written": _print_now(), "code": _name_code(), "machine": _name_machine()}
    if not times.is_empty():
        jobs, seconds, used = times.select(pl.sum("jobs"), pl.sum("seconds"), pl.sum("cpu_seconds")).row(0)
        found["time"] = (
            f"Summed over {name_count(jobs, 'timed job')} of this folder: {print_time(seconds)} by the clock, however many ran side by side, and "
            f"{print_time(used)} of processor time; what Snakemake needs between them is not counted"
        )
    return found


def sum_times(results: Path) -> pl.DataFrame:
    """Sum the time of the jobs of each rule, the last run of each job.

    Trainings whose runs were moved away, since the study no longer has them, are not counted.

    Args:
        results: folder of results.

    Returns:
        `rule`, `jobs`, `seconds` by the clock, `cpu_seconds` of all cores, and `memory`, the most MB of a job.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        rule, *job = path.relative_to(results / "benchmarks").with_suffix("").parts
        if (folder := _FOLDERS.get(rule)) and not (results / folder).joinpath(*job).is_dir():
            continue
        table = pl.read_csv(path, separator="\t", null_values=["-", "NA"], infer_schema=False)
        last = table.tail(1).select(
            pl.col(name).cast(kind, strict=False) for name, kind in _SECONDS.items() if name in table
        )
        rows += [{"rule": rule, **dict.fromkeys(_SECONDS), **row} for row in last.iter_rows(named=True)]
    frame = pl.DataFrame(rows, schema={"rule": pl.String, **_SECONDS}).filter(pl.col("rule") != "report")
    sums = frame.group_by("rule").agg(
        jobs=pl.len(), seconds=pl.sum("s"), cpu_seconds=pl.sum("cpu_time"), memory=pl.max("max_rss") * 1.048576
    )
    return sums.sort("seconds", descending=True)


def list_times(results: Path) -> dict[str, str]:
    """Rule -> its jobs, their time and memory, in words."""
    return {
        row["rule"]: f"{name_count(row['jobs'], 'job')}, {print_time(row['seconds'])}, "
        f"{print_time(row['cpu_seconds'])} of processor time, at most {row['memory'] or 0:,.0f} MB"
        for row in sum_times(results).iter_rows(named=True)
    }


def print_time(seconds: float) -> str:
    """A duration: `48 s`, `12 min`, `3.5 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _print_now() -> str:
    # The time of day is shown, and decides nothing.
    return datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z").removeprefix("0")


def _name_code() -> str:
    """Version of this package, and its commit where it runs from a checkout."""
    return f"emoadapt {__version__}" + (f", commit {commit}" if (commit := _find_commit()) else "")


def _find_commit() -> str:
    """Commit of the checkout that holds this package, with a note if tracked files of it were changed; empty without one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return ""
    return _run("git", "-C", str(root), "describe", "--always", "--dirty= (with changes)", "--abbrev=12", "--exclude=*")


def _name_machine() -> str:
    """System, processor and GPUs of this machine; no name of it."""
    cores = len(os.sched_getaffinity(0))
    gpus = _run("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    shown = ", ".join(f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)) or "no GPU"
    return f"{platform.system()}, {_name_processor()}, {name_count(cores, 'core')}, {shown}"


def _name_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _run(*command: str) -> str:
    """What a command prints; empty where it fails or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

"""Seconds and memory of the check for leaks among the segments of one file, and among as many files.

    python benchmarks/leaks.py [--segments 20000 200000] [--clips 1000000] [--folds 5] [--pairs]

Every segment of a recording of 20,000 or 200,000 overlaps with its neighbours, in train, dev and test, with two labels. `--pairs`
also compares the way it was done once, by a join of every pair of segments of a file, within 16 GiB of address space. The goal
for 200,000 segments is less than a minute and less than 1.5 GB. `--clips` are files of their own, in several folds.

Prints a table, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.tasks.leaks import describe_clips, find_leaks

STUDY = {
    "study": "leaks",
    "corpora": {"c": {"importer": "csv", "root": "one", "file": "a.csv"}},
    "backbones": {"h": {"architecture": "hubert", "weights": "some/hubert"}},
    "adaptations": {"adapted": {"corpora": ["c"], "objectives": {"egemaps": 1.0}}},
    "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "official"}}},
}
MOST = 16 << 30
"""Bytes of address space of a measurement by pairs."""


def main() -> None:
    """Measure each size in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, nargs="*", default=[20_000, 200_000], help="segments of one file")
    parser.add_argument("--clips", type=int, default=1_000_000, help="files of their own; 0: none")
    parser.add_argument("--folds", type=int, default=5, help="folds of the files")
    parser.add_argument("--pairs", action="store_true", help="also by a join of every pair of segments")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, count, folds = options.measure
        print(json.dumps(measure(way, int(count), int(folds))))
        return
    wanted = [(way, n, 1) for n in options.segments for way in (["pairs"] if options.pairs else []) + ["sweep"]]
    wanted += [("files", options.clips, options.folds)] if options.clips else []
    figures = []
    print(f"{'what':<8}{'clips':>12}{'folds':>7}{'CPU s':>9}{'peak MiB':>10}{'tables MiB':>12}  clips found")
    for way, count, folds in wanted:
        found = run_alone(way, count, folds)
        figures.append({"what": way, "clips": count, "folds": folds, **found})
        spent = (
            f"{found['cpu']:>9.1f}{found['peak']:>10,}{found['before']:>12,}" if "cpu" in found else f"{'failed':>9}"
        )
        print(f"{way:<8}{count:>12,}{folds:>7}{spent}  {found.get('found', found.get('error'))}")
    print(json.dumps({"benchmark": "leaks", "figures": figures}))


def run_alone(way: str, count: int, folds: int) -> dict[str, Any]:
    """Run `measure` in a process of its own; return its figures, or the reason why there are none."""
    command = [sys.executable, __file__, "--measure", way, str(count), str(folds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    last = done.stderr.strip().splitlines()[-1:] or [""]
    return {"error": f"exit status {done.returncode}: {last[0][:80]}"}


def measure(way: str, count: int, folds: int) -> dict[str, Any]:
    """CPU seconds, MiB at the peak and before, and the clips that were found to be shared.

    Args:
        way: `sweep` or `pairs`, of the segments of one file; `files`.
        count: segments or files.
        folds: of the task.
    """
    study = load_study(STUDY)
    clips = describe_clips(study, {"c": list_clips(count, one_file=way != "files")})
    splits = divide(count, folds)
    before, begun = read_peak(), read_cpu()
    if way == "pairs":
        resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
        rows = splits.join(clips, on="utterance_id")
        found = join_pairs(rows.filter(split="test"), rows.filter(split="train"))
    else:
        leaks = find_leaks("t", study.tasks["t"], splits, clips, {"adapted": ["c"]})
        found = leaks.filter(kind="clips", between="train / test")["count"][0]
    return {"cpu": round(read_cpu() - begun, 1), "peak": read_peak(), "before": before, "found": found}


def list_clips(count: int, *, one_file: bool) -> pl.DataFrame:
    """MANIFEST rows: segments of 1.2 s every half second of one file, or whole files."""
    numbers = pl.int_range(count, eager=True)
    ids = numbers.cast(pl.String).str.zfill(8)
    start = numbers * 0.5 if one_file else pl.Series([None] * count, dtype=pl.Float64)
    columns = {
        "utterance_id": "c/" + ids,
        "media": "m.wav" if one_file else ids,
        "fingerprint": "f" * 16 if one_file else "f" + ids,
        "start": start,
        "end": start + 1.2,
        "speaker": "s" + (numbers % max(3, count // 100)).cast(pl.String),
        "transcript": "these are the words " + (numbers % (count // 3)).cast(pl.String),
    }
    given = pl.select(**{n: pl.lit(v) for n, v in columns.items()})
    return pl.concat([pl.DataFrame(schema.MANIFEST.empty_table()), given], how="diagonal_relaxed")


def divide(count: int, folds: int) -> pl.DataFrame:
    """SPLITS rows: clips drawn for train, dev and test, and for two labels."""
    numbers = pl.int_range(count, eager=True)
    rng = np.random.default_rng(0)
    drawn = [
        pl.select(
            utterance_id=pl.lit("c/" + numbers.cast(pl.String).str.zfill(8)),
            corpus=pl.lit("c"),
            speaker=pl.lit("s" + (numbers % max(3, count // 100)).cast(pl.String)),
            label=pl.lit(pl.Series(np.array(["x", "y"])[rng.integers(2, size=count)])),
            partition=pl.lit(0),
            fold=pl.lit(fold),
            split=pl.lit(pl.Series(np.array(["train", "train", "train", "dev", "test"])[rng.integers(5, size=count)])),
        )
        for fold in range(folds)
    ]
    return pl.concat([pl.DataFrame(schema.SPLITS.empty_table()), *drawn], how="diagonal_relaxed")


def join_pairs(clips: pl.DataFrame, others: pl.DataFrame) -> int:
    """Clips of which at least half of the shorter one is in another, by every pair."""
    columns = ["utterance_id", "fingerprint", "start", "end"]
    pairs = clips.select(columns).join(others.select(columns), on="fingerprint", suffix="_other")
    first, last = pl.max_horizontal("start", "start_other"), pl.min_horizontal("end", "end_other")
    length = pl.min_horizontal(pl.col("end") - pl.col("start"), pl.col("end_other") - pl.col("start_other"))
    return pairs.filter((last - first) * 2 >= length)["utterance_id"].n_unique()


def read_peak() -> int:
    """MiB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def read_cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

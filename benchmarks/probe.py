"""Peak memory and time of probes on kept layers of many clips: memory should not follow their number.

    python benchmarks/probe.py [--clips 2000] [--layers 13] [--width 1536] [--epochs 5] [--runs 2]

The layers are random numbers in tables of the form that `emoadapt keep` writes, of CARE's size by default; a probe of SUPERB (two layers
of a head on a learned mean) is trained on a division of them, on one thread. Each job is a process of its own. Its memory is the peak
that the kernel counts (`VmHWM`), beside that of a job on 100 clips, most of which is torch. CPU seconds are per run, with start-up
divided among the runs of a job.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emoadapt import schema
from emoadapt.storage.tables import write_batches, write_table
from emoadapt.study.nodes import Model, Run, Setting

LEAST = 100
"""Clips of the job that the others are compared with."""
ROWS = 256


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--clips", type=int, default=2000, help="clips of the smaller job; the larger has four times as many"
    )
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--width", type=int, default=1536)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--normalise", default="none", choices=["none", "train"])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        train(options)
        return
    found = {clips: measure(options, clips) for clips in (LEAST, options.clips, 4 * options.clips)}
    print(f"{'clips':>8}{'layers, MiB':>13}{'peak, MiB':>11}{'CPU s a run':>13}")
    for clips, figures in found.items():
        print(f"{clips:>8,}{figures['layers_mib']:>13.0f}{figures['peak_mib']:>11.0f}{figures['cpu_seconds']:>13.2f}")
    print(json.dumps(found))


def measure(options: argparse.Namespace, clips: int) -> dict[str, float]:
    """Peak MiB and CPU seconds of a job on so many clips."""
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        write_tables(Path(folder), clips, options.layers, options.width)
        kept = ("layers", "width", "epochs", "runs", "normalise")
        given = [text for name in kept for text in (f"--{name}", str(getattr(options, name)))]
        command = [sys.executable, __file__, *given, "--folder", folder]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = clips * options.layers * options.width * 4 / 2**20
    return {
        "layers_mib": round(size, 1),
        "peak_mib": float(done.stdout.split()[-1]),
        "cpu_seconds": round(seconds / options.runs, 2),
    }


def write_tables(folder: Path, clips: int, layers: int, width: int) -> None:
    """Splits and layers of made-up clips, of which a fifth is dev and a fifth is test."""
    names = [f"c/{number:06d}" for number in range(clips)]
    rows = [
        {
            "utterance_id": name, "corpus": "c", "speaker": f"s{number % 10}", "label": ("a", "b", "c", "d")[number % 4],
            "partition": 0, "fold": 0, "split": {0: "test", 1: "dev"}.get(number % 5, "train"),
        }
        for number, name in enumerate(names)
    ]  # fmt: skip
    write_table(folder / "splits.parquet", rows, schema.SPLITS)

    def iterate() -> Iterator[pa.Table]:
        random = np.random.default_rng(0)
        for begin in range(0, clips, ROWS):
            found = [
                {
                    "utterance_id": name, "key": "k", "status": "ok", "n_frames": layers, "dimension": width,
                    "layers": random.standard_normal((layers, width), dtype=np.float32).tobytes(),
                }
                for name in names[begin : begin + ROWS]
            ]  # fmt: skip
            yield pa.Table.from_pylist(found, schema=schema.LAYERS)

    write_batches(folder / "layers.parquet", iterate(), schema.LAYERS)


def train(options: argparse.Namespace) -> None:
    """Do the job of a folder, and print its peak in MiB."""
    from emoadapt.config import load_study
    from emoadapt.training.jobs import TaskJob, run_job

    shape = {"hidden_size": 8, "layers": options.layers - 1, "heads": 1, "intermediate_size": 8, "conv_pos_groups": 2}
    probe: dict[str, Any] = {"method": "probe", "classifier": "mlp", "head_hidden": 256, "normalise": options.normalise}
    probe |= {"epochs": options.epochs, "learning_rate": 1e-4, "optimizer": "adamw", "seeds": list(range(options.runs))}
    study = load_study(
        {
            "study": "probe",
            "device": "cpu",
            "corpora": {"c": {"importer": "folder", "root": "."}},
            "backbones": {"b": {"architecture": "wav2vec2", "untrained": shape}},
            "finetunings": {"default": probe},
            "tasks": {"t": {"corpus": "c", "classes": ["a", "b", "c", "d"], "split": {"by": "fractions"}}},
        }
    )
    folder, runs = options.folder, [Run(seed=seed) for seed in range(options.runs)]
    shards = {"layers.b": {"c": [folder / "layers.parquet"]}}
    setting = Setting("t", Model("b"), "full")
    run_job(TaskJob(study, "b", "original", shards, folder / "out", 1, setting, runs, [folder / "splits.parquet"]), 0)
    print(read_peak())


def read_peak() -> float:
    """MiB that this process held at most."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


if __name__ == "__main__":
    main()

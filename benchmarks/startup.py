"""CPU seconds in which each kind of job starts, over the imports that it cannot do without.

A study of a few tones of half a second is run, with every kind of job that needs no weights and no video; its work is next to nothing, so
that the CPU seconds of a job are those of its start. The floor is a bare interpreter that imports the same heavy libraries and
does nothing. The difference is what this package adds: reading the study, its own modules, the tables, and the little work.

    python benchmarks/startup.py [--repeat 3]

Prints a table, jobs with their heavy libraries, and a line of JSON. The goal is a difference of at most .6 s. Jobs with
torch compute for some of it, and the report draws: they are shown, and have no goal.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).parents[1]
GOAL = 0.6
HEAVY = ("av", "cv2", "matplotlib", "opensmile", "pandas", "polars", "pyarrow", "scipy", "scipy.stats", "sklearn")
HEAVY += ("snakemake", "torch", "transformers")
"""Libraries whose import takes a tenth of a second or more."""
WORKING = {"matplotlib", "torch"}
"""Libraries of jobs that have much to do even here."""

TRACER = """
import atexit, json, os, resource, sys

def _note():
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {{"argv": sys.argv, "cpu": used.ru_utime + used.ru_stime, "heavy": [m for m in {heavy} if m in sys.modules]}}
    found["own"] = sorted(m for m in sys.modules if m.startswith("emoadapt."))
    with open({log!r}, "a") as file:
        file.write(json.dumps(found) + "\\n")

# At exit, before all others: what is registered first is called last.
if "emoadapt" in sys.orig_argv:
    atexit.register(_note)
"""
"""Code that each job of a traced run executes when it ends."""

SIZES = {
    "conv_dim": [16] * 5,
    "hidden_size": 16,
    "layers": 1,
    "heads": 2,
    "intermediate_size": 16,
    "conv_pos_kernel": 4,
}
STUDY = {
    "study": "startup",
    "device": "cpu",
    "training_threads": 1,
    "corpora": {
        "tones": {"importer": "folder", "root": "tones", "shards": 1},
        "acted": {
            "importer": "csv",
            "root": "acted",
            "file": "labels.csv",
            "columns": {"media": "file", "speaker": "speaker", "label": "emotion"},
            "shards": 1,
        },
    },
    "tasks": {"emotions": {"corpus": "acted", "classes": ["low", "high"], "split": {"by": "leave_one_speaker_out"}}},
    "backbones": {
        "tiny": {"architecture": "wav2vec2", "untrained": SIZES | {"conv_pos_groups": 2}},
        "compare": {"architecture": "vector", "reads": "compare_functionals"},
    },
    "adaptations": {"adapted": {"corpora": ["tones"], "objectives": {"egemaps": 1.0}, "epochs": 1}},
    "finetunings": {
        "default": {"backbones": ["tiny"], "starts": ["adapted"], "seeds": [0], "epochs": 1},
        "mlp": {"backbones": ["compare"], "seeds": [0], "epochs": 1},
        "probe": {"method": "probe", "backbones": ["tiny"], "starts": ["original"], "seeds": [0], "epochs": 1},
        "svm": {"method": "svm", "backbones": ["compare"]},
    },
    "runs_per_job": 4,
    "report": {"bootstrap": 100},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each floor; the smallest counts")
    parser.add_argument("--data", help="not used: the clips are made")
    parser.add_argument("--models", help="not used")
    arguments = parser.parse_args()
    compileall.compile_dir(ROOT / "src", quiet=1)
    with tempfile.TemporaryDirectory(prefix="emoadapt-startup-") as name:
        jobs = run_traced(Path(name))
    floors: dict[tuple[str, ...], float] = {}
    figures = {}
    print(f"{'job':<28} {'CPU s':>6} {'floor':>6} {'over':>6}  goal  heavy libraries")
    for kind, job in sorted(jobs.items()):
        heavy = tuple(job["heavy"])
        floor = floors.setdefault(heavy, min(measure_floor(heavy) for _ in range(arguments.repeat)))
        over, goal = job["cpu"] - floor, "" if WORKING & set(heavy) else f"{GOAL:g}"
        print(f"{kind:<28} {job['cpu']:>6.2f} {floor:>6.2f} {over:>6.2f}  {goal:>4}  {' '.join(heavy)}")
        figures[kind] = {"cpu_seconds": round(job["cpu"], 3), "floor": round(floor, 3), "over": round(over, 3)}
    print(json.dumps({"benchmark": "startup", "goal": GOAL, "jobs": figures}))


def run_traced(folder: Path) -> dict[str, dict[str, Any]]:
    """Run the study in an empty folder; kind of job -> its CPU seconds and heavy libraries.

    Raises:
        SystemExit: a job failed.
    """
    make_corpora(folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    log = write_tracer(folder / "tracer")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    command += ["--profile", str(ROOT / "profiles/default"), "--configfile", "study.yaml"]
    environment = make_environment() | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(log.parent)])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return read_trace(log)


def write_tracer(folder: Path) -> Path:
    """Write a `sitecustomize` that notes what the jobs of a run import; returns its log, beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.absolute() / "trace.jsonl"
    (folder / "sitecustomize.py").write_text(TRACER.format(heavy=HEAVY, log=str(log)))
    return log


def read_trace(log: Path) -> dict[str, dict[str, Any]]:
    """Kind of job -> what was noted: all heavy libraries and own modules of such jobs, and the CPU seconds of the quickest."""
    found: dict[str, dict[str, Any]] = {}
    for line in log.read_text().splitlines():
        job = json.loads(line)
        other = found.setdefault(name_kind(job["argv"][1:]), job)
        other["cpu"] = min(other["cpu"], job["cpu"])
        other |= {key: sorted({*other[key], *job[key]}) for key in ("heavy", "own")}
    return found


def name_kind(arguments: list[str]) -> str:
    """Name of a kind of job: its command, with the feature or the method where these decide what is imported."""
    command, *more = arguments
    if command == "extract":
        return f"extract {more[0]}"
    if command == "keep":
        return f"keep {more[0]}"
    if command == "train":
        # `<backbone>.<start>[.<finetuning>]`
        return f"train {(*more[1].split('.')[2:], 'default')[0]}"
    return command


def measure_floor(heavy: Iterable[str]) -> float:
    """CPU seconds of an interpreter that imports libraries."""
    lines = "\n".join(f"import {name}" for name in heavy)
    process = subprocess.Popen([sys.executable, "-c", lines or "pass"], env=make_environment())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"cannot import {', '.join(heavy)}")
    return usage.ru_utime + usage.ru_stime


def make_environment() -> dict[str, str]:
    """One thread, and byte code that is kept."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"OMP_NUM_THREADS": "1"}


def make_corpora(folder: Path) -> None:
    """Unlabelled tones, and labelled ones of three speakers."""
    rows = ["file,speaker,emotion"]
    for name in ("tones", "acted"):
        (folder / name).mkdir()
        for number in range(6):
            label = ("low", "high")[number % 2]
            time = np.arange(12_000) / 16_000
            noise = np.random.default_rng([number, len(name)]).normal(0, 0.02, time.size)
            tone = 0.3 * np.sin(2 * np.pi * (150 + 200 * (number % 2) + 7 * number) * time) + noise
            soundfile.write(folder / name / f"{number}.wav", tone.astype(np.float32), 16_000)
            rows += [f"{number}.wav,s{number // 2},{label}"] if name == "acted" else []
    (folder / "acted/labels.csv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

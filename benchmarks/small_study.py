"""CPU seconds of a small study, beside a plain script that does the same work.

The study: EmoDB, four classes, ComParE functionals, SVM, one speaker left out (that of `tests/workflow/test_classical.py`), from
an empty folder to the report. The script: `plain_study.py`, opensmile and scikit-learn alone. Both run on one core, one after the
other, on a copy of the corpus. Then the study is asked five questions: all to do (dry run, and done), nothing to do, another cost of
the SVM, and one more clip; the script has one answer to all, to compute everything again. Python keeps the byte code of the sources,
as it does after an installation.

    python benchmarks/small_study.py --data DIR [--questions dry_run cold]

DIR holds `emodb/`; default: $EMOADAPT_DATA. Prints a table with the goals, and a line of JSON.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).parents[1]
STUDY = {
    "study": "small",
    "device": "cpu",
    "corpora": {"emodb": {"importer": "emodb", "root": "emodb", "shards": 2}},
    "tasks": {
        "emodb": {
            "corpus": "emodb",
            "classes": ["anger", "happiness", "neutral", "sadness"],
            "split": {"by": "leave_one_speaker_out"},
        }
    },
    "backbones": {"compare": {"architecture": "vector", "reads": "compare_functionals"}},
    "finetunings": {"svm": {"method": "svm", "train_on_dev": True}},
    "runs_per_job": 10,
}
NEW_CLIP = "08a01Nz"
"""A neutral clip of speaker 08, which EmoDB does not have."""


@dataclass(frozen=True)
class Question:
    """One thing that is asked of the study.

    Args:
        words: how the table names it.
        goal: CPU seconds at most; None where the goal is a ratio, or there is none.
        ratio: at most so many times the plain script.
        change: of the folder, before it is asked.
        options: of Snakemake.
    """

    words: str
    goal: float | None = None
    ratio: float | None = None
    change: Callable[[Path], None] = lambda folder: None
    options: tuple[str, ...] = ()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOADAPT_DATA"), help="folder with emodb/")
    parser.add_argument("--models", help="not used")
    parser.add_argument("--questions", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="default: all")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder that holds emodb/ with --data, or set EMOADAPT_DATA")
    compileall.compile_dir(ROOT / "src", quiet=1)
    with tempfile.TemporaryDirectory(prefix="emoadapt-small-") as name:
        folder = Path(name)
        shutil.copytree(Path(arguments.data, "emodb"), folder / "emodb")
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
        plain, _ = run([ROOT / "benchmarks/plain_study.py", "emodb", "plain"], folder)
        print(f"plain script: {plain:.1f} CPU s\n\n{'question':<28} {'jobs':>4} {'CPU s':>6} {'x plain':>7}  goal")
        figures = {name: ask(QUESTIONS[name], folder, plain) for name in arguments.questions}
        scores = json.loads((folder / "plain/scores.json").read_text())
    print(json.dumps({"benchmark": "small_study", "plain": plain, **scores, "study": figures}))


def ask(question: Question, folder: Path, plain: float) -> dict[str, float]:
    """Ask a question and print its line: jobs and CPU seconds."""
    question.change(folder)
    options = ["--cores", "1", "--profile", ROOT / "profiles/default", "--configfile", "study.yaml", *question.options]
    seconds, output = run(["-m", "snakemake", "--snakefile", ROOT / "Snakefile", *options], folder)
    counted = re.findall(r"^total +(\d+)", output, re.MULTILINE)
    # The target `all` is counted as a job.
    jobs = int(counted[-1]) - 1 if counted else 0
    print(
        f"{question.words:<28} {jobs:>4} {seconds:>6.1f} {seconds / plain:>7.2f}  {describe_goal(question)}", flush=True
    )
    return {"jobs": jobs, "cpu_seconds": round(seconds, 2), "ratio": round(seconds / plain, 3)}


def describe_goal(question: Question) -> str:
    """The goal of a question, in words."""
    if question.ratio is not None:
        return f"at most {question.ratio:g} x plain"
    return "" if question.goal is None else f"at most {question.goal:g} s"


def run(command: list[str | Path], folder: Path) -> tuple[float, str]:
    """CPU seconds of a Python command and all processes that it starts, and what it prints.

    Raises:
        SystemExit: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        text = output.read()
    if status:
        raise SystemExit(text[-3000:])
    return usage.ru_utime + usage.ru_stime, text


def change_cost(folder: Path) -> None:
    """Train the SVM with another cost."""
    study = yaml.safe_load((folder / "study.yaml").read_text())
    study["finetunings"]["svm"]["c"] = 3.0
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def add_clip(folder: Path) -> None:
    """One more clip, quieter than the one that it is made of."""
    source = next(path for path in sorted((folder / "emodb").rglob("08*.*")) if path.stem[5] == "N")
    samples, rate = soundfile.read(source, dtype="float32")
    soundfile.write(source.with_name(f"{NEW_CLIP}{source.suffix}"), np.float32(0.7) * samples, rate)


QUESTIONS = {
    "dry_run": Question("dry run, all to do", goal=2.0, options=("--dry-run",)),
    "cold": Question("all, from an empty folder", ratio=1.8),
    "nothing": Question("nothing to do"),
    "svm": Question("another cost of the SVM", goal=12.0, change=change_cost),
    "clip": Question("one more clip", goal=15.0, change=add_clip),
    "dry_again": Question("dry run, nothing to do", goal=2.0, options=("--dry-run",)),
}

if __name__ == "__main__":
    main()

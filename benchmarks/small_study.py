"""CPU seconds of two small studies, beside plain scripts that do the same work.

Both are of EmoDB, four classes, one speaker left out, from an empty folder to the report. `classical`: ComParE functionals and an SVM
(that of `tests/workflow/test_classical.py`). `pretrained`: logistic regression on the layer of a frozen Whisper tiny.en that inner folds
over training speakers choose. The script: `plain_study.py`, with opensmile or openai-whisper, and scikit-learn. Study and script run on
one core, one after the other, on a copy of the corpus. Then the study is asked more questions: all to do (dry run, and done), nothing
to do, another setting or classifier, and one more clip; the script has one answer to all, to compute everything again. Python keeps the
byte code of the sources, as it does after an installation.

    python benchmarks/small_study.py --data DIR [--models DIR] [--studies pretrained] [--questions dry_run cold]

The data folder holds `emodb/`, that of models `whisper_converted/tiny.en.pt`; default: $EMOADAPT_DATA and $EMOADAPT_MODELS. Prints a
table with the goals, and a line of JSON, of each study.
"""

from __future__ import annotations

import argparse
import compileall
import csv
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
WEIGHTS = "whisper_converted/tiny.en.pt"
PRETRAINED = STUDY | {
    "study": "pretrained",
    "backbones": {"tiny": {"architecture": "whisper", "weights": WEIGHTS}},
    "finetunings": {
        "probe": {"method": "probe", "classifier": "logistic", "layer": "best", "c": 0.05, "train_on_dev": True}
    },
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
    parser.add_argument("--models", type=Path, default=os.environ.get("EMOADAPT_MODELS"), help=f"folder with {WEIGHTS}")
    parser.add_argument("--studies", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="default: both")
    known = list(dict.fromkeys(name for questions in QUESTIONS.values() for name in questions))
    parser.add_argument("--questions", nargs="+", choices=known, default=known, help="default: all")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder that holds emodb/ with --data, or set EMOADAPT_DATA")
    if "pretrained" in arguments.studies and not (arguments.models and Path(arguments.models, WEIGHTS).is_file()):
        parser.error(
            f"name the folder that holds {WEIGHTS} with --models, set EMOADAPT_MODELS, or leave the study out with --studies classical"
        )
    compileall.compile_dir(ROOT / "src", quiet=1)
    for name in arguments.studies:
        measure(name, arguments.questions, Path(arguments.data), arguments.models)


def measure(name: str, questions: list[str], data: Path, models: Path | None) -> None:
    """Run a study's plain script, ask its questions, and print the table and a line of JSON."""
    options: list[str | Path] = []
    study = STUDY
    if name == "pretrained":
        study = PRETRAINED | {"models_dir": str(Path(models or "").absolute())}
        options = ["--whisper", Path(models or "", WEIGHTS).absolute()]
    with tempfile.TemporaryDirectory(prefix="emoadapt-small-") as place:
        folder = Path(place)
        shutil.copytree(data / "emodb", folder / "emodb")
        (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
        plain, _ = run([ROOT / "benchmarks/plain_study.py", "emodb", "plain", *options], folder)
        print(
            f"{name}, plain script: {plain:.1f} CPU s\n\n{'question':<28} {'jobs':>4} {'CPU s':>6} {'x plain':>7}  goal"
        )
        figures, scores = {}, json.loads((folder / "plain/scores.json").read_text())
        for key, asked in QUESTIONS[name].items():
            if key in questions:
                figures[key] = ask(asked, folder, plain)
            if key == "cold" and key in figures:
                scores["ours"] = read_scores(folder)
    print(json.dumps({"benchmark": "small_study", "of": name, "plain": plain, **scores, "study": figures}), flush=True)


def read_scores(folder: Path) -> dict[str, float]:
    """Metric -> mean of the study's one model."""
    with (folder / "results/tables/results.csv").open() as table:
        return {row["metric"]: float(row["mean"]) for row in csv.DictReader(table)}


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


def change_classifier(folder: Path) -> None:
    """Choose the layer for an SVM."""
    study = yaml.safe_load((folder / "study.yaml").read_text())
    study["finetunings"]["probe"] |= {"classifier": "svm", "c": 2.0}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def add_clip(folder: Path) -> None:
    """One more clip, quieter than the one that it is made of."""
    source = next(path for path in sorted((folder / "emodb").rglob("08*.*")) if path.stem[5] == "N")
    samples, rate = soundfile.read(source, dtype="float32")
    soundfile.write(source.with_name(f"{NEW_CLIP}{source.suffix}"), np.float32(0.7) * samples, rate)


DRY_RUN = Question("dry run, all to do", goal=2.0, options=("--dry-run",))
DRY_AGAIN = Question("dry run, nothing to do", goal=2.0, options=("--dry-run",))
NOTHING = Question("nothing to do")
QUESTIONS = {
    "classical": {
        "dry_run": DRY_RUN,
        "cold": Question("all, from an empty folder", ratio=1.8),
        "nothing": NOTHING,
        "another": Question("another cost of the SVM", goal=12.0, change=change_cost),
        "clip": Question("one more clip", goal=15.0, change=add_clip),
        "dry_again": DRY_AGAIN,
    },
    "pretrained": {
        "dry_run": DRY_RUN,
        "cold": Question("all, from an empty folder", goal=90.0),
        "nothing": NOTHING,
        "another": Question("another classifier", goal=12.0, change=change_classifier),
        "clip": Question("one more clip", change=add_clip),
        "dry_again": DRY_AGAIN,
    },
}
"""Study -> what is asked of it, in this order."""

if __name__ == "__main__":
    main()

"""Time and memory that Snakemake needs for a study over large corpora: all jobs to do, and nothing to do.

The corpora are a table and as many tiny files; results are empty placeholders that claim to be what the study would make, so what
is measured is the listing of the corpus, the fingerprints, the graph, the comparison of claims, and no job. The floor is the same graph without corpora:
Snakemake alone. CPU seconds are shown beside those of the clock, which other work on the machine lengthens; the last
two questions are asked five times, and the median counts.

    python benchmarks/dag.py [--utterances 151654 1000000]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import yaml

from emoadapt.config import read_study
from emoadapt.schema import SUBSETS
from emoadapt.storage.claims import state_claim
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.tables import write_table
from emoadapt.storage.texts import describe_claim, write_claimed
from emoadapt.study.check.corpora import advise_shards
from emoadapt.study.graph import Graph
from emoadapt.study.origins import Origins

ROOT = Path(__file__).parents[1]
FILES_PER_FOLDER = 1000
REPORT = ("results/tables", "results/figures", "results/report/index.html")
EMOTIONS = ("anger", "happiness", "neutral", "sadness")
Call = tuple[str, float, float, float]
"""Output, seconds by the clock, CPU seconds and peak resident MB."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, nargs="+", default=[151_654, 1_000_000])
    parser.add_argument("--data", help="not used: the corpora are made")
    parser.add_argument("--models", help="not used")
    arguments = parser.parse_args()
    figures = {}
    print(f"{'utterances':>10} {'shards':>6} {'jobs':>6}  {'question':<34} {'s':>7} {'CPU s':>7} {'MB':>6}")
    for n in arguments.utterances:
        with tempfile.TemporaryDirectory(prefix="emoadapt-dag-") as folder:
            figures[str(n)] = measure(n, Path(folder))
    print(json.dumps({"benchmark": "dag", "utterances": figures}))


def measure(n: int, folder: Path) -> dict[str, float]:
    """Seconds and peak resident MB of a first dry run, a second one, and one with nothing to do; and Snakemake's part."""
    make_corpus(n, folder / "corpus")
    shards = advise_shards(n)
    (folder / "study.yaml").write_text(yaml.safe_dump(describe_study(folder / "corpus", shards)))
    figures: dict[str, float] = {"shards": shards}
    for key, question in (("first", "all to do, corpus never seen"), ("dry_run", "all to do")):
        output, *cost = snakemake(folder, "--dry-run")
        figures["jobs"] = count_jobs(output)
        record(figures, n, key, question, *cost)
    make_placeholders(output, folder)
    output, *cost = repeat(lambda: snakemake(folder, "--dry-run"))
    if "Nothing to be done" not in output:
        raise SystemExit(f"the placeholders were not taken as up to date:\n{output[-3000:]}")
    record(figures, n, "no_op", "nothing to do", *cost)
    make_bare_graph(folder, int(figures["jobs"]))
    output, *cost = repeat(lambda: snakemake(folder, "--dry-run", snakefile=folder / "bare.smk"))
    record(figures, n, "floor", "as many jobs without this workflow", *cost)
    return figures


def repeat(call: Callable[[], Call]) -> Call:
    """The call of median seconds by the clock, of five."""
    return sorted((call() for _ in range(5)), key=lambda made: made[1])[2]


def make_bare_graph(folder: Path, jobs: int) -> None:
    """A workflow of chains as long as those of a shard and no parameters: what Snakemake asks for whatever one does."""
    (folder / "bare.smk").write_text(
        f"""
rule all:
    input: expand("bare/8/{{n}}", n=range({jobs // 9})),
rule first:
    output: "bare/0/{{n}}",
    shell: "touch {{output}}"
for step in range(8):
    rule:
        name: f"step{{step}}"
        input: f"bare/{{step}}/{{{{n}}}}",
        output: f"bare/{{step + 1}}/{{{{n}}}}",
        shell: "touch {{output}}"
"""
    )
    for step in range(9):
        (folder / f"bare/{step}").mkdir(parents=True)
        for number in range(jobs // 9):
            (folder / f"bare/{step}/{number}").touch()
    snakemake(folder, "--touch", "--forceall", "--cores", "1", "--quiet", "all", snakefile=folder / "bare.smk")


def make_corpus(n: int, root: Path) -> None:
    """A table of n utterances with their files: some bytes each, never decoded here."""
    root.mkdir(parents=True)
    with (root / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "speaker", "emotion", "partition"])
        for number in range(n):
            folder = f"{number // FILES_PER_FOLDER:04d}"
            if number % FILES_PER_FOLDER == 0:
                (root / folder).mkdir()
            name = f"{folder}/clip_{number:07d}.wav"
            (root / name).write_bytes(b"%08d" % number)
            speaker = number % 1500
            part = ("train", "train", "train", "dev", "test")[speaker % 5]
            table.writerow([name, f"s{speaker:04d}", EMOTIONS[number % 4], part])


def describe_study(root: Path, shards: int) -> dict:
    """The whole chain on one large corpus, which is both unlabelled and labelled material."""
    columns = {"media": "file", "speaker": "speaker", "label": "emotion", "split": "partition"}
    return {
        "study": "large",
        "corpora": {
            "large": {
                "importer": "csv",
                "root": str(root),
                "file": "table.csv",
                "columns": columns,
                "shards": shards,
                "modalities": ["audio", "video"],
            }
        },
        "features": {
            "faces": {"detector": "haar"},
            "face_embedding": {"network": {"untrained": "tiny_cnn"}},
            "transcript": {"engine": "pocketsphinx"},
            "sentiment": {"engine": "vader"},
        },
        "backbones": {"wav2vec2": {"architecture": "wav2vec2", "untrained": {}, "cnn": "frozen"}},
        "adaptations": {"adapted": {"corpora": ["large"]}},
        "tasks": {
            "emotions": {
                "corpus": "large",
                "classes": list(EMOTIONS),
                "split": {"by": "official"},
                "subsets": [1000, 5000, 10000, "full"],
                "resamplings": 5,
            }
        },
        "finetunings": {"default": {"seeds": [0, 1, 2, 3, 4]}},
    }


def snakemake(folder: Path, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> Call:
    """Output, seconds by the clock, CPU seconds and peak resident MB of one call in the folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", "study.yaml"]
    begun = time.perf_counter()
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen([*command, *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        output.seek(0)
        text = output.read()
    if status:
        raise SystemExit(text[-3000:])
    return text, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * resource_unit()


def resource_unit() -> float:
    """Megabytes in one unit of `ru_maxrss`: kilobytes on Linux, bytes on macOS."""
    return 1 / 2**20 if sys.platform == "darwin" else 1 / 2**10


def count_jobs(output: str) -> int:
    """Jobs of a dry run, from its summary."""
    return int(re.findall(r"^total +(\d+)", output, re.MULTILINE)[-1])


def make_placeholders(output: str, folder: Path) -> None:
    """An empty table, folder or text for each output that a dry run names, which claims to be made as the study would make it."""
    names = [name for line in re.findall(r"^ {4}output: (.*)$", output, re.MULTILINE) for name in line.split(", ")]
    with chdir(folder):
        origins = Origins(Graph(read_study([Path("study.yaml")])))
        made: set[str] = set()
        for name in names:
            make_placeholder(name, origins, made)
    state_claim(None)


def make_placeholder(name: str, origins: Origins, made: set[str]) -> None:
    """An output, once there is all that it is made from."""
    if name in made:
        return
    made.add(name)
    path = Path(name)
    origin = origins.report() if name in REPORT else origins.find(name)
    for other in origin.list_inputs():
        make_placeholder(other, origins, made)
    origin.state(origin.made, origin.outside)
    if path.suffix == ".parquet":
        write_table(path, [], SUBSETS)
    elif path.suffix == ".html":
        write_claimed(path, f"<!-- {describe_claim()} -->")
    else:
        path.mkdir(parents=True)
        seal_folder(path)


def record(
    figures: dict[str, float], n: int, key: str, question: str, seconds: float, cpu: float, megabytes: float
) -> None:
    """Keep the figures of one question, and print its line of the table."""
    figures |= {f"{key}_seconds": seconds, f"{key}_cpu_seconds": cpu, f"{key}_megabytes": megabytes}
    shards, jobs = int(figures["shards"]), int(figures["jobs"])
    print(f"{n:>10,} {shards:>6} {jobs:>6}  {question:<34} {seconds:>7.1f} {cpu:>7.1f} {megabytes:>6.0f}", flush=True)


if __name__ == "__main__":
    main()

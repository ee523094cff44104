"""Failure drill: `kill -9` at random moments of a study, the same command again, and the tables compared byte for byte.

An undisturbed run is made first. Each trial begins from a copy of it in which a random number of jobs, in the order in which
they ended, is kept and everything that later jobs made is removed; so late moments cost little and are as likely as early ones.
Then the study is started, and killed some jobs and a random part of a second later: either Snakemake with all that it
started, or one running stage alone. The same command is run to its end, and once more dry, which must find nothing to do.

    python benchmarks/drill.py --kills 20 --seed 1 [--short] [--configfile my_study.yaml]

`lost` are jobs that were running when the kill came and were begun again; `redone` are jobs that had ended and were done
again all the same, which must not be. Everything is drawn from the seed, but which job runs at a moment also depends on
the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SHORT = Path(__file__).with_name("drill_short.yaml")
ATTEMPTS = 5
"""How often a trial is drawn anew because the study ended before the kill."""


@dataclass
class Job:
    """A job as Snakemake announced it.

    Args:
        name: its rule and wildcards.
        outputs: files and folders that it makes.
    """

    name: str
    outputs: list[str] = field(default_factory=list)


@dataclass
class Run:
    """What a Snakemake process said so far.

    Args:
        begun: jobs that were started, by number.
        ended: numbers of those that finished well, in that order.
    """

    begun: dict[str, Job] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    _job: Job = field(default_factory=lambda: Job(""))

    def hear(self, line: str) -> None:
        """Take one more line of Snakemake's output."""
        self.text.append(line)
        if match := re.match(r"(?:local)?rule (\w+):", line):
            self._job = Job(match[1])
        elif match := re.match(r" {4}output: (.*)", line):
            self._job.outputs = match[1].split(", ")
        elif match := re.match(r" {4}wildcards: (.*)", line):
            self._job.name += " " + " ".join(part.partition("=")[2] for part in match[1].split(", "))
        elif match := re.match(r" {4}jobid: (\d+)", line):
            self.begun.setdefault(match[1], self._job)  # named again when the job fails, after others began
        elif match := re.match(r"Finished jobid: (\d+)", line):
            self.ended.append(match[1])

    @property
    def finished(self) -> list[Job]:
        """Jobs that ended well, in that order, the target apart."""
        return [self.begun[number] for number in self.ended if self.begun[number].name != "all"]

    @property
    def unfinished(self) -> set[str]:
        """Names of jobs that were begun and did not end well."""
        return {job.name for number, job in self.begun.items() if number not in set(self.ended)}


class Study:
    """Snakemake in a folder of its own.

    Args:
        folder: the working directory.
        project: a copy of the project, so that an edit of a source file meanwhile makes nothing stale.
        configfiles: as given to Snakemake; none for the demo.
        cores: for Snakemake.
    """

    def __init__(self, folder: Path, project: Path, configfiles: list[Path], cores: int) -> None:
        self.folder, self.project, self.configfiles, self.cores = folder, project, configfiles, cores
        self.run = Run()
        self._heard = threading.Condition()
        self._closed = False

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake in a session of its own and listen to it."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.project / "Snakefile"), *arguments]
        command += ["--cores", str(self.cores), "--resources", "gpu=1"]
        if self.configfiles:
            command += ["--configfile", *map(str, self.configfiles)]
        self.run, self._closed = Run(), False
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._heard:
                self.run.hear(line.rstrip("\n"))
                self._heard.notify_all()
        with self._heard:
            self._closed = True
            self._heard.notify_all()

    def await_jobs(self, count: int, seconds: float) -> bool:
        """Return when so many jobs ended, and so many seconds after that; False if Snakemake ended before."""
        with self._heard:
            self._heard.wait_for(lambda: self._closed or len(self.run.ended) >= count)
            return not self._heard.wait_for(lambda: self._closed, timeout=seconds)

    def await_end(self) -> None:
        """Return when Snakemake and all that holds its output ended."""
        with self._heard:
            self._heard.wait_for(lambda: self._closed)

    def complete(self) -> float:
        """Run to the end.

        Returns:
            Seconds.

        Raises:
            SystemExit: Snakemake failed.
        """
        begun = time.perf_counter()
        code = self.start().wait()
        self.await_end()
        if code:
            raise SystemExit("\n".join(self.run.text[-60:]))
        return time.perf_counter() - begun

    def has_nothing_to_do(self) -> bool:
        """Whether a dry run finds all up to date."""
        self.start("--dry-run").wait()
        self.await_end()
        return any("Nothing to be done" in line for line in self.run.text)

    def read_tables(self) -> dict[str, bytes]:
        """Content of every table of the report."""
        return {path.name: path.read_bytes() for path in sorted((self.folder / "results/tables").iterdir())}

    def count_parts(self) -> int:
        """Half-written files that are still there."""
        return sum(1 for path in (self.folder / "results").rglob("*") if path.name.endswith(".part"))


def main() -> None:
    """Drill and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--short", action="store_true", help="the shortened demo study, drill_short.yaml")
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="another study than the demo")
    parser.add_argument("--data", help="not used: the demo makes its corpora")
    parser.add_argument("--models", help="not used")
    arguments = parser.parse_args()
    configfiles = [SHORT] if arguments.short else [path.absolute() for path in arguments.configfile]
    study = " ".join(path.name for path in configfiles) or "config.yaml (the demo)"
    with tempfile.TemporaryDirectory(prefix="emoadapt-drill-") as folder:
        figures = drill(Path(folder), configfiles, study, arguments.kills, arguments.seed, arguments.cores)
    print(json.dumps({"benchmark": "drill", "study": study, "seed": arguments.seed, **figures}))
    if min(figures["identical"], figures["up_to_date"]) < arguments.kills or figures["redone"] or figures["parts_left"]:
        sys.exit(1)


def drill(folder: Path, configfiles: list[Path], study: str, kills: int, seed: int, cores: int) -> dict[str, Any]:
    """All trials; prints a line for each."""
    project = copy_project(folder / "project")
    reference = Study(folder / "reference", project, configfiles, cores)
    reference.folder.mkdir()
    seconds = reference.complete()
    jobs, tables = reference.run.finished, reference.read_tables()
    print(f"{study}: undisturbed {len(jobs)} jobs in {seconds:.0f} s, {len(tables)} tables; seed {seed}", flush=True)
    print(
        f"{'kill':>4} {'kept':>5} {'moment':<18} {'killed':<9} {'lost':>4} {'redone':>6} {'s':>5} {'tables':<9} job",
        flush=True,
    )
    trials = []
    for number in range(1, kills + 1):
        rng = np.random.default_rng([seed, number])
        trial = try_kill(Study(folder / "trial", project, configfiles, cores), reference.folder, jobs, tables, rng)
        trials.append(trial)
        print(
            f"{number:>4} {trial['kept']:>5} {trial['moment']:<18} {trial['killed']:<9} {trial['lost']:>4} {trial['redone']:>6} "
            f"{trial['seconds']:>5.0f} {describe(trial):<9} {trial['job']}",
            flush=True,
        )
    return {
        "jobs": len(jobs),
        "undisturbed_seconds": round(seconds, 1),
        "kills": kills,
        "identical": sum(trial["identical"] for trial in trials),
        "up_to_date": sum(trial["up_to_date"] for trial in trials),
        "lost": sum(trial["lost"] for trial in trials),
        "redone": sum(trial["redone"] for trial in trials),
        "parts_left": sum(trial["parts_left"] for trial in trials),
        "rerun_seconds": round(sum(trial["seconds"] for trial in trials), 1),
    }


def describe(trial: dict[str, Any]) -> str:
    """What became of the tables, and which of them are other ones."""
    tables = "identical" if trial["identical"] else f"DIFFER ({', '.join(trial['differing'])})"
    return tables + ("" if trial["up_to_date"] else ", not up to date")


def copy_project(folder: Path) -> Path:
    """Code and rules as they are now."""
    for name in ("src", "rules", "profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def try_kill(
    study: Study, reference: Path, jobs: list[Job], tables: dict[str, bytes], rng: np.random.Generator
) -> dict[str, Any]:
    """One kill and the run after it."""
    for _ in range(ATTEMPTS):
        kept = int(rng.integers(len(jobs)))
        more, delay = int(rng.integers(min(len(jobs) - kept, 8))), float(rng.uniform(0, 4))
        alone = bool(rng.integers(2))
        copy_part(reference, study.folder, jobs, kept)
        process = study.start()
        if study.await_jobs(more, delay) and (victims := kill(process, alone, rng)):
            break
        process.wait()
    else:
        raise SystemExit(f"the study ended before the kill, {ATTEMPTS} times")
    process.wait()
    study.await_end()
    before = study.run
    ended = {job.name for job in before.finished}
    seconds = study.complete()
    again = {job.name for job in study.run.finished}
    found = study.read_tables()
    return {
        "kept": kept,
        "moment": f"{more} jobs + {delay:.1f} s",
        "killed": "stage" if alone else "snakemake",
        "job": ", ".join(victims),
        "lost": len(before.unfinished & again),
        "redone": len((ended | {job.name for job in jobs[:kept]}) & again),
        "seconds": seconds,
        "identical": found == tables,
        "differing": sorted(name for name in found.keys() | tables.keys() if found.get(name) != tables.get(name)),
        "up_to_date": study.has_nothing_to_do(),
        "parts_left": study.count_parts(),
    }


def copy_part(reference: Path, folder: Path, jobs: list[Job], kept: int) -> None:
    """Copy a finished study, times included, without what all but the first `kept` jobs made."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(reference, folder, symlinks=True)
    for path in (folder / ".snakemake/locks").glob("*"):
        path.unlink()
    for job in jobs[kept:]:
        for name in job.outputs:
            remove_output(folder, Path(name))


def remove_output(folder: Path, output: Path) -> None:
    """Remove what a job made, rows kept for the next run and generated media included."""
    path = folder / output
    if path.is_dir():
        shutil.rmtree(path)
        return
    if output.parts[1] == "demo":
        stamp = json.loads(path.read_text())
        for media in (folder / "results/demo/media").rglob("*"):
            if media.is_file() and any(media.as_posix().endswith(f"/{name}") for name in stamp):
                media.unlink()
    for row in (path.parent / ".rows").glob(f"{path.stem}.*"):
        row.unlink()
    path.unlink(missing_ok=True)


def kill(process: subprocess.Popen[str], alone: bool, rng: np.random.Generator) -> list[str]:
    """`kill -9`; returns the stages that ran, or nothing if the study ended before one did."""
    while process.poll() is None:
        # What is seen must still be there when it is killed: all is stopped in between.
        members = list(find_session(process.pid))
        for pid in members:
            send(pid, signal.SIGSTOP)
        stages = {pid: name for pid in find_session(process.pid) if (name := read_stage(pid))}
        if stages or not alone:
            chosen = [int(rng.choice(sorted(stages)))] if alone else list(find_session(process.pid))
            for pid in chosen:
                send(pid, signal.SIGKILL)
            for pid in find_session(process.pid):
                send(pid, signal.SIGCONT)
            names = [stages[pid] for pid in chosen if pid in stages]
            return list(dict.fromkeys(names)) or ["between two jobs"]
        for pid in members:
            send(pid, signal.SIGCONT)
        time.sleep(0.05)
    return []


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def find_session(leader: int) -> Iterator[int]:
    """Processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                yield int(entry.name)


def read_stage(pid: int) -> str:
    """What a process computes, such as `extract audio demo_clips`; empty if it is not a stage's main process."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    if words[1:3] != ["-m", "emoadapt"]:
        return ""
    return " ".join(word for word in words[3:7] if word and not word.startswith("-"))


if __name__ == "__main__":
    main()

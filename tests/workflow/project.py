"""A copy of the project with two tiny corpora, and the jobs that Snakemake would run in it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).parents[2]
SPEAKERS, CLIPS = 6, 8


def make_tone(seed: int, pitch: float) -> np.ndarray:
    """0.6 s of a tone with noise, 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(9600) / 16000
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.05 * rng.standard_normal(time.size)


def small_study() -> dict:
    """Everything the DAG has, except what needs video: one objective, one backbone, one task."""
    return {
        "study": "small",
        "device": "cpu",
        "training_threads": 1,
        "runs_per_job": 6,
        "corpora": {
            "unlabelled": {
                "importer": "folder",
                "root": "media/unlabelled",
                "shards": 2,
                "speaker_pattern": r"s(?P<speaker>\d)_",
            },
            "labelled": {
                "importer": "csv",
                "root": "media/labelled",
                "file": "labels.csv",
                "columns": {"media": "file", "speaker": "speaker", "label": "emotion"},
                "shards": 2,
            },
        },
        "backbones": {
            "tiny": {
                "architecture": "wav2vec2",
                "untrained": {
                    "conv_dim": [16, 16, 16, 16, 16],
                    "hidden_size": 16,
                    "layers": 1,
                    "heads": 2,
                    "intermediate_size": 16,
                    "conv_pos_kernel": 4,
                    "conv_pos_groups": 2,
                },
            },
            "egemaps": {"architecture": "vector", "reads": "egemaps"},
        },
        "adaptations": {
            "adapted": {"corpora": ["unlabelled"], "objectives": {"egemaps": 1.0}, "epochs": 4, "learning_rate": 1e-3}
        },
        "tasks": {
            "emotions": {
                "corpus": "labelled",
                "classes": ["low", "high"],
                "split": {"by": "folds", "k": 3},
                "subsets": [12, "full"],
            }
        },
        "finetunings": {
            "default": {"backbones": ["tiny"], "seeds": [0, 1], "epochs": 2, "learning_rate": 1e-3},
            "mlp": {"backbones": ["egemaps"], "seeds": [0, 1], "epochs": 5, "learning_rate": 1e-3, "head_hidden": 768},
        },
        "report": {"bootstrap": 100, "baseline": "egemaps.original.mlp"},
    }


@dataclass
class Project:
    """A copy of the project in a folder of its own."""

    root: Path

    def snakemake(self, *arguments: str, configfile: str | None = "small.yaml") -> subprocess.CompletedProcess[str]:
        """Run Snakemake as a user would; without a configuration file it runs the demo."""
        return run_snakemake(self._command(*arguments, configfile=configfile), self.root, self._environment())

    def _command(self, *arguments: str, configfile: str | None = "small.yaml") -> list[str]:
        options = ["--cores", "2", "--resources", "gpu=1", *(["--configfile", configfile] if configfile else [])]
        return [sys.executable, "-m", "snakemake", *arguments, *options]

    def _environment(self) -> dict[str, str]:
        drop = ("EMOADAPT_", "PYTHONPATH")
        return {name: value for name, value in os.environ.items() if not name.startswith(drop)}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own."""
        return subprocess.Popen(
            self._command(*arguments), cwd=self.root, env=self._environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def kill_when(self, log: str, text: str) -> None:
        """Start Snakemake and `kill -9` it with all its jobs as soon as a line with `text` is in a log."""
        path = self.root / log
        path.unlink(missing_ok=True)
        process = self.start()
        try:
            self.await_line(log, text, process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "Snakemake ended before it was killed"

    def find_job(self, process: subprocess.Popen[bytes], stage: str) -> int:
        """Process of a stage that Snakemake runs."""
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[1:4] == [b"-m", b"emoadapt", stage.encode()] and os.getsid(int(entry.name)) == process.pid:
                    return int(entry.name)
        raise AssertionError(f"no job of {stage} is running")

    def await_line(self, log: str, text: str, process: subprocess.Popen[bytes]) -> None:
        """Return as soon as a line with `text` is in a log; fail if the process ends before.

        Waits by reading, not by sleeping: `tail` hands over each line when it is written.
        """
        follow = ["tail", "--follow=name", "--retry", "--lines=+1", str(self.root / log)]
        with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
            assert tail.stdout is not None
            threading.Thread(target=lambda: (process.wait(), tail.kill()), daemon=True).start()
            seen = any(text in line for line in tail.stdout)
            tail.kill()
        assert seen, f"Snakemake ended before {log} said {text!r}"

    def run(self, configfile: str | None = "small.yaml") -> str:
        """Bring all up to date."""
        done = self.snakemake(configfile=configfile)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def jobs(self, *arguments: str, configfile: str | None = "small.yaml") -> set[str]:
        """What a dry run would do, as `rule` or `rule wildcard=value ...`; the target `all` is left out."""
        done = self.snakemake("--dry-run", *arguments, configfile=configfile)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        found = set()
        for block in re.split(r"\n(?=rule )", text):
            if match := re.match(r"rule (\w+):", block):
                wildcards = re.search(r"^ {4}wildcards: (.*)$", block, re.MULTILINE)
                if match[1] != "all":
                    found.add(f"{match[1]} {wildcards[1].replace(',', '')}" if wildcards else match[1])
        return found

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text in a file, which must be there."""
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{path} no longer holds {old!r}"
        file.write_text(text.replace(old, new))

    def add_clip(self, name: str, seed: int = 99) -> None:
        """One more unlabelled clip."""
        soundfile.write(self.root / "media/unlabelled" / name, make_tone(seed, 330), 16000, subtype="PCM_16")

    def forget(self, *names: str) -> None:
        """Remove results, to be made again; the report among them, or nothing would ask for the others."""
        for name in names:
            path = self.root / "results" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def forget_shard(self, shard: str) -> None:
        """Remove all that was computed of an unlabelled shard, with its rows, and what follows from it as far as the report."""
        found = [path for path in (self.root / "results").rglob(f"{shard}.*") if "unlabelled" in path.parts]
        assert found
        for path in found:
            path.unlink()
        self.forget("models", "runs/emotions/tiny.adapted", "metrics", "tables", "report", "quarantine.parquet")

    def tables(self) -> dict[str, bytes]:
        """Content of every table of the report."""
        return {path.name: path.read_bytes() for path in sorted((self.root / "results/tables").iterdir())}

    def shard(self, corpus: str, utterance: str) -> str:
        """Shard name of an utterance."""
        from emoadapt.flow.shards import assign_shard

        return f"{assign_shard(f'{corpus}/{utterance}', small_study()['corpora'][corpus]['shards']):03d}"


def run_snakemake(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python -m snakemake ...` in a process of its own, forked from one that has imported Snakemake and nothing of ours.

    That spares the second of CPU time that the import takes; there are more than a hundred such runs.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli", "project"])
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        process = context.Process(target=_become_snakemake, args=(command[3:], folder, environment, out.name, err.name))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(command, process.exitcode, out.read(), err.read())


def _become_snakemake(
    arguments: list[str], folder: Path, environment: dict[str, str], out_path: str, err_path: str
) -> None:
    from snakemake.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((out_path, 1), (err_path, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    sys.path[:] = [str(folder), *(path for path in sys.path if not path.startswith(str(ROOT / "src")))]
    sys.argv = [str(Path(sys.executable).with_name("snakemake")), *arguments]
    # What the Snakefile leaves for the end of the process; those of the process that this one was forked from are not its own.
    atexit._clear()
    try:
        main()
    finally:
        atexit._run_exitfuncs()


def copy_sources(root: Path) -> Project:
    """Copy what Snakemake needs of the project."""
    for name in ("src", "rules", "profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, root / name)
    return Project(root)


def create_project(root: Path) -> Project:
    """Copy the project and make its corpora."""
    copy_sources(root)
    (root / "small.yaml").write_text(yaml.safe_dump(small_study(), sort_keys=False))
    for folder in ("unlabelled", "labelled"):
        (root / "media" / folder).mkdir(parents=True)
    rows = ["file,speaker,emotion"]
    for speaker in range(SPEAKERS):
        for clip in range(CLIPS):
            seed = speaker * CLIPS + clip
            pitch = 150 + 200 * (clip % 2) + 5 * speaker
            soundfile.write(
                root / f"media/unlabelled/s{speaker}_{clip}.wav", make_tone(seed, pitch), 16000, subtype="PCM_16"
            )
            soundfile.write(
                root / f"media/labelled/t{speaker}_{clip}.wav", make_tone(seed + 500, pitch), 16000, subtype="PCM_16"
            )
            rows.append(f"t{speaker}_{clip}.wav,t{speaker},{'high' if clip % 2 else 'low'}")
    (root / "media/labelled/labels.csv").write_text("\n".join(rows) + "\n")
    return Project(root)

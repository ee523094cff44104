"""A fine-tuning by this project and by the Hugging Face Trainer, for `gpu.py` and `training.py`.

Both sides train the same model with random weights on the same clips, in batches of the same size, with AdamW, a linear schedule
and clipped gradients; LayerDrop and SpecAugment are off. Ours is the job that a study's rule starts: `keep_shard` for the output of
the frozen CNN encoder, then `run_job`. Theirs is `transformers.Trainer` with its defaults; its clips are normalised beforehand, so
that only padding is left to do. The training part of all epochs but the first is measured, whole epochs at a time.

The clips are noise: speed depends on their lengths, which are drawn like those of speech corpora.
"""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 16_000
CLASSES = tuple("abcd")
"""Labels are made up: what is measured does not depend on them."""
BASE = {
    "conv_dim": [512] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "hidden_size": 768,
    "layers": 12, "heads": 12, "intermediate_size": 3072, "conv_pos_kernel": 128, "conv_pos_groups": 16,
    "feat_extract_norm": "group",
}  # fmt: skip
"""Dimensions of wav2vec2-base, 94 million parameters."""
TINY = {
    "conv_dim": [8, 8, 16, 16, 16], "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "conv_pos_kernel": 8,
    "conv_pos_groups": 2,
}  # fmt: skip
MEDIAN, SPREAD, SHORTEST, LONGEST = 4.0, 0.55, 1.0, 15.0
"""Lengths in s are log-normal within limits: 4.6 s in the mean, as in IEMOCAP; MSP-Podcast has 5.7, RAVDESS 3.7."""
LOOKS_MS = 100


def draw_lengths(n: int, seconds: float = MEDIAN) -> np.ndarray:
    """Lengths of `n` clips in samples."""
    drawn = np.random.default_rng(0).lognormal(np.log(seconds), SPREAD, n)
    return (drawn.clip(SHORTEST * seconds / MEDIAN, LONGEST) * SAMPLE_RATE).astype(int)


@dataclass(frozen=True)
class Bench:
    """A study with the tables that the stages before its trainings would leave.

    Args:
        folder: of its files.
        shape: dimensions of the backbone, `BASE` or `TINY`.
        n_train: training clips; there are a batch of development clips, and one of test clips.
        device: `cpu` or `cuda`.
        settings: of the fine-tuning: epochs, batch_size, precision.
        seconds: median length of the clips.
    """

    folder: Path
    shape: Mapping[str, Any]
    n_train: int
    device: str
    settings: Mapping[str, Any]
    seconds: float = MEDIAN
    study: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_samples(self) -> np.ndarray:
        """Lengths of the training clips."""
        return draw_lengths(self.n_train, self.seconds)

    @property
    def audio_seconds(self) -> float:
        """Length of an epoch."""
        return float(self.n_samples.sum() / SAMPLE_RATE)

    def load_study(self, **settings: Any) -> Any:
        """The configuration; `settings` change those of the fine-tuning."""
        from emoadapt.config import load_study

        usual = {"optimizer": "adamw", "schedule": "linear", "gradient_clip": 1.0, "seeds": [0]}
        return load_study(
            {
                "study": "benchmark", "device": self.device, "code": "version",
                "corpora": {"clips": {"importer": "folder", "root": "."}},
                "backbones": {"base": {"architecture": "wav2vec2", "untrained": dict(self.shape), "cnn": "frozen"}},
                "tasks": {"emotion": {"corpus": "clips", "classes": list(CLASSES), "split": {"by": "folds", "k": 3}}},
                "finetunings": {"default": usual | {**self.settings} | settings},
                **self.study,
            }
        )  # fmt: skip

    def write_tables(self) -> None:
        """Write clips and splits."""
        from emoadapt import schema
        from emoadapt.storage.tables import write_table

        random, size = np.random.default_rng(1), self.settings["batch_size"]
        lengths = [*self.n_samples, *draw_lengths(2 * size, self.seconds)]
        parts = ["train"] * self.n_train + ["dev"] * size + ["test"] * size
        audio, splits = [], []
        for number, (length, part) in enumerate(zip(lengths, parts, strict=True)):
            name = f"clips/{number:05}"
            samples = (3000 * random.standard_normal(length, dtype=np.float32)).astype("<i2")
            audio.append(
                {"utterance_id": name, "key": "-", "status": "ok", "audio": samples.tobytes(), "n_samples": int(length)}
            )
            row = {"utterance_id": name, "label": CLASSES[number % len(CLASSES)], "partition": 0, "fold": 0}
            splits.append(row | {"corpus": "clips", "speaker": name, "split": part})
        write_table(self.audio, audio, schema.feature_table("audio"))
        write_table(self.folder / "splits.parquet", splits, schema.SPLITS)

    @property
    def audio(self) -> Path:
        """Shard of all clips."""
        return self.folder / "audio.parquet"

    def open_job(self, name: str, *, cached: bool, **settings: Any) -> Any:
        """A job of one run."""
        from emoadapt.study.nodes import Model, Run, Setting
        from emoadapt.training.jobs import TaskJob

        study, shards = self.load_study(**settings), {"audio": {"clips": [self.audio]}}
        if cached:
            shards["frontend.base"] = {"clips": [self.folder / "frontend.parquet"]}
        splits = [self.folder / "splits.parquet"]
        setting = Setting("emotion", Model("base"), "full")
        return TaskJob(study, "base", "original", shards, self.folder / name, self.threads, setting, [Run()], splits)

    @property
    def threads(self) -> int:
        """Beside a GPU as many as a study gives to a training; on a CPU one, whose seconds are compared."""
        from emoadapt.machine.devices import fit_threads

        return fit_threads(4) if self.device == "cuda" else 1


def keep_front_end(bench: Bench) -> dict[str, float]:
    """Compute the output of the CNN encoder for all clips, as the rule does once for a study."""
    from emoadapt.extraction.kept import keep_shard

    read = time.process_time if bench.device == "cpu" else time.perf_counter
    begun = read()
    keep_shard(
        bench.load_study(),
        "frontend",
        "base",
        None,
        {"audio": bench.audio},
        bench.folder / "frontend.parquet",
        "-",
        "-",
        bench.threads,
    )
    return {"rate": bench.audio_seconds / (read() - begun)}


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


class Stopwatch:
    """Time of the training part of all epochs but the first, and the share of it in which the GPU was busy.

    Args:
        device: `cpu`: CPU seconds of the process; `cuda`: seconds by the clock.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.epochs = -1
        self.seconds = 0.0
        self._begun = 0.0
        self._looks = Looks(device)

    def begin(self) -> None:
        """An epoch begins."""
        self.epochs += 1
        if self.epochs == 1:
            self._looks.begin()
        self._begun = self._read()

    def end(self) -> None:
        """Its last batch is done."""
        self.seconds += self._read() - self._begun if self.epochs else 0.0

    def report(self, bench: Bench) -> dict[str, Any]:
        """Audio seconds per second, useful operations per second, share of time the GPU is busy, memory in GiB."""
        audio = bench.audio_seconds * self.epochs
        operations = self.epochs * sum(count_operations(int(n), bench.shape) for n in bench.n_samples)
        found = {"rate": audio / self.seconds, "operations": operations / self.seconds, "busy": self._looks.end()}
        steps = -(-bench.n_train // bench.settings["batch_size"]) * self.epochs
        if self.device == "cuda":
            import torch

            found["memory"] = torch.cuda.max_memory_allocated() / 2**30
        return found | {"step": self.seconds / steps}

    def _read(self) -> float:
        synchronise(self.device)
        return time.process_time() if self.device == "cpu" else time.perf_counter()


class Looks:
    """Share of time in which a kernel runs on the GPU, as the driver counts it, read every tenth of a second."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._process: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Begin to look."""
        if self._device == "cuda":
            command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"-lms={LOOKS_MS}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self) -> float | None:
        """The mean so far; None where there is no GPU, or it gives no number."""
        if self._process is None:
            return None
        self._process.terminate()
        text, _ = self._process.communicate()
        shares = [float(line) for line in text.split() if line.isdigit()]
        return float(np.mean(shares)) / 100 if shares else None


@contextmanager
def watched(watcher: Any) -> Iterator[None]:
    """Let the trainings inside call a watcher: jobs have no setting that adds one."""
    from emoadapt.training import finetuning

    usual = finetuning.Trainer

    def build(*args: Any, **keywords: Any) -> Any:
        trainer = usual(*args, **keywords)
        trainer.watchers.append(watcher)
        return trainer

    finetuning.Trainer = build
    try:
        yield
    finally:
        finetuning.Trainer = usual


def train_ours(bench: Bench, name: str, *, cached: bool, **settings: Any) -> dict[str, Any]:
    """Train by a job of ours; see `Stopwatch.report`.

    Args:
        bench: has the front end's output if it is `cached`.
        name: of the output.
        cached: whether the front end's output is read; else the front end runs in every step.
        settings: of the fine-tuning.
    """
    from emoadapt.training.jobs import run_job
    from emoadapt.training.watchers import Watcher

    clock = Stopwatch(bench.device)

    class Watch(Watcher):
        def begin_training(self, learner: Any, optimizer: Any, n_batches: int) -> None:
            self.position, self.n_batches = learner.position, n_batches

        def begin_epoch(self) -> None:
            clock.begin()

        def end_batch(self) -> None:
            if self.position.batch == self.n_batches:
                clock.end()

    with watched(Watch()):
        run_job(bench.open_job(name, cached=cached, **settings), int(bench.device == "cuda"))
    return clock.report(bench)


def train_theirs(bench: Bench) -> dict[str, Any]:
    """Train by the Trainer; see `Stopwatch.report`."""
    import pyarrow.parquet as pq
    import torch
    from transformers import (
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForSequenceClassification,
    )

    from emoadapt.backbones.base import load_backbone

    study, clock = bench.load_study(), Stopwatch(bench.device)
    if bench.device == "cpu":
        torch.set_num_threads(bench.threads)
    config = load_backbone(study.backbones["base"], study.weights_folder).model.config
    config.num_labels = len(CLASSES)
    model = Wav2Vec2ForSequenceClassification(config)
    model.freeze_feature_encoder()
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    clips = pq.read_table(bench.audio, columns=["audio"]).column(0).to_pylist()[: bench.n_train]
    rows = [
        {
            "input_values": extractor(np.frombuffer(clip, "<i2").astype(np.float32) / 32768, sampling_rate=SAMPLE_RATE)[
                "input_values"
            ][0],
            "labels": number % len(CLASSES),
        }
        for number, clip in enumerate(clips)
    ]

    class Watch(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            clock.end()

    settings = TrainingArguments(
        str(bench.folder / "theirs"), num_train_epochs=bench.settings["epochs"],
        per_device_train_batch_size=bench.settings["batch_size"], use_cpu=bench.device == "cpu",
        bf16=bench.settings["precision"] == "bf16-mixed", report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip

    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(extractor.pad(batch, padding="longest", return_tensors="pt"))

    trainer = Trainer(model, settings, collate, rows, callbacks=[Watch()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.report(bench)


def count_operations(n_samples: int, shape: Mapping[str, Any]) -> float:
    """Floating-point operations of a training step of the transformer on one clip, unpadded.

    A multiplication and an addition are two. Counted are the matrix products and the convolution over positions of a forward pass,
    times three, as a backward pass has twice as many. Not counted are the frozen CNN encoder, the head, and all that is no product.
    """
    width, inner, layers = shape["hidden_size"], shape["intermediate_size"], shape["layers"]
    frames = n_samples // np.prod(shape.get("conv_stride", (5, 4, 4, 2, 2)))
    positions = 2 * shape["conv_pos_kernel"] * width * width / shape["conv_pos_groups"]
    per_frame = layers * 2 * (4 * width**2 + 2 * width * inner) + positions + 2 * shape["conv_dim"][-1] * width
    return 3 * (frames * per_frame + layers * 4 * frames**2 * width)


class ChildError(RuntimeError):
    """A child process failed, or was ended."""


def fork(function: Callable[..., Any], *args: Any, **keywords: Any) -> tuple[Any, Connection]:
    """Start a function in a forked process, which has the imports of this one, and no GPU context.

    Returns:
        The process, and the end of a pipe that brings `{"found": result}` or `{"failed": message}`, and before that what the
        function gives to its argument `report`, if it has one.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, function, args, keywords))
    process.start()
    there.close()
    return process, here


def _run(pipe: Connection, function: Callable[..., Any], args: Iterable[Any], keywords: Mapping[str, Any]) -> None:
    # Libraries may print.
    os.dup2(2, 1)
    if "report" in inspect.signature(function).parameters:
        keywords = {**keywords, "report": pipe.send}
    try:
        pipe.send({"found": function(*args, **keywords)})
    except BaseException as error:
        traceback.print_exc()
        lines = str(error).splitlines()
        pipe.send({"failed": f"{type(error).__name__}: {lines[0] if lines else 'no message'}"})


def call_apart(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Call a function in a forked process.

    Raises:
        ChildError: it raised an error, or ended without an answer.
    """
    process, pipe = fork(function, *args, **keywords)
    try:
        answer = pipe.recv()
    except EOFError:
        answer = {}
    process.join()
    if "found" in answer:
        return answer["found"]
    raise ChildError(answer.get("failed", f"the process ended with exit status {process.exitcode}"))


def print_table(rows: Iterable[tuple[str, ...]]) -> None:
    """Rows in columns."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def dump(figures: Any) -> str:
    """One line of JSON."""
    return json.dumps(figures, default=float)

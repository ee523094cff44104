"""CPU seconds of a head on descriptors: this package against a plain PyTorch loop of the same.

EmoDB's eGeMAPS means (or random vectors of its size, without EMOADAPT_DATA), 7 classes, batches of 32, 100 epochs, a head of
width 25. Both choose the epoch by macro-F1 on the dev part. Each fit is the second of its process, so that starting costs nothing.

    python benchmarks/descriptors.py [--data DIR]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS, BATCH, CLASSES, RATE = 100, 32, 7, 1e-3
FITS = 3


def read_clips(data: Path | None) -> dict[str, tuple[np.ndarray, str]]:
    """Utterance -> (vector (25,), class) of EmoDB, or drawn."""
    if data is None:
        random = np.random.default_rng(0)
        return {f"emodb/{i:03}": (random.normal(i % CLASSES, 3, 25), f"c{i % CLASSES}") for i in range(535)}
    import soundfile

    from emoadapt.features.base import Context
    from emoadapt.features.egemaps import Config, load

    files = sorted(Path(data, "emodb").rglob("*.flac"))
    rows = [{"audio": soundfile.read(file, dtype="int16")[0].tobytes()} for file in files]
    results = load(Config(), Context(Path())).extract(rows)
    # The sixth letter of a name is the emotion.
    return {f"emodb/{file.stem}": (row["egemaps"], file.stem[5]) for file, row in zip(files, results, strict=True)}


def write_job(clips: dict[str, tuple[np.ndarray, str]], folder: Path) -> Any:
    """A job of two runs, whose split is every fifth clip for dev and for test."""
    from emoadapt import schema
    from emoadapt.config import load_study
    from emoadapt.storage.tables import write_table
    from emoadapt.study.nodes import Model, Run, Setting
    from emoadapt.training.jobs import TaskJob

    classes = sorted({label for _, label in clips.values()})
    vectors = [
        {"utterance_id": name, "key": "k", "status": "ok", "egemaps": [float(x) for x in vector]}
        for name, (vector, _) in clips.items()
    ]
    splits = [
        {"utterance_id": name, "corpus": "emodb", "speaker": str(place), "label": label, "partition": 0, "fold": 0}
        | {"split": {0: "test", 1: "dev"}.get(place % 5, "train")}
        for place, (name, (_, label)) in enumerate(clips.items())
    ]
    write_table(folder / "egemaps.parquet", vectors, schema.feature_table("egemaps"))
    write_table(folder / "splits.parquet", splits, schema.SPLITS)
    study = load_study(
        {
            "study": "benchmark",
            "device": "cpu",
            "corpora": {"emodb": {"importer": "folder", "root": "."}},
            "backbones": {"egemaps": {"architecture": "vector", "reads": "egemaps"}},
            "tasks": {"emotion": {"corpus": "emodb", "classes": classes, "split": {"by": "fractions"}}},
            "finetunings": {"default": {"epochs": EPOCHS, "learning_rate": RATE, "batch_size": BATCH}},
        }
    )
    runs = [Run(seed=seed) for seed in range(1 + FITS)]
    model = Model("egemaps", "original", "default")
    shards = {"egemaps": {"emodb": [folder / "egemaps.parquet"]}}
    return TaskJob(
        study, "egemaps", "original", shards, folder / "out", 1, Setting("emotion", model, "full"), runs,
        [folder / "splits.parquet"],
    )  # fmt: skip


def time_ours(job: Any) -> list[float]:
    """CPU seconds of each fit."""
    from emoadapt.training import finetuning, runs

    marks = []
    kept = runs.RunTables.add_curve

    def add(self: Any, run: Any, curve: Any) -> None:
        marks.append(time.process_time())
        kept(self, run, curve)

    runs.RunTables.add_curve = add  # type: ignore[method-assign]
    finetuning.finetune(job)
    return np.diff(marks).tolist()


def time_plain(clips: dict[str, tuple[np.ndarray, str]]) -> list[float]:
    """CPU seconds of each fit of the same by a loop as one writes it."""
    import torch
    from sklearn.metrics import f1_score
    from torch import nn

    labels = {label: place for place, label in enumerate(sorted({label for _, label in clips.values()}))}
    x = torch.tensor(np.array([vector for vector, _ in clips.values()]), dtype=torch.float32)
    y = torch.tensor([labels[label] for _, label in clips.values()])
    place = torch.arange(len(x)) % 5
    x = (x - x[place > 1].mean(0)) / x[place > 1].std(0, correction=0)
    x_train, y_train, x_dev, y_dev = x[place > 1], y[place > 1], x[place == 1], y[place == 1]
    seconds = []
    for seed in range(FITS):
        began = time.process_time()
        torch.manual_seed(seed)
        head = nn.Sequential(nn.Linear(25, 25), nn.ReLU(), nn.Linear(25, len(labels)))
        optimizer = torch.optim.Adam(head.parameters(), lr=RATE)
        best, state = -1.0, {}
        for _ in range(EPOCHS):
            for part in torch.randperm(len(x_train)).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(x_train[part]), y_train[part]).backward()
                optimizer.step()
            with torch.no_grad():
                score = f1_score(y_dev, head(x_dev).argmax(1), average="macro")
            if score > best:
                best, state = score, {name: value.clone() for name, value in head.state_dict().items()}
        head.load_state_dict(state)
        seconds.append(time.process_time() - began)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOADAPT_DATA"), help="folder of the corpora")
    parser.add_argument("--keep", type=Path, help="keep the output of the job in this folder")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    clips = read_clips(arguments.data)
    with tempfile.TemporaryDirectory() as scratch:
        job = write_job(clips, arguments.keep or Path(scratch))
        ours, plain = min(time_ours(job)), min(time_plain(clips)[1:])
    print(
        f"CPU s a fit of {len(clips)} clips, {EPOCHS} epochs: {ours:.2f}, plain {plain:.2f}, ratio {ours / plain:.2f}"
    )


if __name__ == "__main__":
    main()

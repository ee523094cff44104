"""Augmentation: its throughput, and what it costs a training step.

* `read`: a clip is read from the 16-bit samples of a corpus, with and without an augmentation: audio seconds per CPU second.
* `step`: forward, backward and a step of AdamW on batches of clips that are read, of an encoder with the size of Whisper's or of AST.
  Steps with and without augmentation take turns. `ratio`: CPU seconds of a step with it, in parts of one without; the model's own
  seconds are the median of all steps, as it does the same either way.

Clips are real speech if EMOADAPT_DATA names some, else noise. One thread.

    python benchmarks/augment.py [--backbone tiny|base|ast] [--batch 8] [--steps 5]
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emoadapt.augmentations.ahn2024 import TYPES, Config
from emoadapt.augmentations.base import Augmenter
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.media import decode_audio
from emoadapt.schema import SAMPLE_RATE

N_CLIPS = 24


def read_clips() -> list[np.ndarray]:
    """(n_samples,) int16 arrays."""
    if root := os.environ.get("EMOADAPT_DATA"):
        return [decode_audio(file) for file in sorted(Path(root, "emodb").rglob("*.flac"))[:N_CLIPS]]
    random = np.random.default_rng(0)
    return [(3000 * random.standard_normal(n)).astype(np.int16) for n in random.integers(16_000, 80_000, N_CLIPS)]


def read(clip: np.ndarray, augment: Augmenter | None, key: Sequence[int]) -> Tensor:
    """A clip as a training reads it."""
    samples = clip.astype(np.float32) / 32768
    return torch.from_numpy(samples if augment is None else np.ascontiguousarray(augment(samples, key)))


def measure_reading(clips: Sequence[np.ndarray], augment: Augmenter | None, epochs: int = 10) -> float:
    """Audio seconds per CPU second."""
    begin = time.process_time()
    for epoch in range(epochs):
        for number, clip in enumerate(clips):
            read(clip, augment, [0, epoch, number])
    return epochs * sum(map(len, clips)) / SAMPLE_RATE / (time.process_time() - begin)


def build(name: str) -> SpeechBackbone:
    """An encoder of the published size, with random weights, which is trained whole."""
    from emoadapt.backbones import ast, whisper

    if name == "ast":
        backbone = ast.load_stand_in(ast.Config(architecture="ast", weights="ast"))
    else:
        backbone = whisper.load_stand_in(whisper.Config(architecture="whisper", weights=name))
    if backbone is None:
        raise SystemExit(f"{name} names no size; give tiny, base, small or ast")
    backbone.set_cnn_trainable(True)
    return backbone.train()


def measure_steps(backbone: SpeechBackbone, clips: Sequence[np.ndarray], batch: int, steps: int) -> dict[str, float]:
    """CPU seconds of a step with and without augmentation."""
    optimizer = torch.optim.AdamW(backbone.parameters(), 1e-5)
    ways = {"without": None, "with": Augmenter([Config(chain="ahn2024")])}
    reading: dict[str, list[float]] = {way: [] for way in ways}
    training = []
    for step in range(steps + 1):
        chosen = [(step * batch + i) % len(clips) for i in range(batch)]
        for way, augment in ways.items():
            begin = time.process_time()
            audio = [read(clips[number], augment, [0, step, number]) for number in chosen]
            reading[way].append((then := time.process_time()) - begin)
            optimizer.zero_grad()
            backbone(audio).square().mean().backward()
            optimizer.step()
            training.append(time.process_time() - then)
    # The first of each does not count.
    return {way: float(np.mean(reading[way][1:]) + np.median(training[2:])) for way in ways}


def main() -> None:
    """Print a line of JSON for each chain, and one for the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tiny", help="tiny, base or small (Whisper), or ast")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = read_clips()
    chains: dict[str, Any] = {"none": None}
    chains |= {f"ahn2024 type {kind}": Augmenter([Config(chain="ahn2024", type=kind)]) for kind in TYPES}
    chains["ahn2024"] = Augmenter([Config(chain="ahn2024")])
    for name, augment in chains.items():
        row = {"read": name, "audio_s_per_cpu_s": round(measure_reading(clips, augment))}
        print(json.dumps(row), flush=True)
    steps = measure_steps(build(options.backbone), clips, options.batch, options.steps)
    rounded = {f"cpu_s_{way}": round(value, 4) for way, value in steps.items()}
    print(json.dumps({"step": options.backbone, **rounded, "ratio": round(steps["with"] / steps["without"], 3)}))


if __name__ == "__main__":
    main()

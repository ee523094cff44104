"""Training of Whisper's encoder: throughput against `WhisperForAudioClassification` of `transformers`, which pads clips to 30 s.

Both have the same random weights, the same head, AdamW, and the same batches of noise, whose lengths are drawn as in `finetunings.py`.
They take turns step by step in one process, after one step that does not count. CPU seconds of one thread, per second of audio.

* `frozen`: the convolutions are frozen. Ours reads their kept output, theirs spectrograms that are computed beforehand.
* `all`: everything is trained, from audio.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import argparse
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from finetunings import CLASSES, SAMPLE_RATE, draw_lengths
from transformers import WhisperFeatureExtractor, WhisperForAudioClassification

from emoadapt.backbones.whisper import Config, load_stand_in
from emoadapt.data.batching import Batch, BucketedBatches, collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO, FRONTEND
from emoadapt.layers.heads import build_head
from emoadapt.training.finetuning import FinetunedBackbone


def build_pair(size: str, trainable: bool) -> tuple[FinetunedBackbone, WhisperForAudioClassification]:
    """Our model and theirs, with the same weights."""
    backbone = load_stand_in(Config(architecture="whisper", weights=size))
    if backbone is None:
        raise SystemExit(f"{size} names no size of Whisper; give tiny, base, small, medium or large")
    head = build_head("hf", backbone.width, None, len(CLASSES), 0)
    config = deepcopy(backbone.model.config)
    config.num_labels = len(CLASSES)
    theirs = WhisperForAudioClassification(config)
    theirs.encoder.load_state_dict(backbone.model.state_dict())
    theirs.projector.load_state_dict(head.projector.state_dict())
    theirs.classifier.load_state_dict(head.classifier.state_dict())
    backbone.set_cnn_trainable(trainable)
    for module in (theirs.encoder.conv1, theirs.encoder.conv2):
        module.requires_grad_(trainable)
    return FinetunedBackbone(backbone, head).train(), theirs.train()


def prepare(model: FinetunedBackbone, clips: Sequence[torch.Tensor], trainable: bool) -> Batch:
    """Make a batch for our model: audio, or the kept output of the front end."""
    if trainable:
        return collate_clips([Clip(str(i), {"audio": clip}) for i, clip in enumerate(clips)], {"audio": AUDIO})
    with torch.inference_mode():
        kept = [model.backbone.encode_cnn([clip])[0][0].half().clone() for clip in clips]
    return collate_clips([Clip(str(i), {"frontend": frames}) for i, frames in enumerate(kept)], {"frontend": FRONTEND})


def make_step(model: torch.nn.Module, find_logits: Callable[[Any], torch.Tensor]) -> Callable[[Any], None]:
    """A step of the optimiser on what `find_logits` reads."""
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-5)

    def step(read: Any) -> None:
        logits = find_logits(read)
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % len(CLASSES))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def measure(step: Callable[[Any], None], read: Any) -> float:
    """CPU seconds of a step."""
    began = time.process_time()
    step(read)
    return time.process_time() - began


def make_batches(size: int, steps: int) -> list[list[torch.Tensor]]:
    """Noise for some steps, in batches of clips of like length: `steps` of an epoch of twenty, short ones and long ones."""
    lengths = {str(place): int(length) for place, length in enumerate(draw_lengths(20 * size))}
    generator = torch.Generator().manual_seed(0)
    batches = list(BucketedBatches(lengths, size, seed=0))
    return [
        [0.1 * torch.randn(lengths[name], generator=generator) for name, _ in batch]
        for batch in batches[:: max(1, len(batches) // steps)][:steps]
    ]


def compare(size: str, audio: Sequence[Sequence[torch.Tensor]], trainable: bool) -> dict[str, float]:
    """Audio seconds per CPU second of both, in turns."""
    ours, theirs = build_pair(size, trainable)
    extract = WhisperFeatureExtractor()

    def pad(clips: Sequence[torch.Tensor]) -> torch.Tensor:
        arrays = [clip.numpy() for clip in clips]
        return extract(arrays, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features

    steps = {
        "ours": make_step(ours, lambda batch: ours(batch)[1]),
        "theirs": make_step(theirs, lambda read: theirs(pad(read) if trainable else read).logits),
    }
    seconds = dict.fromkeys(steps, 0.0)
    for turn, clips in enumerate([audio[0], *audio]):
        reads = {"ours": prepare(ours, clips, trainable), "theirs": clips if trainable else pad(clips)}
        for side, step in steps.items():
            taken = measure(step, reads[side])
            seconds[side] += taken if turn else 0.0
    total = sum(len(clip) for batch in audio for clip in batch) / SAMPLE_RATE
    return {side: total / taken for side, taken in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="tiny", help="tiny, base, small, medium or large (default tiny)")
    parser.add_argument("--batch", type=int, default=8, help="clips of a batch (default 8)")
    parser.add_argument("--steps", type=int, default=4, help="steps that count (default 4)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    batches = make_batches(options.batch, options.steps)
    lengths = [len(clip) / SAMPLE_RATE for batch in batches for clip in batch]
    mean = sum(lengths) / len(lengths)
    print(f"Whisper {options.size}, {options.steps} steps of {options.batch} clips of {mean:.1f} s on average")
    print("trained  ours  theirs  ratio   (audio seconds per CPU second)")
    for name, trainable in (("frozen", False), ("all", True)):
        found = compare(options.size, batches, trainable)
        print(f"{name:7}  {found['ours']:4.1f}  {found['theirs']:6.2f}  {found['ours'] / found['theirs']:5.1f}")


if __name__ == "__main__":
    main()

"""Training speed of this machine, measured on synthetic audio.

`emoadapt plan` turns the speeds into hours. They hold for this device and these settings only, and say nothing of scores.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.backbones.base import find_family, load_backbone, load_family
from emoadapt.data.batching import Batch, collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO, FRONTEND
from emoadapt.errors import ModelError, name_count
from emoadapt.layers.heads import build_head
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.machine.devices import fit_threads
from emoadapt.machine.torch_device import find_device
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.caches import write_cache
from emoadapt.study.plan.work import choose_calibrated, describe_calibrated
from emoadapt.training.finetuning import FinetunedBackbone

if TYPE_CHECKING:
    from emoadapt.config import Backbone, Study

logger = logging.getLogger(__name__)

WARM_UP = 1
"""Steps that do not count: the first fetches memory and picks kernels."""


def calibrate(study: Study, output: Path, *, clip_seconds: float = 4.0, steps: int = 3) -> dict[str, Any]:
    """Measure all backbones of a study, and write the speeds.

    Args:
        study: its fine-tuning settings (batch, precision) are those that are measured.
        output: JSON file to write, read by `emoadapt plan`.
        clip_seconds: length of the synthetic clips.
        steps: steps that count, of each kind.

    Returns:
        What was written: device, versions, `startup` (s of a job before it trains), and per backbone audio seconds per second:
        `train` and `evaluate` by whether the front end's output is `cached` or the `whole` model is trained, `frontend`, `layers`.

    Raises:
        ConfigError: `cuda` is asked for and there is no GPU.
    """
    device = torch.device(find_device(study.device))
    threads = fit_threads(study.training_threads)
    torch.set_num_threads(threads)
    found: dict[str, Any] = {
        "device": _name_device(device, threads),
        "torch": str(torch.__version__),
        "startup": _time_startup(),
        "backbones": {},
    }
    for name, config in study.backbones.items():
        if config.joined or AUDIO not in config.streams.values():
            continue
        backbone, stand_in = _load(study, config)
        logger.info("%s: calibrating on %s", name, found["device"])
        speeds = measure_backbone(choose_calibrated(study, name), backbone.to(device), device, clip_seconds, steps)
        found["backbones"][name] = {"settings": describe_calibrated(study, name), "stand_in": stand_in, **speeds}
        del backbone
    write_cache(output, found)
    return found


def measure_backbone(
    settings: Any, backbone: SpeechBackbone, device: torch.device, clip_seconds: float, steps: int
) -> dict[str, Any]:
    """Audio seconds per second of a training step and of an evaluation, with the CNN's output cached and with all trained.

    Args:
        settings: of a fine-tuning.
        backbone: on the device.
        device: where to measure.
        clip_seconds: length of each clip.
        steps: steps that count.
    """
    n_clips = max(1, round((settings.batch_seconds or settings.batch_size * clip_seconds) / clip_seconds))
    generator = torch.Generator().manual_seed(0)
    n_samples = round(clip_seconds * SAMPLE_RATE)
    audio = [0.1 * torch.randn(n_samples, generator=generator) for _ in range(n_clips)]
    classes = 4
    head = build_head(settings.head, backbone.width, settings.head_hidden, classes, 0, settings.head_dropout)
    model = FinetunedBackbone(backbone, head).to(device)
    labels = torch.randint(classes, (n_clips,), generator=generator).to(device)
    seconds = n_clips * clip_seconds
    backbone.set_cnn_trainable(False)
    with torch.inference_mode():
        frames = [backbone.encode_cnn([clip.to(device)])[0][0].half().cpu() for clip in audio]

        def encode() -> None:
            for clip in audio:
                backbone.encode_cnn([clip.to(device)])

        speeds: dict[str, Any] = {"frontend": seconds / _time(encode, device, steps)}
    for mode, signals, trainable, stream in (("cached", frames, False, FRONTEND), ("whole", audio, True, AUDIO)):
        backbone.set_cnn_trainable(trainable)
        role = stream.feature
        clips = [Clip(f"calibration/{i}", {role: signal}) for i, signal in enumerate(signals)]
        batch = collate_clips(clips, {role: stream}, seed=0).to(device)
        speeds[mode] = {
            "train": seconds / _time(_make_step(model, batch, labels, settings.precision), device, steps),
            "evaluate": seconds / _time(_make_evaluation(model, batch, device, settings.precision), device, steps),
        }
    speeds["layers"] = speeds["whole"]["evaluate"]
    return speeds


def _make_step(model: nn.Module, batch: Batch, labels: Tensor, precision: str) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)

    def step() -> None:
        model.train()
        with _autocast(labels.device, precision):
            _, logits = model(batch)
            loss = nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _make_evaluation(model: nn.Module, batch: Batch, device: torch.device, precision: str) -> Callable[[], None]:
    def step() -> None:
        model.eval()
        with torch.inference_mode(), _autocast(device, precision):
            model(batch)

    return step


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "32-true")


def _time(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Seconds of a step by the clock, the mean of those that count."""
    for _ in range(WARM_UP):
        step()
    _wait(device)
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - begun) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _time_startup() -> float:
    """Seconds of a fresh process until it could train."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import emoadapt.training.finetuning"], check=True)
    return time.perf_counter() - begun


def _name_device(device: torch.device, threads: int) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU with {name_count(threads, 'thread')}"


def _load(study: Study, config: Backbone) -> tuple[SpeechBackbone, bool]:
    """The backbone, or where its weights are not here one of the usual dimensions with random weights; whether it stands in.

    Speed does not depend on what the weights are, only on their shapes: base, or large where the name says so.
    """
    try:
        return load_backbone(config, study.weights_folder), False
    except ModelError:
        load_stand_in = getattr(load_family(find_family(config.architecture)), "load_stand_in", None)
        if load_stand_in is None or (backbone := load_stand_in(config)) is None:
            raise
        return backbone, True

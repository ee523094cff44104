"""This machine, as far as it decides what a study can do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from emoadapt.errors import ModelError
from emoadapt.machine.devices import list_devices
from emoadapt.study.new.encoders import Encoder, choose_encoder, find_encoders
from emoadapt.study.new.places import name_place
from emoadapt.weights.registry import list_weights, locate

VARIABLE = "EMOADAPT_MODELS"
"""Environment variable of a folder of weights that several studies share."""


@dataclass(frozen=True)
class Machine:
    """Devices and weights.

    Args:
        gpu: whether there is a GPU.
        cores: that this process may use.
        models_dir: folder of weights.
        models_text: as a study names it; None: its default.
        encoder: pretrained encoder for the study; None: there is none that fits.
        larger: encoders that are here and too large for the machine.
    """

    gpu: bool
    cores: int
    models_dir: Path
    models_text: str | None
    encoder: Encoder | None
    larger: tuple[str, ...] = ()

    def holds(self, role: str) -> str | None:
        """The first registered weights of a role that are here."""
        return next((name for name, entry in list_weights().items() if entry.role == role and self.has(name)), None)

    def has(self, name: str) -> bool:
        """Whether registered weights are here."""
        try:
            return locate(name, self.models_dir).exists()
        except ModelError:
            return False


def look_at_machine(models_dir: Path | None) -> Machine:
    """Look for GPUs, cores and weights.

    Args:
        models_dir: folder of weights; None: that of the environment variable, else `models`.
    """
    named = os.environ.get(VARIABLE)
    folder = models_dir or Path(named or "models")
    text = f"${{{VARIABLE}}}" if named else None
    if models_dir is not None:
        text = name_place(models_dir, models_dir)
    gpu = bool(list_devices())
    encoders = find_encoders(folder)
    encoder = choose_encoder(encoders, gpu)
    larger = () if gpu else tuple(e.weights for e in encoders if encoder is None or e.size > encoder.size)
    return Machine(gpu, len(os.sched_getaffinity(0)), folder, text, encoder, larger)

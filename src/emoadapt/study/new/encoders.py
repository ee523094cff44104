"""Pretrained encoders on this machine that a study can use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from emoadapt.config.architectures import list_architectures
from emoadapt.errors import ModelError
from emoadapt.plugins import collect_declarations, load_plugin
from emoadapt.weights.registry import list_weights, locate

SMALL = 200_000_000
"""Bytes of weights up to which an encoder runs on a CPU in reasonable time."""
OPENAI = "whisper"
"""Family of the checkpoints in OpenAI's form, which the registry knows by the names of their files."""
FETCHED = "whisper/tiny.en"
"""Encoder that is advised where there is none: small, and of a public address."""


@dataclass(frozen=True)
class Encoder:
    """Weights of a speech encoder.

    Args:
        architecture: its family.
        weights: as a study names them.
        size: bytes.
    """

    architecture: str
    weights: str
    size: int

    @property
    def stem(self) -> str:
        """Last part of its name, without extension."""
        return PurePosixPath(self.weights.removesuffix(".pt")).name


def find_encoders(models_dir: Path) -> list[Encoder]:
    """Speech encoders in a folder of weights or the Hugging Face cache, the smallest first.

    Args:
        models_dir: folder of weights; it need not exist.
    """
    found = {encoder.weights: encoder for encoder in (*_find_registered(models_dir), *_find_checkpoints(models_dir))}
    found |= {encoder.weights: encoder for encoder in _find_folders(models_dir)}
    return sorted(found.values(), key=lambda encoder: (encoder.size, encoder.weights))


def choose_encoder(encoders: list[Encoder], gpu: bool) -> Encoder | None:
    """The largest encoder that fits the machine; None if there is none."""
    fitting = [encoder for encoder in encoders if gpu or encoder.size <= SMALL]
    return fitting[-1] if fitting else None


def _find_registered(models_dir: Path) -> Iterator[Encoder]:
    """Encoders that the registry names and that are here."""
    types = _list_types()
    for name, entry in list_weights().items():
        if not (name.startswith(f"{OPENAI}/") or entry.role == "backbone"):
            continue
        try:
            path = locate(name, models_dir)
        except ModelError:
            continue
        if path.is_dir():
            yield from _read_folder(path, name, types)
        elif name.startswith(f"{OPENAI}/"):
            yield Encoder(OPENAI, name, path.stat().st_size)


def _find_checkpoints(models_dir: Path) -> Iterator[Encoder]:
    """Files that are named like OpenAI's, in any folder."""
    names = {
        PurePosixPath(file).name
        for name, entry in list_weights().items()
        if name.startswith(f"{OPENAI}/")
        for file in entry.files
    }
    known = {file for entry in list_weights().values() for file in entry.files}
    for path in sorted(models_dir.glob("*/*.pt")) if models_dir.is_dir() else ():
        place = path.relative_to(models_dir).as_posix()
        if path.name in names and place not in known:
            yield Encoder(OPENAI, place, path.stat().st_size)


def _find_folders(models_dir: Path) -> Iterator[Encoder]:
    """Folders in Hugging Face form of families that read audio."""
    types = _list_types()
    for pattern in ("*/config.json", "*/*/config.json") if models_dir.is_dir() else ():
        for path in sorted(models_dir.glob(pattern)):
            yield from _read_folder(path.parent, path.parent.relative_to(models_dir).as_posix(), types)


def _read_folder(folder: Path, name: str, types: Mapping[str, str]) -> Iterator[Encoder]:
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return
    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    if kind in types and size and _reads_audio(types[kind], name):
        yield Encoder(types[kind], name, size)


def _list_types() -> dict[str, str]:
    """`model_type` -> architecture that a study names for it."""
    families: dict[str, list[str]] = {}
    for architecture, family in list_architectures().items():
        families.setdefault(family, []).append(architecture)
    return {
        kind: kind if kind in families[family] else families[family][-1]
        for family, kinds in collect_declarations("backbones", "MODEL_TYPES").items()
        for kind in kinds
    }


def _reads_audio(architecture: str, weights: str) -> bool:
    """Whether a family reads the sound of a clip, and nothing else."""
    section = load_plugin("backbones", list_architectures()[architecture]).Config
    try:
        features: tuple[str, ...] = section.model_validate({"architecture": architecture, "weights": weights}).features
    except ValidationError:
        return False
    return features == ("audio",)

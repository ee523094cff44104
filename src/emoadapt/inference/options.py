"""Options of predictions that a model needs. Light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODELS = Path("models")
"""Folder of weights, where none is named."""


@dataclass(frozen=True)
class Judging:
    """How clips are predicted.

    Args:
        batch_size: clips in a batch.
        transcripts: file -> its transcript; None: it is recognised.
        language: ISO 639-1 code of the language; None: that of the study, else it is recognised.
        languages: file -> code of its language, which overrides `language`.
        models_dir: folder of weights; None: `models`.
    """

    batch_size: int = 8
    transcripts: Mapping[Path, str] | None = None
    language: str | None = None
    languages: Mapping[Path, str] | None = None
    models_dir: Path | None = None

    def list_options(self) -> list[str]:
        """Options of the command line that only a model which reads more than audio can use."""
        given = {
            "--transcripts": self.transcripts, "--language": self.language or self.languages, "--models-dir": self.models_dir
        }  # fmt: skip
        return [name for name, value in given.items() if value is not None]

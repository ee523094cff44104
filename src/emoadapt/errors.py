"""Errors that are shown to people: one sentence with what was found, where, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable


class EmoadaptError(Exception):
    """A problem that the user can fix; the command line prints its sentence without a traceback."""


class ConfigError(EmoadaptError):
    """The configuration cannot be used as it stands."""


class CorpusError(EmoadaptError):
    """A corpus on disk does not match what its importer expects."""


class ModelError(EmoadaptError):
    """Weights are missing, altered or of another architecture."""


class DataError(EmoadaptError):
    """A table in `results/` is missing, of another schema, or too small for what is asked of it."""


class TrainingError(EmoadaptError):
    """A training run cannot continue (no data, divergence)."""


class ClipError(Exception):
    """One clip cannot be used; it becomes a row with a status and a reason, never a dead run.

    Args:
        code: stable snake_case word, e.g. `no_face`; the report groups by it.
        detail: what was seen, for a person.
        absent: True when the modality is legitimately not there (no face, no speech) rather than broken.
    """

    def __init__(self, code: str, detail: str, *, absent: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.absent = absent

    @property
    def status(self) -> str:
        """`absent` or `failed`, the value of the row's status column."""
        return "absent" if self.absent else "failed"


NO_GPU = "device is cuda, but no GPU was found on this machine; set device to auto or cpu"
"""Sentence for every place that refuses `cuda`: a study before its first job, a job, a prediction."""

_DISK = {
    errno.ENOSPC: "there is no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
}


def show(items: Iterable[str], limit: int = 5) -> str:
    """List the first items of a sentence and the number of the others: `a, b and 3 more`."""
    items = list(items)
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")


def name_count(number: int, noun: str) -> str:
    """A number with its noun: `1 run`, `1,200 runs`. The plural is the noun with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def explain_disk_error(error: BaseException) -> str | None:
    """One sentence for a disk that is full or cannot be written, as libraries report it; None for anything else.

    Arrow and Python raise an `OSError` with its number; others put the system's own words into an error of their kind.
    """
    seen: BaseException | None = error
    while seen is not None:
        for number, sentence in _DISK.items():
            words = os.strerror(number)
            if (isinstance(seen, OSError) and seen.errno == number) or words in str(seen):
                where = f" ({seen.filename})" if isinstance(seen, OSError) and seen.filename else ""
                return f"{sentence}{where}; fix this and run the same command again; incomplete files are ignored"
        seen = seen.__cause__ or seen.__context__
    return None


EXTRAS = {
    "audiomentations": "training",
    "cv2": "faces",
    "espeakng_loader": "demo",
    "mediapipe": "mediapipe",
    "onnx": "faces",
    "onnxruntime": "faces",
    "onnxscript": "export",
    "peft": "training",
    "pocketsphinx": "demo",
    "skimage": "demo",
    "tensorboardX": "training",
    "vaderSentiment": "demo",
}
"""Library that not every installation has -> extra of this package that brings it."""


def explain_missing_library(error: BaseException) -> str | None:
    """One sentence for a library of an extra that is not installed; None for anything else."""
    seen: BaseException | None = error
    while seen is not None:
        top = ((isinstance(seen, ModuleNotFoundError) and seen.name) or "").partition(".")[0]
        if top in EXTRAS:
            return explain_extra(top)
        seen = seen.__cause__ or seen.__context__
    return None


def explain_extra(library: str) -> str:
    """One sentence for a library of `EXTRAS` that is missing."""
    return f"the library {library} is missing; install it with: pip install 'emoadapt[{EXTRAS[library]}]'"

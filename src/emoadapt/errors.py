"""Errors that are shown to people: one sentence with what was found, where, and what to do."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_PLAIN = re.compile(r"[^\W\d_][\w./+-]*")
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
"""Words that YAML reads as values where they are not quoted."""


@dataclass(frozen=True)
class Change:
    """A key of a study, and the value that would fix a problem; in a sentence: `tasks.emotions.other_labels: drop`.

    Args:
        key: key path with dots.
        value: its new value. Words in capitals are for the user to replace.
        why: a comment.
    """

    key: str
    value: Any = "VALUE"
    why: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {write_value(self.value)}"


@dataclass(frozen=True)
class Removal:
    """A key of a study that has to go.

    Args:
        key: key path with dots.
    """

    key: str


@dataclass(frozen=True)
class Command:
    """A command that would fix a problem.

    Args:
        line: as it is typed.
    """

    line: str

    def __str__(self) -> str:
        return self.line


Fix = Change | Removal | Command


def _join(*path: str) -> str:
    return ".".join(filter(None, path))


class Problems(ValueError):
    """Problems that a section of a study finds in itself; pydantic hands it on as it is.

    Args:
        problems: with keys of the section.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Problem:
    """Something that would stop a study; as text, a sentence. Two of the same sentence are equal.

    Args:
        key: key path of the study where it was found; empty if it is at none.
        said: what is wrong there, and what to do.
        fixes: ways to fix it, the best first; by default another value of `key`.
    """

    def __init__(self, key: str, said: str, *fixes: Fix) -> None:
        self.key, self.said = key, said
        self.fixes: tuple[Fix, ...] = fixes or ((Change(key),) if key else ())

    def __str__(self) -> str:
        return f"{self.key}: {self.said}" if self.key else self.said

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def below(self, path: str) -> Problem:
        """The same problem of a study that holds the section at a path."""
        return Problem(_join(path, self.key), self.said, *self.fixes_below(path))

    def fixes_below(self, path: str) -> tuple[Fix, ...]:
        """Its fixes in a study that holds the section at a path; an empty one is the study itself."""
        return tuple(fix if isinstance(fix, Command) else replace(fix, key=_join(path, fix.key)) for fix in self.fixes)


class EmoadaptError(Exception):
    """A problem that the user can fix; the command line prints its sentence without a traceback.

    Args:
        said: the sentence, or several problems.
        fixes: ways to fix it, the best first.
        head: line above several problems.
    """

    def __init__(self, said: str | Iterable[Problem], *fixes: Fix, head: str = "") -> None:
        self.head = head
        self.problems = [Problem("", said, *fixes)] if isinstance(said, str) else list(said)
        super().__init__(f"\n{'  ' if head else ''}".join([*([head] if head else []), *map(str, self.problems)]))

    def add_place(self, place: str, path: str = "") -> list[Problem]:
        """Its problems, with what has them before each sentence.

        Args:
            place: beginning of the sentence: `task emotions, `.
            path: key path of the section that the keys are of; empty if they are of the study.
        """
        return [Problem("", f"{place}{problem}", *problem.fixes_below(path)) for problem in self.problems]


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


def find_near(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that a word is probably a misspelling of, or None.

    Args:
        word: as it was written.
        known: names.
        likeness: share of equal letters (`difflib`) from which a name is taken to be meant.
    """
    names = {str(name).casefold(): str(name) for name in known}
    near = difflib.get_close_matches(word.casefold(), names, 1, likeness)
    return names[near[0]] if near else None


def name_known(word: str, known: Iterable[str]) -> str:
    """What to write instead of a name that is not known: `did you mean hubert?`, or `there is hubert, wavlm`."""
    names = [str(name) for name in known]
    near = find_near(word, names)
    return f"did you mean {near}?" if near is not None else f"there is {', '.join(names) or 'none'}"


def name_count(number: int, noun: str) -> str:
    """A number with its noun: `1 run`, `1,200 runs`. The plural is the noun with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def write_value(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quote(str(key))}: {write_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(write_value, value)) + "]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        # YAML reads `1e-05` as text.
        digits, _, power = repr(value).partition("e")
        return f"{float(digits)}e{int(power):+d}" if power else digits
    return str(value) if isinstance(value, int) else quote(str(value))


def quote(text: str) -> str:
    """Text as it must stand in YAML, in a list or mapping too."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable() and "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=not text.isprintable())


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

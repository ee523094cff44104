"""Names of models, runs and settings. Imports nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

ORIGINAL = "original"
"""Start of a model that no adaptation has changed."""
DEFAULT = "default"
"""Fine-tuning that is not part of a model's name."""


class Model(NamedTuple):
    """A model of a table: backbone, starting point and fine-tuning."""

    backbone: str
    start: str = ORIGINAL
    finetuning: str = DEFAULT

    def __str__(self) -> str:
        return ".".join(self[:2] if self.finetuning == DEFAULT else self)

    @classmethod
    def parse(cls, text: str) -> Model:
        """Parse the name of a model, the inverse of `str`.

        Raises:
            ValueError: the text is not the name of a model.
        """
        parts = text.split(".")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"{text!r} is not a model; write <backbone>.<start> or <backbone>.<start>.<finetuning>")
        if parts[2:] == [DEFAULT]:
            raise ValueError(f"{text!r} is not a model; {DEFAULT} is not part of a name, write {'.'.join(parts[:2])}")
        return cls(*parts)

    def find_original(self) -> Model:
        """Return the original model of the same backbone and fine-tuning."""
        return self._replace(start=ORIGINAL)


@dataclass(frozen=True, order=True)
class Run:
    """One training on a task.

    Args:
        partition: number of the division of the corpus; each is scored separately.
        fold: number of the fold; the folds of a partition are pooled before scoring.
        resampling: number of the draw of training clips.
        seed: of head, batch order and dropout.
    """

    partition: int = 0
    fold: int = 0
    resampling: int = 0
    seed: int = 0

    def __str__(self) -> str:
        return f"p{self.partition}f{self.fold}r{self.resampling}s{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Run:
        """Parse the name of a run, the inverse of `str`.

        Raises:
            ValueError: the text is not the name of a run.
        """
        match = re.fullmatch(r"p(\d+)f(\d+)r(\d+)s(\d+)", text)
        if match is None:
            raise ValueError(f"{text!r} is not a run; write p<partition>f<fold>r<resampling>s<seed>")
        return cls(*map(int, match.groups()))


@dataclass(frozen=True, order=True)
class Setting:
    """One model on one task with one number of training clips."""

    task: str
    model: Model
    subset: str

    def name(self, run: Run) -> str:
        """Name of a run: in curves, and of the folder of a kept model."""
        return f"{self.task}.{self.model}.{self.subset}.{run}"


def name_kept(kind: str, backbone: str, start: str) -> str:
    """Name of a kept output, a feature like any other: `<kind>.<backbone>[.<adaptation>]`."""
    return f"{kind}.{backbone}" if start == ORIGINAL else f"{kind}.{backbone}.{start}"

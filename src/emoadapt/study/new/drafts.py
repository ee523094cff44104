"""Proposed corpora, and the wishes of the person that they are for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance
from emoadapt.listing.reading import read_labels, read_utterances
from emoadapt.plugins import load_plugin
from emoadapt.schema import ATTRIBUTES

NONE = "none"
"""Wish for no labels or speakers."""
FOLDERS = "folders"
"""Wish for labels, or speakers, from the names of the nearest folders."""
YES_OR_NO = ("yes", "no")

Ask = Callable[[str, Sequence[str], str], str]
"""Question, allowed answers, default -> answer."""


def accept(question: str, allowed: Sequence[str], default: str) -> str:
    """Answer every question by its default, without asking."""
    return default


@dataclass(frozen=True)
class Wishes:
    """What a person wants; None = propose something.

    Args:
        importer: of all folders.
        label: a column, `folders`, `none`, or a regular expression with a group `label`.
        speaker: a column, `folders`, `none`, or a regular expression with a group `speaker`.
        ask: asks the person about a guess.
    """

    importer: str | None = None
    label: str | None = None
    speaker: str | None = None
    ask: Ask = accept

    @property
    def asks(self) -> bool:
        """Whether a person answers."""
        return self.ask is not accept


@dataclass
class Draft:
    """A proposed corpus.

    Args:
        folder: folder that was searched.
        section: section of the corpus in the study; `root` is relative to the working folder.
        why: key -> reason for its value.
        found: sentences on how the corpus was recognised.
        doubts: sentences on guesses, which the person should check.
        name: name of the corpus in the study.
        utterances: its clips, once `read` has listed them.
        labels: their labels, in the same order.
    """

    folder: Path
    section: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    name: str = "corpus"
    utterances: list[Utterance] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def read(self) -> Draft:
        """List its clips and labels, as a study does.

        Raises:
            CorpusError: the corpus cannot be listed.
        """
        config = self.load()
        self.utterances = read_utterances(self.name, config)
        self.labels = read_labels(self.name, config, self.utterances)
        return self

    def load(self) -> Corpus:
        """Its section, checked by the importer."""
        section = load_plugin("corpora", self.section["importer"]).Config
        config: Corpus = section.model_validate_json(json.dumps(self.section), strict=True)
        return config

    @property
    def video(self) -> bool:
        """Whether its clips have pictures."""
        return "video" in self.section.get("modalities", ())

    @property
    def labelled(self) -> bool:
        """Whether any clip has a label or a rating."""
        return any(label.label for label in self.labels) or bool(self.attributes)

    @property
    def attributes(self) -> list[str]:
        """Attributes that clips are rated on."""
        return [name for name in ATTRIBUTES if any(getattr(label, name) is not None for label in self.labels)]

    @property
    def speakers(self) -> list[str]:
        """Known speakers, sorted."""
        return sorted({utterance.speaker for utterance in self.utterances if utterance.speaker})


def name_plainly(text: str, fallback: str = "corpus") -> str:
    """A name as a study allows it: `My clips (2)` is `my_clips_2`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()
    return name if re.match("[a-z]", name) else f"{fallback}_{name}".rstrip("_")

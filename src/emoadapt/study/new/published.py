"""Recognition of published corpora by the names of their files."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoadapt.errors import EmoadaptError
from emoadapt.plugins import list_plugins, load_plugin
from emoadapt.reference import read_meanings
from emoadapt.study.new.drafts import Draft
from emoadapt.study.new.pictures import choose_modalities


@dataclass(frozen=True)
class Match:
    """Names of media that an importer knows.

    Args:
        importer: its name.
        title: of its corpus.
        matched: number of names that it knows.
        media: number of media files.
    """

    importer: str
    title: str
    matched: int
    media: int

    def describe(self) -> str:
        """`339 of 339 names match EmoDB`."""
        return f"{self.matched:,} of {self.media:,} names match {self.title}"


def find_matches(media: Sequence[str]) -> list[Match]:
    """Importers that know at least half of the names, the surest first.

    Args:
        media: relative paths.
    """
    found = []
    for importer in list_plugins("corpora"):
        module = load_plugin("corpora", importer)
        names = getattr(module, "NAMES", None)
        matched = sum(names.fullmatch(path) is not None for path in media) if names else 0
        if matched and 2 * matched >= len(media):
            title = (module.__doc__ or importer).partition(",")[0].strip()
            found.append(Match(importer, title, matched, len(media)))
    return sorted(found, key=lambda match: -match.matched)


def draft_published(folder: Path, media: Sequence[str], importer: str, found: str) -> Draft:
    """Propose the corpus of an importer, as it can be listed.

    Args:
        folder: root of the corpus.
        media: its media files, relative paths.
        importer: name of the importer.
        found: how it was recognised.

    Raises:
        EmoadaptError: it cannot be listed.
    """
    problem: EmoadaptError | None = None
    modalities, why = choose_modalities(folder, media)
    for options, reasons in _list_options(importer):
        section = {"importer": importer, "root": str(folder), **options, "modalities": modalities}
        reasons = {"importer": found, **reasons, **({"modalities": why} if why else {})}
        try:
            return Draft(folder, section, reasons, [found], name=importer).read()
        except EmoadaptError as error:
            problem = problem or error
    raise problem or EmoadaptError(f"the importer {importer} has no settings for {folder}; write the study yourself")


def _list_options(importer: str) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Values of the keys that an importer requires, each combination with the reasons."""
    config = load_plugin("corpora", importer).Config
    meanings = read_meanings(config)
    required = {
        key: typing.get_args(field.annotation)
        for key, field in config.model_fields.items()
        if field.is_required() and key not in ("importer", "root")
    }
    reasons = {key: f"{meanings.get(key, '')} Allowed: {', '.join(map(str, v))}." for key, v in required.items()}
    for values in itertools.product(*required.values()):
        yield dict(zip(required, values, strict=True)), reasons

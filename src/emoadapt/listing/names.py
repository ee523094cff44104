"""Comparison of names of speakers, labels, official parts and files.

Names are compared after Unicode normalisation (NFC) and trimming: `José` may be typed with one code point for é or with two,
and file systems choose by themselves. Capitals count: `Anna` and `anna` are two people, and are pointed out by a note.
"""

from __future__ import annotations

import difflib
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

UNKNOWN = frozenset(
    {
        "",
        "nan",
        "na",
        "n/a",
        "n.a.",
        "n.a",
        "#n/a",
        "<na>",
        "none",
        "null",
        "-",
        "?",
        "unk",
        "<unk>",
        "unknown",
        "<unknown>",
    }
)
"""Cells that stand for an unknown speaker, sex or official part, in any case (`nan` is a language, Min Nan). A label is only unknown where
its cell is empty: `none` may be a class, and any other word that is no class is refused or named with its count. A transcript
may be such a word, which `emoadapt check` notes."""

SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
"""Words for a sex, in lower case."""

_CLOSE = 0.75
"""Share of equal letters (`difflib`) from which a word is taken for a misspelling of another."""


def normalise_name(text: str) -> str:
    """Unicode NFC, without blanks around it."""
    # Most names are ASCII, which has no other form.
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def normalise_path(path: str) -> str:
    """Unicode NFC. Blanks belong to a file's name."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def is_unknown(text: str) -> bool:
    """Whether a cell stands for an unknown speaker, sex or official part."""
    return text.strip().lower() in UNKNOWN


def parse_known(text: str | None) -> str | None:
    """A name in its normal form; None for an unknown one."""
    return None if text is None or is_unknown(text) else normalise_name(text)


def describe_counts(counts: Mapping[str, int]) -> str:
    """Names with their counts, the most frequent first: `happy 12, calm 3`."""
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def note_unknown_words(kind: str, names: Iterable[str | None], meaning: str) -> list[str]:
    """A note for each word of `UNKNOWN` among names: `8 speaker cells hold NA, which means unknown`.

    Args:
        kind: what stands in the cells (`speaker`).
        names: one per clip, as written.
        meaning: what the word does there (`which means unknown`).
    """
    counts = Counter(name for name in names if name and is_unknown(name))
    return [
        f"{number:,} {kind} {'cell holds' if number == 1 else 'cells hold'} {word}, {meaning}"
        for word, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def note_case_twins(kind: str, names: Iterable[str | None]) -> list[str]:
    """A note on names that differ by case alone; none where there are no such names.

    Args:
        kind: what they name, in the plural (`speakers`).
        names: one per clip.
    """
    counts = Counter(name for name in names if name is not None)
    groups: dict[str, dict[str, int]] = {}
    for name in sorted(counts):
        groups.setdefault(name.casefold(), {})[name] = counts[name]
    twins = [describe_counts(group) for group in groups.values() if len(group) > 1]
    if not twins:
        return []
    return [
        f"{kind} that differ by case alone count as different {kind} ({'; '.join(twins)}): "
        "if they are the same, write them alike"
    ]


def suggest_name(word: str, known: Iterable[str]) -> str | None:
    """The known name that a word may be meant for, or None.

    It is the same name in another case, or nearly the same name. Names that differ in their digits alone (`test2`, `test1`) are meant to be different.
    """
    spellings = {name.casefold(): name for name in known}
    plain = word.casefold()
    if plain in spellings:
        return spellings[plain]
    for close in difflib.get_close_matches(plain, spellings, 3, _CLOSE):
        if close[:1] == plain[:1] and _strip_digits(close) != _strip_digits(plain):
            return spellings[close]
    return None


def find_on_disk(media: Collection[str], root: str | Path) -> dict[str, str]:
    """Paths below a root whose name on disk is in another Unicode form, and that name.

    Args:
        media: relative paths with `/`.
        root: folder they are relative to.

    Returns:
        Path as given -> path on disk; without those that are there as given, or not at all.
    """
    listed: dict[str, dict[str, str]] = {}
    found = {}
    for path in media:
        # A path without any accent has one form only.
        if not path.isascii() and not Path(root, path).exists():
            actual = _follow(path, Path(root), listed)
            if actual is not None:
                found[path] = actual
    return found


def _follow(path: str, root: Path, listed: dict[str, dict[str, str]]) -> str | None:
    """The path on disk, folder by folder; `listed` remembers normal form -> name of each folder."""
    actual = ""
    for part in path.split("/"):
        if actual not in listed:
            try:
                listed[actual] = {normalise_path(entry.name): entry.name for entry in (root / actual).iterdir()}
            except OSError:
                listed[actual] = {}
        name = listed[actual].get(normalise_path(part))
        if name is None:
            return None
        actual = posixpath.join(actual, name)
    return actual


def _strip_digits(text: str) -> str:
    return "".join(letter for letter in text if not letter.isdigit())

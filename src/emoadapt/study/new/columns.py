"""Meaning of the columns of a table, by their names and their content."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from emoadapt.errors import ConfigError, find_near
from emoadapt.listing.emotions import name_emotion
from emoadapt.listing.names import SEXES, is_unknown
from emoadapt.schema import ATTRIBUTES
from emoadapt.study.new.divisions import PART_WORDS
from emoadapt.study.new.drafts import FOLDERS, NONE, YES_OR_NO, Wishes
from emoadapt.study.new.tables import MediaTable

NAMES = {
    "label": "emotion label emo emotions labels emotionlabel emolabel emoclass class category affect mood sentiment target",
    "speaker": "speaker speakerid spk spkid spkr spkrid actor actorid subject subjectid participant participantid person talker voice "
    "clientid who",
    "sex": "sex gender",
    "language": "language lang locale",
    "split": "split partition part set subset fold usage splitset session",
    "transcript": "transcript transcription text sentence utterance words",
    "start": "start starttime begin onset from startsec",
    "end": "end endtime stop stoptime to endsec",
    "arousal": "arousal aro activation emoact act",
    "valence": "valence val emoval",
    "dominance": "dominance dom emodom power",
}
"""Column of emoadapt -> usual names for it, the surest first, reduced to letters and digits."""
_KNOWN = frozenset(word for words in NAMES.values() for word in words.split())
MOST_LABELS = 60
"""Different words of a column above which they are no classes."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass
class Columns:
    """Columns of a table.

    Args:
        mapping: column of emoadapt -> column of the table.
        why: column of emoadapt -> reason for the choice.
        doubts: sentences on guesses.
    """

    mapping: dict[str, str]
    why: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)


def choose_columns(read: MediaTable, wishes: Wishes) -> Columns:
    """Choose the columns of a table that names media.

    Raises:
        ConfigError: a column that is wished for is not there.
    """
    free = {
        name: [row[place].strip() for row in read.table.rows]
        for place, name in enumerate(read.table.header)
        if name and name != read.column and read.table.header.count(name) == 1
    }
    columns = Columns({"media": read.column}, {"media": "its cells name the media files"})
    for role in NAMES:
        wished = {"label": wishes.label, "speaker": wishes.speaker}.get(role)
        if wished == NONE:
            continue
        if wished is not None:
            _refuse_unknown(read, role, wished, free)
            columns.mapping[role], columns.why[role] = wished, "as you asked"
        elif ranked := _rank(role, free):
            _take(columns, role, ranked, free, wishes)
        if role in columns.mapping:
            free.pop(columns.mapping[role])
    if "label" not in columns.mapping and wishes.label is None:
        _note_label(columns, free)
    if "speaker" not in columns.mapping and wishes.speaker is None:
        _guess_speaker(columns, free, read, wishes)
    _pair_times(columns)
    return columns


def _refuse_unknown(read: MediaTable, role: str, wished: str, free: dict[str, list[str]]) -> None:
    if wished not in free:
        hint = f"{FOLDERS} needs --importer folder; " if wished == FOLDERS else ""
        near = find_near(wished, free)
        hint += f"did you mean {near}? " if near else ""
        raise ConfigError(
            f"--{role} {wished}: {hint}{read.path} has the columns {', '.join(read.table.header)}; name one"
        )


def _note_label(columns: Columns, free: dict[str, list[str]]) -> None:
    """Say why a column that is called like labels is not taken for them."""
    words = NAMES["label"].split()
    name = next((name for name in free if _rank_name(name, words) is not None), None)
    if name is None:
        columns.doubts.append("no column looks like labels; if one does: --label COLUMN")
        return
    filled = [cell for cell in free[name] if cell]
    columns.doubts.append(
        f"column {name} is not taken for labels: {len(filled)} of {len(free[name])} cells are filled, with {len(set(filled))} different "
        f"words; to take it all the same: --label {name}"
    )


def _take(
    columns: Columns, role: str, ranked: list[tuple[str, str]], free: dict[str, list[str]], wishes: Wishes
) -> None:
    """Take the likeliest column for a role; ask about the label where there are several."""
    (name, why), *others = ranked
    if role == "label" and others:
        names = [name, *(other for other, _ in others)]
        name = wishes.ask("Which column holds the label?", [*names, NONE], name)
        if name == NONE:
            return
        why = dict(ranked)[name]
        if not wishes.asks:
            rest = ", ".join(other for other in names if other != name)
            columns.doubts.append(f"the label is column {name}; {rest} may hold labels too (--label COLUMN)")
    answered = bool(others) and wishes.asks
    if role == "label" and not answered and _share_emotions(filled := list(filter(None, free[name]))) < 0.5:
        columns.doubts.append(
            f"column {name} is taken for the label by its name, and few of its cells are known words for emotions ({_sample(filled)}); see "
            "that they are classes of emotion (--label COLUMN, or --label none)"
        )
    columns.mapping[role], columns.why[role] = name, why


def _rank(role: str, free: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Columns that may have a role, the likeliest first, each with the reason."""
    fits, words = _FITS.get(role, _fits_any), NAMES[role].split()
    ranked = []
    for position, (name, cells) in enumerate(free.items()):
        filled = [cell for cell in cells if cell]
        if not filled or not fits(filled):
            continue
        known = _share_emotions(filled) if role == "label" else 0.0
        if (rank := _rank_name(name, words)) is not None:
            ranked.append((rank - 10 * known, position, name, "by its name"))
        elif known >= 0.5:
            ranked.append((50 - 10 * known, position, name, f"{known:.0%} of its cells are words for emotions"))
        elif role in _BY_CONTENT and _BY_CONTENT[role](filled):
            ranked.append((50.0, position, name, f"by its content: {_sample(filled)}"))
    return [(name, why) for _, _, name, why in sorted(ranked)]


def _rank_name(name: str, words: Sequence[str]) -> float | None:
    """Place of a name among the usual ones; None if it is none of them."""
    plain = re.sub(r"[\W_]+", "", name).lower()
    if plain in words:
        return float(words.index(plain))
    if plain in _KNOWN:
        return None  # it means something else
    pieces = [piece.lower() for piece in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
    found = [words.index(piece) for piece in pieces if piece in words and len(piece) > 2]
    return 20.0 + min(found) if found else None


def _share_emotions(cells: Sequence[str]) -> float:
    return sum(name_emotion(cell) is not None for cell in cells) / len(cells)


def _sample(cells: Sequence[str]) -> str:
    return ", ".join(list(dict.fromkeys(cells))[:4])


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(_NUMBER.fullmatch(cell) for cell in cells)


def _are_labels(cells: Sequence[str]) -> bool:
    if _are_numbers(cells) and not all(cell.isdigit() for cell in cells):
        return False  # ratings
    return 2 <= len(set(cells)) <= min(MOST_LABELS, max(2, len(cells) // 2))


def _are_speakers(cells: Sequence[str]) -> bool:
    return bool({cell for cell in cells if not is_unknown(cell)})


def _are_parts(cells: Sequence[str]) -> bool:
    return 2 <= len(set(cells)) <= 20


def _are_only_parts(cells: Sequence[str]) -> bool:
    return {cell.lower() for cell in cells} <= PART_WORDS.keys()


def _fits_any(cells: Sequence[str]) -> bool:
    return True


_FITS: dict[str, Callable[[Sequence[str]], bool]] = {
    "label": _are_labels,
    "speaker": _are_speakers,
    "sex": lambda cells: all(is_unknown(cell) or cell.lower() in SEXES for cell in cells),
    "language": lambda cells: all(re.fullmatch(r"[a-z]{2,3}", cell) for cell in cells),
    "split": _are_parts,
    "start": _are_numbers,
    "end": _are_numbers,
    **dict.fromkeys(ATTRIBUTES, _are_numbers),
}
_BY_CONTENT = {
    "sex": lambda cells: {cell.lower() for cell in cells} <= SEXES.keys(),
    "split": _are_only_parts,
}
"""Roles that are taken by content, whatever the column's name."""


def _guess_speaker(columns: Columns, free: dict[str, list[str]], read: MediaTable, wishes: Wishes) -> None:
    """Take a column for the speaker whose cells are part of the files' names, if the person agrees."""
    for name, cells in free.items():
        distinct = {cell for cell in cells if cell}
        named = sum(bool(cell) and cell in path for cell, path in zip(cells, read.media, strict=False))
        repeated = 2 <= len(distinct) <= len(cells) / 2 and all(len(cell) > 1 for cell in distinct)
        if not repeated or named < len(cells) or _are_numbers(list(distinct)) or _are_only_parts(list(distinct)):
            continue
        if wishes.ask(f"Is {name} ({_sample(cells)}) the speaker?", YES_OR_NO, "yes") == "no":
            continue
        columns.mapping["speaker"] = name
        columns.why["speaker"] = f"its {len(distinct)} names stand in the files' names too"
        if not wishes.asks:
            columns.doubts.append(
                f"column {name} ({_sample(cells)}) is taken for the speaker; see that these are people"
            )
        return


def _pair_times(columns: Columns) -> None:
    """Times need each other: an end without a start is often a length."""
    if "end" in columns.mapping and "start" not in columns.mapping:
        del columns.mapping["end"], columns.why["end"]

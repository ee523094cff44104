"""Speakers and labels in the names of files and folders."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from emoadapt.listing.emotions import EMOTIONS, WORDS, name_emotion, suggest_class
from emoadapt.study.new.divisions import PART_WORDS

DEEPEST, LONGEST = 3, 8
"""Folders above a file, and pieces of its name, that are looked at."""
MOST_CLASSES = 20
LONG_ID = 3
"""Digits from which a number is as likely a speaker as a name is; shorter ones may be takes."""
FEWEST_OF_ID = 4
"""Files, on average, of a number that is taken for a speaker."""
SPEAKER_WORD = "(?:speaker|spkr|spk|actor|subject|subj|participant|person|talker|voice)"
"""Words before the number of a speaker; what follows them is no guess."""
SHORT_WORD = "(?:sub|part|pers|sp|p|s|m|f|id|u)"
"""Shorter ones, that may mean something else: `s03` is a speaker or a sentence."""

_PIECE = r"[^/_\-. ]+"
_GAP = r"[_\-. ]+"
_ALONE = re.compile(SPEAKER_WORD, re.IGNORECASE)
_NUMBERED = re.compile(rf"{SPEAKER_WORD}[_-]?\d+", re.IGNORECASE)
_SHORT = re.compile(rf"{SHORT_WORD}[_-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A place in the names of all files.

    Args:
        pattern: regular expression with `GROUP` as the name of its group.
        values: what stands there, one per file.
        folder: whether it is the name of a folder.
        before: what stands before it in all names; None where that differs.
    """

    pattern: str
    values: Sequence[str]
    folder: bool
    before: str | None = None

    def name_group(self, group: str) -> str:
        """Its pattern, as a corpus's section takes it."""
        return self.pattern.replace("GROUP", group)

    @property
    def counts(self) -> Counter[str]:
        """Files of each value, the most frequent first."""
        return Counter(self.values)

    def show(self, limit: int = 6) -> str:
        """`anna 12, ben 10 and 4 more`."""
        listed = [f"{name} {number}" for name, number in self.counts.most_common(limit)]
        more = len(self.counts) - limit
        return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def list_places(paths: Sequence[str]) -> list[Place]:
    """Places that the names of all files have: folders from the file upwards, then the pieces of the file's name."""
    split = [path.split("/") for path in paths]
    depth = min(min(map(len, split)) - 1, DEEPEST)
    folders = [
        Place(rf"(?P<GROUP>[^/]+)(?:/[^/]+){{{above}}}$", [parts[-1 - above] for parts in split], True)
        for above in range(1, depth + 1)
    ]
    pieces = [re.findall(_PIECE, posixpath.splitext(parts[-1])[0]) for parts in split]
    length = min(min(map(len, pieces)), LONGEST)
    names = []
    for at in range(length):
        skipped = "" if at == 0 else rf"(?:{_PIECE}{_GAP}){{{at}}}"
        before = {found[at - 1].lower() for found in pieces} if at else set()
        pattern = rf"(?:^|/){skipped}(?P<GROUP>{_PIECE})[^/]*$"
        names.append(Place(pattern, [found[at] for found in pieces], False, before.pop() if len(before) == 1 else None))
    return [place for place in [*folders, *names] if _finds(place, paths)]


def find_label(places: Sequence[Place]) -> Place | None:
    """The place whose values are words for emotions, or the beginnings of such words."""
    ranked = [(share, -at, place) for at, place in enumerate(places) if (share := _share_emotions(place)) >= 0.8]
    return max(ranked, key=lambda item: item[:2])[2] if ranked else None


def find_folder_label(places: Sequence[Place]) -> Place | None:
    """The nearest folders, if they may be classes whose words are not known."""
    nearest = next((place for place in places if place.folder), None)
    if nearest is None or not 2 <= len(nearest.counts) <= MOST_CLASSES or min(nearest.counts.values()) < 2:
        return None
    odd = [
        name
        for name in nearest.counts
        if _NUMBERED.fullmatch(name) or _SHORT.fullmatch(name) or not re.search(r"[^\W\d_]{3}", name)
    ]
    parts = {name.lower() for name in nearest.counts} <= PART_WORDS.keys()
    return None if odd or parts else nearest


def find_speaker(places: Sequence[Place], label: Place | None) -> tuple[Place | None, bool]:
    """The place of the speaker, and whether it is a guess."""
    fitting = [place for place in places if place is not label and _repeats(place)]
    for place in fitting:
        if _are_numbered(place):
            return place, False
    labels = label.values if label else None
    likely = [place for place in fitting if _are_names(place) or _are_short(place) or _are_ids(place, places, LONG_ID)]
    likely += [place for place in fitting if _are_ids(place, places)]
    found = next((place for place in likely if _crosses(place, labels)), None)
    return found, found is not None


def read_emotion(word: str) -> str | None:
    """The emotion that a word, or the beginning of one, means: `ANG` is anger."""
    plain = word.strip().lower()
    if (name := name_emotion(plain)) is not None:
        return name
    begins = any(known.startswith(plain) for known in (*EMOTIONS, *WORDS))
    return suggest_class(plain, EMOTIONS) if len(plain) > 2 and begins else None


def _finds(place: Place, paths: Sequence[str]) -> bool:
    pattern = re.compile(place.name_group("found"))
    found = (pattern.search(path) for path in paths)
    return all(match and match["found"] == value for match, value in zip(found, place.values, strict=True))


def _share_emotions(place: Place) -> float:
    counts = place.counts
    known = {name: number for name, number in counts.items() if read_emotion(name)}
    return sum(known.values()) / len(place.values) if len(known) > 1 and len(counts) <= MOST_CLASSES else 0.0


def _repeats(place: Place) -> bool:
    """Whether there are several values, each of several files."""
    counts = place.counts
    return 2 <= len(counts) <= len(place.values) / 2 and not any(name.lower() in PART_WORDS for name in counts)


def _are_numbered(place: Place) -> bool:
    """`spk01`, or the number behind a `spk` that all names have."""
    if place.before is not None and _ALONE.fullmatch(place.before):
        return all(value.isdigit() for value in place.values)
    return all(_NUMBERED.fullmatch(value) for value in place.counts)


def _are_short(place: Place) -> bool:
    """`s01`, `F02`."""
    return all(_SHORT.fullmatch(name) for name in place.counts)


def _are_names(place: Place) -> bool:
    """Words, none of which is an emotion."""
    return all(re.fullmatch(r"[^\W\d_]{2,}\d*", name) and not read_emotion(name) for name in place.counts)


def _are_ids(place: Place, places: Sequence[Place], digits: int = 1) -> bool:
    """Numbers of equal length in a folder's name or at the beginning of a file's; others may be takes or sentences."""
    pieces = [other for other in places if not other.folder]
    begins = len(pieces) > 1 and place is pieces[0]
    numbers = all(name.isdigit() for name in place.counts) and {len(name) for name in place.counts} == {
        max(digits, len(place.values[0]))
    }
    return numbers and (place.folder or begins) and 2 < len(place.counts) <= len(place.values) / FEWEST_OF_ID


def _crosses(place: Place, labels: Sequence[str] | None) -> bool:
    """Whether most values occur with several labels, as people do."""
    if labels is None:
        return True
    met: dict[str, set[str]] = defaultdict(set)
    for value, label in zip(place.values, labels, strict=True):
        met[value].add(label)
    return sum(len(found) > 1 for found in met.values()) > len(met) / 2

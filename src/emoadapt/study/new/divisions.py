"""Splits that may fit a labelled corpus, the best first."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emoadapt.corpora.base import Utterance
from emoadapt.errors import name_count
from emoadapt.study.new.drafts import Draft

FEW_SPEAKERS = 12
"""Speakers up to which each is tested once."""
GROUPS = (5, 6, 4, 3)
"""Numbers of folds, the first one preferred."""
SHARES = {"train": 0.70, "dev": 0.15, "test": 0.15}
PART_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("dev", "devel", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}
"""Usual names of parts -> part."""


@dataclass(frozen=True)
class Division:
    """A split.

    Args:
        split: the section of a task.
        why: why it fits.
        leaks: the task's section `leaks`.
        table: utterance -> part, where the split is a table that has to be written.
        warning: what a reader of the scores must know.
        by_dev: whether choices are made on dev, since speakers are not known.
        official: whether it follows the corpus's own parts.
    """

    split: Mapping[str, Any]
    why: str
    leaks: Mapping[str, str] = field(default_factory=dict)
    table: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
    by_dev: bool = False
    official: bool = False


def list_divisions(draft: Draft, labelled: Sequence[int], table: str) -> Iterator[Division]:
    """Splits that may fit, the best first.

    Args:
        draft: the corpus.
        labelled: positions of its clips that are used.
        table: path of the table, if one is needed.
    """
    clips = [draft.utterances[at] for at in labelled]
    people: dict[str, int] = defaultdict(int)
    for clip in clips:
        if clip.speaker:
            people[clip.speaker] += 1
    unknown = len(clips) - sum(people.values())
    official = list(_divide_officially({clip.split for clip in clips}))
    if not official and (rest := _complete_parts(clips, table)):
        official = [rest]
    yield from official
    if not unknown:
        yield from _divide_by_speaker(len(people))
    elif len(people) > 2:
        yield _tabulate_speakers(draft, labelled, people, unknown, table)
    for division in official if len(people) < 3 or unknown else ():
        warning = "Its parts share speakers, or speakers are unknown: scores may be too good."
        warning = f"{division.warning} {warning}".strip()
        yield replace(division, leaks={"speakers": "report"}, warning=warning, by_dev=bool(unknown))
    if unknown or len(people) < 3:
        yield _tabulate_clips(draft, labelled, len(people), unknown, table)


def _divide_officially(parts: set[str | None]) -> Iterator[Division]:
    """Splits by the corpus's own parts, if every clip has one."""
    if None in parts or len(parts) < 2:
        return
    named = _name_parts(parts)
    if all(named.values()):
        shown = "; ".join(f"{part}: {', '.join(names)}" for part, names in named.items())
        yield Division({"by": "official", **named}, f"the corpus's own parts ({shown})", official=True)
    elif not any(named.values()) and len(parts) > 2:
        why = f"each of the corpus's own {len(parts)} parts is tested once"
        yield Division({"by": "leave_one_part_out"}, why, official=True)


def _name_parts(parts: set[str | None]) -> dict[str, list[str]]:
    """Train, dev and test -> the corpus's names for them."""
    named: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for part in sorted(filter(None, parts)):
        if meant := PART_WORDS.get(part.lower().rstrip("0123456789")):
            named[meant].append(part)
    return named


def _complete_parts(clips: Sequence[Utterance], table: str) -> Division | None:
    """The corpus's train and test, with dev taken out of train: by speaker, or by file if speakers are unknown."""
    named = _name_parts({clip.split for clip in clips})
    if named["dev"] or not named["train"] or not named["test"] or any(clip.split is None for clip in clips):
        return None
    training = [clip for clip in clips if clip.split in named["train"]]
    known = all(clip.speaker for clip in training) and len({clip.speaker for clip in training}) > 1
    groups: dict[str, list[str]] = defaultdict(list)
    for clip in training:
        groups[clip.speaker if known and clip.speaker else clip.media].append(clip.utterance_id)
    place = _fill(groups, ("train", "dev"))
    parts = {clip.utterance_id: "test" for clip in clips if clip.split in named["test"]}
    parts |= {clip: place[group] for group, members in groups.items() for clip in members}
    by = "speakers" if known else "files, since speakers are unknown"
    why = f"the corpus's own train and test; it has no dev, for which {by} of train were drawn"
    warning = "" if known else "Dev was drawn from train file by file."
    return Division({"by": "table", "file": table}, why, {}, parts, warning, not known, True)


def _divide_by_speaker(speakers: int) -> Iterator[Division]:
    """Splits in which nobody is in two parts."""
    if 3 <= speakers <= FEW_SPEAKERS:
        why = f"{speakers} speakers are few: each is tested once by models that never heard them, and no clip is lost"
        yield Division({"by": "leave_one_speaker_out"}, why)
    for k in sorted((k for k in GROUPS if k <= speakers), key=lambda k: speakers % k > 0):
        yield Division(
            {"by": "folds", "k": k}, f"{speakers} speakers in {k} groups, each tested once; nobody is in two parts"
        )
    if speakers >= 3:
        yield Division({"by": "fractions"}, "no folds fit; 70 % of the clips train, and nobody is in two parts")


def _tabulate_speakers(
    draft: Draft, labelled: Sequence[int], people: Mapping[str, int], unknown: int, table: str
) -> Division:
    """A table in which nobody is in two parts, and clips without a speaker in none."""
    place = _fill({name: [name] * number for name, number in people.items()})
    clips = [draft.utterances[at] for at in labelled]
    parts = {clip.utterance_id: place[clip.speaker] for clip in clips if clip.speaker}
    warning = f"{unknown} labelled clips without a speaker are in no part."
    why = "speakers of some clips are unknown; the others are divided so that nobody is in two parts"
    return Division({"by": "table", "file": table}, why, {}, parts, warning)


def _tabulate_clips(draft: Draft, labelled: Sequence[int], speakers: int, unknown: int, table: str) -> Division:
    """A table that divides files of each class, whoever speaks."""
    files: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    where: dict[str, str] = {}
    for at in labelled:
        clip = draft.utterances[at]
        group = where.setdefault(clip.media, draft.labels[at].label or "")
        files[group][clip.media].append(clip.utterance_id)
    parts: dict[str, str] = {}
    for media in files.values():
        place = _fill(media)
        parts |= {clip: place[file] for file, clips in media.items() for clip in clips}
    reason = (
        f"the speakers of {unknown} clips are unknown"
        if unknown
        else f"there {'is' if speakers == 1 else 'are'} {name_count(speakers, 'speaker')}, and a split needs 3"
    )
    warning = f"Divided clip by clip, since {reason}: people may be in train and test, which makes scores too good."
    return Division({"by": "table", "file": table}, warning, {"speakers": "report"}, parts, warning, True)


def _fill(groups: Mapping[str, Sequence[str]], parts: Sequence[str] = tuple(SHARES)) -> dict[str, str]:
    """Groups of clips in an order that looks random and is always the same, each to the part that lacks most."""
    shares = {part: SHARES[part] / sum(SHARES[other] for other in parts) for part in parts}
    total = sum(map(len, groups.values()))
    filled = dict.fromkeys(parts, 0)
    place = {}
    for name in sorted(groups, key=lambda name: hashlib.sha256(name.encode()).digest()):
        part = max(parts, key=lambda part: 1 - filled[part] / (shares[part] * total))
        place[name] = part
        filled[part] += len(groups[name])
    return place

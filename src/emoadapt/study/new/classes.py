"""Classes of a task: names that all corpora share, and classes that are too rare."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emoadapt.errors import name_count, write_value
from emoadapt.listing.emotions import suggest_class
from emoadapt.listing.names import describe_counts
from emoadapt.study.new.drafts import Draft
from emoadapt.study.new.patterns import read_emotion
from emoadapt.tasks.notes import describe_confounded

FEWEST_CLIPS = 10
"""Clips below which a class is left out."""
FEWEST_SPEAKERS = 3
"""Speakers below which a class is left out: train, dev and test of a split by speaker each need one."""


@dataclass(frozen=True)
class Classes:
    """Classes of a labelled corpus.

    Args:
        counts: class -> clips, in the order of the names.
        class_map: label -> class, where they differ.
        dropped: label that is no class -> why.
        doubts: sentences on labels that are left out and should perhaps not be.
    """

    counts: Mapping[str, int]
    class_map: Mapping[str, str]
    dropped: Mapping[str, str]
    doubts: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """Classes, sorted."""
        return sorted(self.counts)

    def describe(self) -> str:
        """`anger 127, neutral 79`."""
        return describe_counts(self.counts)

    def find(self, label: str | None) -> str | None:
        """The class of a label; None for one that is left out."""
        name = self.class_map.get(label or "", label)
        return name if name in self.counts else None

    def drop_rarest(self) -> Classes:
        """Without the class of fewest clips."""
        rarest = min(self.counts, key=lambda name: (self.counts[name], name))
        labels = [label for label, name in self.class_map.items() if name == rarest] or [rarest]
        why = f"{name_count(self.counts[rarest], 'clip')}, too few of too few speakers for any split"
        doubt = f"the class {rarest} is left out: {why}"
        counts = {name: number for name, number in self.counts.items() if name != rarest}
        kept = {label: name for label, name in self.class_map.items() if name != rarest}
        return Classes(counts, kept, {**self.dropped, **dict.fromkeys(labels, why)}, [*self.doubts, doubt])


def propose_classes(draft: Draft) -> Classes:
    """Propose the classes of a corpus: all labels but rare ones, under the names that importers share."""
    names = name_classes(Counter(label.label for label in draft.labels if label.label))
    clips, speakers = Counter[str](), defaultdict[str, set[str]](set)
    for utterance, label in zip(draft.utterances, draft.labels, strict=True):
        if label.label:
            clips[names[label.label]] += 1
            speakers[names[label.label]] |= {utterance.speaker} if utterance.speaker else set()
    rare = {
        name: why for name in clips if (why := _explain_rare(clips[name], len(speakers[name]), len(draft.speakers)))
    }
    if "other" in clips and len(clips.keys() - rare.keys()) > 2:
        rare.setdefault("other", f"{clips['other']} clips of no emotion in particular")
    if len(clips.keys() - rare.keys()) < 2:
        rare = {}
    counts = {name: clips[name] for name in sorted(clips) if name not in rare}
    dropped = {label: rare[name] for label, name in names.items() if name in rare}
    class_map = {label: name for label, name in names.items() if label != name and name not in rare}
    return Classes(counts, class_map, dropped, _list_misspelt(dropped, list(counts)))


def _list_misspelt(dropped: Mapping[str, str], classes: Sequence[str]) -> list[str]:
    """Sentences on labels that are left out and seem to mean a class."""
    meant = {label: name for label in dropped if (name := suggest_class(label, classes)) is not None}
    return [
        f"label {label} is left out ({dropped[label]}), and seems to mean {name}: if it does, write {write_value({label: name})} into class_map"
        for label, name in meant.items()
    ]


def name_classes(counts: Mapping[str, int]) -> dict[str, str]:
    """Label -> class: the name that importers share, where it is clear which is meant.

    Spellings that differ in case are one class. Two words for one emotion (`joy`, `happy`) stay two: the more frequent one takes its name.
    """
    spelled: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        spelled[label.casefold()].append(label)
    ordered = sorted(spelled.values(), key=lambda labels: (-sum(counts[label] for label in labels), labels))
    taken: dict[str, str] = {}
    for labels in ordered:
        name = read_emotion(labels[0])
        plain = max(labels, key=lambda label: counts[label])
        taken.update(dict.fromkeys(labels, plain if name is None or name in taken.values() else name))
    return {label: taken[label] for label in counts}


def _explain_rare(clips: int, speakers: int, known: int) -> str:
    """Why a class is too rare; empty if it is not."""
    if clips < FEWEST_CLIPS:
        return f"{name_count(clips, 'clip')}, fewer than {FEWEST_CLIPS}"
    if known >= FEWEST_SPEAKERS and speakers < FEWEST_SPEAKERS:
        return f"{name_count(clips, 'clip')} of {name_count(speakers, 'speaker')}; train, dev and test each need one"
    return ""


def list_confounded(draft: Draft, classes: Classes) -> list[str]:
    """Sentences on classes whose clips are mostly of one speaker: a model may learn the voice instead of the emotion."""
    pairs = zip(draft.utterances, draft.labels, strict=True)
    return describe_confounded((classes.find(label.label), utterance.speaker) for utterance, label in pairs)


def list_spellings(classes: Classes) -> Sequence[str]:
    """Sentences on labels that became one class."""
    merged: dict[str, list[str]] = defaultdict(list)
    for label, name in classes.class_map.items():
        merged[name].append(label)
    return [f"{' and '.join(labels)} are one class, {name}" for name, labels in merged.items() if len(labels) > 1]

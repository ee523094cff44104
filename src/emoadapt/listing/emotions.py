"""Emotion names shared by all importers.

A model of one corpus can thus be tested on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emoadapt.listing.names import suggest_name

EMOTIONS = (
    "anger",
    "boredom",
    "calm",
    "contempt",
    "disgust",
    "excitement",
    "fear",
    "frustration",
    "happiness",
    "neutral",
    "other",
    "sadness",
    "surprise",
)
"""Every categorical label of an importer of a published corpus is one of these, or one of `SENTIMENTS`."""

SENTIMENTS = ("negative", "neutral", "positive")
"""Labels of corpora of sentiment."""

WORDS = {
    "angry": "anger",
    "bored": "boredom",
    "disgusted": "disgust",
    "excited": "excitement",
    "fearful": "fear",
    "frustrated": "frustration",
    "happy": "happiness",
    "joy": "happiness",
    "neutral state": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Other words that corpora and their raters use for them, in lower case."""


_ABBREVIATED = 3
"""Letters from which the beginning of a word is taken for the word."""


def name_emotion(word: str) -> str | None:
    """Our name of an emotion: `Angry` -> `anger`, `Other-confused` -> `other`; None for a word that is none of them."""
    plain = word.strip().lower()
    name = WORDS.get(plain, plain)
    if name in EMOTIONS:
        return name
    return "other" if plain.startswith("other") else None


def suggest_class(label: str, classes: Sequence[str]) -> str | None:
    """The class that a label seems to mean, or None.

    `happy`, `Happiness`, `hap` and `hapiness` mean `happiness`.
    """
    emotions = {name_emotion(name): name for name in classes}
    meant = {word: emotions[emotion] for word, emotion in WORDS.items() if emotion in emotions}
    meant |= {emotion: name for emotion, name in emotions.items() if emotion is not None}
    meant |= {name.casefold(): name for name in classes}
    if (close := suggest_name(label, meant)) is not None:
        return meant[close]
    plain = label.casefold()
    begun = {name for word, name in meant.items() if len(plain) >= _ABBREVIATED and word.startswith(plain)}
    return begun.pop() if len(begun) == 1 else None


def count_votes(choices: Iterable[str]) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """Votes per emotion, and their shares.

    Args:
        choices: our names, one per vote; they may repeat.

    Returns:
        `votes` and `soft` of a `Label`, sorted by emotion; (None, None) without votes.
    """
    votes: dict[str, float] = {}
    for choice in choices:
        votes[choice] = votes.get(choice, 0.0) + 1.0
    if not votes:
        return None, None
    votes = dict(sorted(votes.items()))
    total = sum(votes.values())
    return votes, {emotion: count / total for emotion, count in votes.items()}

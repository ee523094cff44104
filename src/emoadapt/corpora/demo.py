"""The built-in demo corpus; its clips are listed before they are generated.

See `emoadapt.demo`. A label is the emotion that a clip is generated with, as one is acted by a person.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance
from emoadapt.demo.plan import digest_plan, name_media, plan_clips
from emoadapt.listing.affect import NOTE, derive_attributes

TERMS = "synthetic voices and a portrait in the public domain"
LABELS = "acted"
SPEAKERS_OF = "corpus"
GENERATED = True


class Config(Corpus):
    """A small synthetic audiovisual corpus, made on this machine: espeak-ng voices and a warped portrait."""

    importer: Literal["demo"]
    clips: int = Field(48, ge=4, le=5000)
    """Number of clips."""
    voices: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Indices of the synthetic speakers."""
    sentences: Literal["unlabelled", "labelled"] = "unlabelled"
    """Which of two disjoint sentence lists is spoken."""
    seed: int = Field(0, ge=0)
    """Seed of the generator."""
    attributes: Literal["derived"] | None = None
    """`derived`: arousal, valence and dominance from -1 to 1, by the means of Russell & Mehrabian (1977) for the emotion. null: none."""
    modalities: tuple[Literal["audio", "video"], ...] = ("audio", "video")


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    made = "synthetic (the emotion the clip was made with)"
    return made if config.attributes is None else f"{made}; {NOTE}"


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """Planned clips of the corpus; the labelled list comes with transcripts, the unlabelled one without."""
    return [
        Utterance(
            utterance_id=f"{name}/{clip.stem}",
            media=name_media(clip, config),
            speaker=clip.speaker,
            sex=clip.sex,
            language="en",
            transcript=clip.sentence if config.sentences == "labelled" else None,
        )
        for clip in plan_clips(config)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The emotion of each clip, and the attributes derived from it; none in a corpus of unlabelled sentences."""
    labelled, rated = config.sentences == "labelled", config.sentences == "labelled" and config.attributes is not None
    return [
        Label(
            f"{name}/{clip.stem}",
            clip.emotion if labelled else None,
            **(derive_attributes(clip.emotion) if rated else {}),
        )
        for clip in plan_clips(config)
    ]


def fingerprints(name: str, config: Config) -> dict[str, str]:
    """Media file -> digest of the plan that it is, or will be, made from."""
    video = "video" in config.modalities
    return {name_media(clip, config): digest_plan(clip, video=video) for clip in plan_clips(config)}

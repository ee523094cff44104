"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song.

24 professional actors (12 female, 12 male), two statements, North American English; 1,440 spoken clips of eight
emotions and 1,012 sung ones of six. Livingstone & Russo 2018, PLoS ONE 13(5):e0196391.
https://zenodo.org/records/1188976, version 1.0.0, DOI 10.5281/zenodo.1188976, CC BY-NC-SA 4.0.

Files are `.../Actor_NN/MM-VC-EE-II-SS-RR-AA.ext`: modality (01 sound and picture, 02 picture only, 03 sound only),
vocal channel (01 speech, 02 song), emotion, intensity, statement, repetition, actor.

* `channels` chooses speech (the default), song, or both. Song has no disgust and no surprise, and actor 18 did not
  sing. The two share actors and statements: keep a performer's speech and song in one part.
* The silent picture-only files are left out. Where a performance is there with and without picture, one recording is
  kept: with picture if the corpus's `modalities` name video, else without.
* `neutral` was recorded at one intensity only and has 96 clips, the other classes 192. `calm` is a baseline much like
  neutral; many papers merge the two (`class_map: {calm: neutral}`).
* Nobody rated attributes. `attributes: derived` makes them of the acted emotion and its intensity: `strong` has the published
  values, `normal` lies half way between neutral and these (chosen), `calm` has none.
* The copy of RAVDESS on Kaggle holds every clip twice, in `audio_speech_actors_01-24/`; that is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, CorpusError, show
from emoadapt.listing.affect import NOTE, derive_attributes
from emoadapt.listing.folders import find_media

TERMS = "CC BY-NC-SA 4.0, non-commercial"
LABELS = None
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """RAVDESS: `Actor_NN/03-01-EE-II-SS-RR-AA.{wav,flac,mp4}`, speech or song."""

    importer: Literal["ravdess"]
    channels: tuple[Literal["speech", "song"], ...] = Field(("speech",), min_length=1)
    """Spoken performances, sung ones, or both. Song has no disgust, no surprise and not actor 18."""
    attributes: Literal["derived"] | None = None
    """`derived`: arousal, valence and dominance from -1 to 1, by the means of Russell & Mehrabian (1977) for the acted emotion, halved at
    normal intensity; clips of calm have none. null: there are none."""


EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}

NAMES = re.compile(
    r"(?:.*/)?(?P<modality>0[123])-(?P<performance>(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-0[12]"
    r"-(?P<actor>0[1-9]|1\d|2[0-4]))\.\w+"
)
_STRENGTHS = {"01": 0.5, "02": 1.0}
"""Intensity -> share of the way from neutral to the published values."""
CHANNELS = {"01": "speech", "02": "song"}
_AUDIO_VISUAL, _VIDEO_ONLY, _AUDIO_ONLY = "01", "02", "03"


def tables(config: Config) -> list[Path]:
    """None: names of files and folders say all."""
    return []


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "acted (intended) emotion" if config.attributes is None else f"acted (intended) emotion; {NOTE}"


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per performance of the wanted channels; speakers are `01` to `24`.

    Raises:
        CorpusError: a media file named otherwise, or a recording that is there twice.
    """
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=parts["actor"],
            sex="male" if int(parts["actor"]) % 2 else "female",
            language="en",
            transcript=STATEMENTS[parts["statement"]],
        )
        for path, parts in _find_performances(name, config)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The acted emotion of each clip, and the attributes derived from it.

    Raises:
        CorpusError: as `list_utterances`.
    """
    return [
        Label(make_utterance_id(name, path), EMOTIONS[parts["emotion"]], **_derive(config, parts))
        for path, parts in _find_performances(name, config)
    ]


def _derive(config: Config, parts: re.Match[str]) -> dict[str, float]:
    if config.attributes is None:
        return {}
    return derive_attributes(EMOTIONS[parts["emotion"]], _STRENGTHS[parts["intensity"]])


def _find_performances(name: str, config: Config) -> list[tuple[str, re.Match[str]]]:
    preferred = _AUDIO_VISUAL if "video" in config.modalities else _AUDIO_ONLY
    kept: dict[str, tuple[str, re.Match[str]]] = {}
    unknown, repeated = [], []
    for path in find_media(config.root):
        parts = NAMES.fullmatch(path)
        if parts is None:
            unknown.append(path)
            continue
        if CHANNELS[parts["channel"]] not in config.channels or parts["modality"] == _VIDEO_ONLY:
            continue
        other = kept.get(parts["performance"])
        if other is not None and other[1]["modality"] == parts["modality"]:
            repeated.append(f"{other[0]} = {path}")
        elif other is None or parts["modality"] == preferred:
            kept[parts["performance"]] = (path, parts)
    if unknown:
        raise CorpusError(
            f"corpus {name}: not named like RAVDESS (Actor_01/03-01-01-01-01-01-01.wav): {show(unknown)}; "
            f"move them out of the root, or set corpora.{name}.importer: folder",
            Change(f"corpora.{name}.importer", "folder"),
        )
    if repeated:
        raise CorpusError(f"corpus {name}: the same recording twice: {show(repeated)}; remove one copy of each")
    return sorted(kept.values(), key=lambda item: item[0])

"""SAVEE, the Surrey Audio-Visual Expressed Emotion database.

Four male native speakers of British English (27 to 31 years) speak 15 TIMIT sentences per emotion; 480 clips of seven
emotions. Haq & Jackson 2010, Multimodal Emotion Recognition, in Wang (ed.), Machine Audition, IGI Global, pp.
398-423; Haq & Jackson 2009, AVSP, pp. 53-58. http://kahlan.eps.surrey.ac.uk/savee/, free for research after
registration; no version number.

Files are `AudioData/DC/a01.wav` as distributed, `ALL/DC_a01.wav` in a common copy, and `AudioVisualClip/DC/a1.avi`
with picture: speaker, emotion (a anger, d disgust, f fear, h happiness, n neutral, sa sadness, su surprise), number.

* Labels are the acted emotion. Neutral has 30 sentences a speaker, the other classes 15.
* All speakers are men, and there are four: scores have wide intervals, and nothing can be said of women's voices.
* Three sentences recur in all emotions; the others differ from emotion to emotion, so that the words tell the class.
* There is no official partition. The sentences do not come with the clips: transcripts are null.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.listing.annotations import Clip, choose_recordings, find_clips

TERMS = "free for research, after registration"
LABELS = "acted"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """SAVEE: `DC|JE|JK|KL/<emotion><number>.*` or `DC_<emotion><number>.*`."""

    importer: Literal["savee"]


EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
SPEAKERS = ("DC", "JE", "JK", "KL")

_NAME = re.compile(
    rf"(?:.*/)?(?P<speaker>{'|'.join(SPEAKERS)})[_/](?P<emotion>sa|su|[adfhn])(?P<number>\d{{1,2}})\.\w+"
)


def tables(config: Config) -> list[Path]:
    """None: names of files and folders say all."""
    return []


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip; speakers are DC, JE, JK and KL.

    Raises:
        CorpusError: a media file is named otherwise, or a clip is there twice in one format.
    """
    return [
        Utterance(make_utterance_id(name, path), path, speaker=parts["speaker"], sex="male", language="en")
        for path, parts in _find_clips(name, config)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The acted emotion of each clip.

    Raises:
        CorpusError: as `list_utterances`.
    """
    return [
        Label(make_utterance_id(name, path), EMOTIONS[parts["emotion"]]) for path, parts in _find_clips(name, config)
    ]


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(name, config.root, _NAME, "SAVEE (DC/a01.wav or DC_a01.wav)")
    return choose_recordings(
        name,
        clips,
        config.modalities,
        lambda clip: f"{clip[1]['speaker']}_{clip[1]['emotion']}{int(clip[1]['number'])}",
    )

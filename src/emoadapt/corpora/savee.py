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
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.listing.named_files import NamedFiles

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

NAMES = re.compile(
    rf"(?:.*/)?(?P<speaker>{'|'.join(SPEAKERS)})[_/](?P<emotion>sa|su|[adfhn])(?P<number>\d{{1,2}})\.\w+"
)

_FILES = NamedFiles(
    NAMES,
    "SAVEE (DC/a01.wav or DC_a01.wav)",
    describe=lambda parts: {"speaker": parts["speaker"], "sex": "male", "language": "en"},
    label=lambda parts: EMOTIONS[parts["emotion"]],
    identify=lambda parts: f"{parts['speaker']}_{parts['emotion']}{int(parts['number'])}",
)
tables, list_utterances, list_labels = _FILES.tables, _FILES.list_utterances, _FILES.list_labels

"""TESS, the Toronto Emotional Speech Set.

Two actresses (26 and 64 years) say "Say the word ..." with 200 words in seven emotions; 2,800 clips, North American
English. Pichora-Fuller & Dupuis 2020, Borealis, DOI 10.5683/SP2/E8H2MF, CC BY-NC-ND 4.0, version 1.0.

Files are `OAF_angry/OAF_back_angry.wav`: speaker (OAF the older, YAF the younger), word, emotion (angry, disgust,
fear, happy, neutral, ps = pleasant surprise, sad). Folders and capitals vary between copies and do not matter.

* Labels are the acted emotion; `ps` is surprise here, though only its pleasant kind.
* `OA_bite_neutral.wav` of the distribution is the older actress's.
* Two speakers, one carrier sentence and very clear acting: classifiers that mix speakers reach 99 %, which says
  nothing about other voices.
* The copy on Kaggle holds every clip twice, in a folder of the same name; that is refused.
* There is no official partition.
"""

from __future__ import annotations

import re
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.listing.named_files import NamedFiles

TERMS = "CC BY-NC-ND 4.0, non-commercial"
LABELS = "acted"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """TESS: `OAF_back_angry.wav` (speaker, word, emotion) in any folders."""

    importer: Literal["tess"]


EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}
SPEAKERS = {"OA": "OAF", "OAF": "OAF", "YAF": "YAF"}
"""Beginning of the name -> speaker."""

NAMES = re.compile(
    rf"(?:.*/)?(?P<speaker>{'|'.join(sorted(SPEAKERS, key=len, reverse=True))})_(?P<word>[a-z-]+)_(?P<emotion>{'|'.join(EMOTIONS)})\.\w+",
    re.IGNORECASE,
)

_FILES = NamedFiles(
    NAMES,
    "TESS (OAF_back_angry.wav)",
    describe=lambda parts: {
        "speaker": SPEAKERS[parts["speaker"].upper()],
        "sex": "female",
        "language": "en",
        "transcript": f"Say the word {parts['word'].lower()}",
    },
    label=lambda parts: EMOTIONS[parts["emotion"].lower()],
    identify=lambda parts: f"{SPEAKERS[parts['speaker'].upper()]}_{parts['word']}_{parts['emotion']}".lower(),
)
tables, list_utterances, list_labels = _FILES.tables, _FILES.list_utterances, _FILES.list_labels

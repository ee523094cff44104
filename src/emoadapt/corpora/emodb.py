"""EmoDB, the Berlin Database of Emotional Speech.

Ten actors (five female, five male), ten German sentences, seven emotions; 535 clips of the public selection, which
listeners recognised better than 80 % of the time and found natural more than 60 % of the time. Burkhardt, Paeschke,
Rolfes, Sendlmeier & Weiss 2005, Proc. Interspeech, pp. 1517-1520, DOI 10.21437/Interspeech.2005-446.
http://emodb.bilderbar.info, free for research; no version number (audEERING's re-release counts from 1.0).

Files are `[wav/]SSTTTEV.ext`: speaker, text, emotion (first letter of its German word), version. Labels are the acted
emotion. The classes are unbalanced (127 anger, 46 disgust), and the ten sentences recur in all of them.
"""

from __future__ import annotations

import re
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.listing.named_files import NamedFiles

TERMS = "free for research"
LABELS = "acted"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """EmoDB: `[wav/]SSTTTEV.{wav,flac}` (speaker, text, emotion, version)."""

    importer: Literal["emodb"]


EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral."""

SEXES = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
}

TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

NAMES = re.compile(
    rf"(?:.*/)?(?P<clip>(?P<speaker>{'|'.join(SEXES)})(?P<text>{'|'.join(TEXTS)})(?P<emotion>[{''.join(EMOTIONS)}])[a-z]?)\.\w+"
)

_FILES = NamedFiles(
    NAMES,
    "EmoDB (03a01Fa.wav: speaker, text, emotion, version)",
    describe=lambda parts: {
        "speaker": parts["speaker"],
        "sex": SEXES[parts["speaker"]],
        "language": "de",
        "transcript": TEXTS[parts["text"]],
    },
    label=lambda parts: EMOTIONS[parts["emotion"]],
)
tables, list_utterances, list_labels = _FILES.tables, _FILES.list_utterances, _FILES.list_labels

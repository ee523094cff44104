"""CaFE, the Canadian French Emotional speech dataset.

Twelve actors (six female, six male; 15 to 64 years) speak six sentences in six emotions, each mild and strong, and
neutrally; 936 clips. Gournay, Lahaie & Lefebvre 2018, ACM MMSys, pp. 399-402, DOI 10.1145/3204949.3208121.
https://zenodo.org/records/1478765, DOI 10.5281/zenodo.1478765, CC BY-NC-SA 4.0; at 48 kHz (WAV) and 192 kHz (AIFF).

Files are `Colère/Faible/01-C-1-1.wav`: actor (odd = man), emotion (C colère, D dégoût, J joie, N neutre, P peur, S
surprise, T tristesse), intensity (1 faible, 2 fort), sentence.

* Labels are the acted emotion. Neutral has one intensity and 72 clips, the other classes have 144.
* The two versions are the same performances: point `root` at one of them.
* There is no official partition. With six sentences in all classes the words tell nothing.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import Corpus
from emoadapt.listing.named_files import NamedFiles

TERMS = "CC BY-NC-SA 4.0, non-commercial"
LABELS = "acted"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """CaFE, Canadian French: `Emotion/Intensity/AA-E-I-S.{wav,aiff}`."""

    importer: Literal["cafe"]
    intensities: tuple[Literal["mild", "strong"], ...] = Field(("mild", "strong"), min_length=1)
    """Which intensities; the neutral clips are always kept."""


EMOTIONS = {
    "C": "anger",
    "D": "disgust",
    "J": "happiness",
    "N": "neutral",
    "P": "fear",
    "S": "surprise",
    "T": "sadness",
}
"""Colère, dégoût, joie, neutre, peur, surprise, tristesse."""
INTENSITIES = {"1": "mild", "2": "strong"}
SENTENCES = {
    "1": "Un cheval fou dans mon jardin",
    "2": "Deux ânes aigris au pelage brun",
    "3": "Trois cygnes aveugles au bord du lac",
    "4": "Quatre vieilles truies éléphantesques",
    "5": "Cinq pumas fiers et passionnés",
    "6": "Six ours aimants domestiqués",
}

NAMES = re.compile(
    r"(?:.*/)?(?P<clip>(?P<actor>0[1-9]|1[0-2])-(?P<emotion>[CDJNPST])-(?P<intensity>[12])-(?P<sentence>[1-6]))\.\w+"
)

_FILES = NamedFiles(
    NAMES,
    "CaFE (Colère/Faible/01-C-1-1.wav)",
    describe=lambda parts: {
        "speaker": parts["actor"],
        "sex": "male" if int(parts["actor"]) % 2 else "female",
        "language": "fr",
        "transcript": SENTENCES[parts["sentence"]],
    },
    label=lambda parts: EMOTIONS[parts["emotion"]],
    keep=lambda config, parts: parts["emotion"] == "N" or INTENSITIES[parts["intensity"]] in config.intensities,
)
tables, list_utterances, list_labels = _FILES.tables, _FILES.list_utterances, _FILES.list_labels

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
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.listing.annotations import Clip, choose_recordings, find_clips

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

_NAME = re.compile(
    r"(?:.*/)?(?P<clip>(?P<actor>0[1-9]|1[0-2])-(?P<emotion>[CDJNPST])-(?P<intensity>[12])-(?P<sentence>[1-6]))\.\w+"
)


def tables(config: Config) -> list[Path]:
    """None: names of files and folders say all."""
    return []


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip of the wanted intensities; speakers are `01` to `12`.

    Raises:
        CorpusError: a media file is named otherwise, or a clip is there twice.
    """
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=parts["actor"],
            sex="male" if int(parts["actor"]) % 2 else "female",
            language="fr",
            transcript=SENTENCES[parts["sentence"]],
        )
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
    clips = find_clips(name, config.root, _NAME, "CaFE (Colère/Faible/01-C-1-1.wav)")
    wanted = [
        clip for clip in clips if clip[1]["emotion"] == "N" or INTENSITIES[clip[1]["intensity"]] in config.intensities
    ]
    return choose_recordings(name, wanted, config.modalities)

"""URDU-Dataset, emotional utterances of Urdu talk shows.

400 clips of four emotions, 100 each. Latif, Qayyum, Usman & Qadir 2018, Frontiers of Information Technology (FIT),
pp. 88-93, DOI 10.1109/FIT.2018.00023, arXiv:1812.10411. https://github.com/siddiquelatif/URDU-Dataset, no version
number; for research only.

Files are `Angry/SM1_F01_A12.wav`: sex (M or F) and number of the speaker, number of the file among the speaker's,
emotion (A, H, N, S) and number among the emotion's. Labels are the emotion in the name; folders say the same.

* The authors speak of 38 speakers (27 male, 11 female), the names hold 29; one of them has 80 clips, and 72 of the
  100 neutral clips are his. Emotion and speaker are confounded: speaker-disjoint folds of this corpus say little. It
  serves as training material or as the target of a cross-corpus test.
* Speakers keep their letters (`SM1`); SM1 and SF1 are two people.
* There is no official partition and no transcript.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.listing.annotations import Clip, choose_recordings, find_clips

TERMS = "for research only"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """URDU-Dataset: `Angry|Happy|Neutral|Sad/SGX_FXX_EYY.*` (sex and speaker, file, emotion)."""

    importer: Literal["urdu"]


EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}

_NAME = re.compile(r"(?:.*/)?(?P<clip>(?P<speaker>S(?P<sex>[MF])\d+)_F\d+_(?P<emotion>[AHNS])\d+)\.\w+")


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "judgement of the corpus's annotators"


def tables(config: Config) -> list[Path]:
    """None: names of files and folders say all."""
    return []


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip; speakers are `SM1`, `SF1`, ...

    Raises:
        CorpusError: a media file is named otherwise, or a clip is there twice.
    """
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=parts["speaker"],
            sex="male" if parts["sex"] == "M" else "female",
            language="ur",
        )
        for path, parts in _find_clips(name, config)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The emotion of each clip.

    Raises:
        CorpusError: as `list_utterances`.
    """
    return [
        Label(make_utterance_id(name, path), EMOTIONS[parts["emotion"]]) for path, parts in _find_clips(name, config)
    ]


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(name, config.root, _NAME, "URDU-Dataset (Angry/SM1_F01_A12.wav)")
    return choose_recordings(name, clips, config.modalities)

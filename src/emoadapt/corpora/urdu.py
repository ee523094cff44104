"""URDU-Dataset, emotional utterances of Urdu talk shows.

400 clips of four emotions, 100 each. Latif, Qayyum, Usman & Qadir 2018, Frontiers of Information Technology (FIT),
pp. 88-93, DOI 10.1109/FIT.2018.00023, arXiv:1812.10411. https://github.com/siddiquelatif/URDU-Dataset, no version
number; for research only.

Files are `Angry/SM1_F01_A12.wav`: sex (M or F) and number of the speaker, number of the file among the speaker's,
emotion (A, H, N, S) and number among the emotion's. Labels are the emotion in the name, the
judgement of the corpus's annotators; folders say the same.

* The authors speak of 38 speakers (27 male, 11 female), the names hold 29; one of them has 80 clips, and 72 of the
  100 neutral clips are his. Emotion and speaker are confounded: speaker-disjoint folds of this corpus say little. It
  serves as training material or as the target of a cross-corpus test.
* Speakers keep their letters (`SM1`); SM1 and SF1 are two people.
* There is no official partition and no transcript.
"""

from __future__ import annotations

import re
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.listing.named_files import NamedFiles

TERMS = "for research only"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """URDU-Dataset: `Angry|Happy|Neutral|Sad/SGX_FXX_EYY.*` (sex and speaker, file, emotion)."""

    importer: Literal["urdu"]


EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}

NAMES = re.compile(r"(?:.*/)?(?P<clip>(?P<speaker>S(?P<sex>[MF])\d+)_F\d+_(?P<emotion>[AHNS])\d+)\.\w+")


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "judgement of the corpus's annotators"


_FILES = NamedFiles(
    NAMES,
    "URDU-Dataset (Angry/SM1_F01_A12.wav)",
    describe=lambda parts: {
        "speaker": parts["speaker"],
        "sex": "male" if parts["sex"] == "M" else "female",
        "language": "ur",
    },
    label=lambda parts: EMOTIONS[parts["emotion"]],
)
tables, list_utterances, list_labels = _FILES.tables, _FILES.list_utterances, _FILES.list_labels

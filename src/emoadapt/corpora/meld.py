"""MELD, the Multimodal EmotionLines Dataset: utterances of the television series Friends.

English, 1,433 dialogues; 9,989 utterances for training, 1,109 for development, 2,610 for testing; seven emotions and
three sentiments. Poria, Hazarika, Majumder, Naik, Cambria & Mihalcea 2019, ACL, pp. 527-536, DOI
10.18653/v1/P19-1050. https://github.com/declare-lab/MELD, no version number; annotations under GPL-3.0, the clips are
taken from a broadcast.

`train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv` (columns Utterance, Speaker, Emotion, Sentiment,
Dialogue_ID, Utterance_ID, ...) go with `train/train_splits/`, `dev/dev_splits_complete/` and
`test/output_repeated_splits_test/`, whose files are `dia0_utt0.mp4`. Numbers begin anew in each part, so the folder
tells the part: the nearest folder above a file whose name begins with train, dev, test or
output_repeated_splits_test.

* Labels are the majority of three raters who saw the clip: anger, disgust, fear, joy (happiness here), neutral,
  sadness, surprise; almost half are neutral. Single votes are not distributed.
* Speakers are names in the series. The six main characters are in all parts: the official partition overlaps in
  speakers, which a task must accept (`leaks: {speakers: report}`). Names such as `Waiter` or `All` may stand for
  several people. Sex is given for the six.
* Known faults: no clip for dev dia110_utt7; train dia125_utt3 cannot be decoded; some clips hold laughter, several
  voices, or the wrong stretch of the episode.
* Files of `test` that begin with `final_videos_test` are second cuts of some clips: they are left out. The media hold
  some utterances that are in no table: they are unlabelled clips of their part.
* Typographic signs of the tables are in places stored as C1 control characters; they are put right.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, CorpusError, show
from emoadapt.listing.accounts import Account, account_for
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_annotation,
    find_clips,
    map_code,
    read_table,
    stem,
)

TERMS = "annotations GPL-3.0; the clips are from a broadcast"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """MELD: `train|dev|test_sent_emo.csv` and `diaX_uttY.{mp4,wav,flac}`; parts train, dev, test."""

    importer: Literal["meld"]
    labels: Literal["emotion", "sentiment"] = "emotion"
    """Seven emotions, or negative, neutral, positive."""


EMOTIONS: dict[str, str | None] = {
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprise": "surprise",
}
SENTIMENTS: dict[str, str | None] = {"negative": "negative", "neutral": "neutral", "positive": "positive"}
SEXES = {
    "Chandler": "male",
    "Joey": "male",
    "Ross": "male",
    "Monica": "female",
    "Phoebe": "female",
    "Rachel": "female",
}
"""Of the six main characters."""
PARTS = ("train", "dev", "test")
COLUMNS = ("Dialogue_ID", "Utterance_ID", "Utterance", "Speaker", "Emotion", "Sentiment")
SOURCE = "https://github.com/declare-lab/MELD"

NAMES = re.compile(r"(?:.*/)?(?P<clip>dia(?P<dialogue>\d+)_utt(?P<utterance>\d+))\.\w+")
_CONTROLS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
"""C1 control characters -> what Windows-1252 means by the same bytes."""


@dataclass(frozen=True, slots=True)
class _Row:
    """An utterance of a table."""

    path: Path
    text: str
    speaker: str
    emotion: str
    sentiment: str


def annotation_files(config: Config) -> list[Path]:
    """The tables of those of the three parts that are there."""
    return [path for part in PARTS if (path := _find_optional(config, part)) is not None]


def tables(config: Config) -> list[Path]:
    """The tables."""
    return annotation_files(config)


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip; speakers are the characters' names.

    Raises:
        CorpusError: a media file is named otherwise, in no part's folder, or there twice; or a table is missing.
    """
    clips = _find_clips(name, config)
    rows = _read_rows(name, config, clips)
    utterances = []
    for path, _ in clips:
        row = rows.get(_key(path))
        utterances.append(
            Utterance(
                make_utterance_id(name, path),
                path,
                speaker=row.speaker or None if row else None,
                sex=SEXES.get(row.speaker) if row else None,
                language="en",
                split=_part(path),
                transcript=row.text or None if row else None,
            )
        )
    return utterances


def list_labels(name: str, config: Config) -> list[Label]:
    """The majority's emotion, or sentiment, of each clip that is in a table.

    Raises:
        CorpusError: as `list_utterances`, or a label that the corpus does not have.
    """
    clips = _find_clips(name, config)
    rows = _read_rows(name, config, clips)
    labels = []
    for path, _ in clips:
        if (row := rows.get(_key(path))) is None:
            continue
        codes, code = (EMOTIONS, row.emotion) if config.labels == "emotion" else (SENTIMENTS, row.sentiment)
        labels.append(Label(make_utterance_id(name, path), map_code(name, row.path, codes, code.lower(), path)))
    return labels


def account_rows(name: str, config: Config) -> Account:
    """Account for the rows of the present tables, also of parts without media."""
    rows = [key for part in PARTS if _find_optional(config, part) for key, _ in _list_rows(name, config, part)]
    return account_for("the tables", rows, [_key(path) for path, _ in _find_clips(name, config)])


def list_notes(name: str, config: Config) -> list[str]:
    """Clips that are in no table."""
    clips = _find_clips(name, config)
    rows = _read_rows(name, config, clips)
    strangers = [path for path, _ in clips if _key(path) not in rows]
    return [f"{len(strangers)} clips are in no table and unlabelled: {show(strangers)}"] if strangers else []


def _key(path: str) -> str:
    """`train/dia0_utt0`: a clip's part and name."""
    return f"{_part(path)}/{stem(path)}"


def _part(path: str) -> str | None:
    """The part that the nearest telling folder above a file names."""
    for folder in reversed(posixpath.dirname(path).lower().split("/")):
        if folder.startswith("output_repeated_splits_test"):
            return "test"
        for part in PARTS:
            if folder.startswith(part):
                return part
    return None


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(
        name,
        config.root,
        NAMES,
        "MELD (train_splits/dia0_utt0.mp4)",
        ignore=lambda path: posixpath.basename(path).startswith("final_videos_test"),
    )
    if outside := [path for path, _ in clips if _part(path) is None]:
        raise CorpusError(
            f"corpus {name}: {show(outside)} lie in no folder of a part (train..., dev..., test..., "
            f"output_repeated_splits_test); set corpora.{name}.root to the folder above these",
            Change(f"corpora.{name}.root", "FOLDER"),
        )
    return choose_recordings(name, clips, config.modalities, lambda clip: _key(clip[0]))


def _find(name: str, config: Config, part: str) -> Path:
    folder = Path(config.annotations or config.root)
    file = f"{part}_sent_emo.csv"
    return find_annotation(name, [folder, folder.parent], (file, f"{part}/{file}", f"data/MELD/{file}"), SOURCE)


def _find_optional(config: Config, part: str) -> Path | None:
    try:
        return _find(config.importer, config, part)
    except CorpusError:
        return None


def _read_rows(name: str, config: Config, clips: list[Clip]) -> dict[str, _Row]:
    """`<part>/<clip>` -> its row, of the parts that have media."""
    parts = sorted({str(_part(path)) for path, _ in clips})
    return {key: row for part in parts for key, row in _list_rows(name, config, part)}


def _list_rows(name: str, config: Config, part: str) -> Iterator[tuple[str, _Row]]:
    """(`<part>/<clip>`, its row) in the order of the part's table."""
    table = _find(name, config, part)
    for dialogue, utterance, text, speaker, emotion, sentiment in read_table(table, name, COLUMNS):
        text = " ".join(text.translate(_CONTROLS).split())
        speaker = speaker.translate(_CONTROLS).strip()
        row = _Row(table, text, speaker, emotion.strip(), sentiment.strip())
        yield f"{part}/dia{dialogue.strip()}_utt{utterance.strip()}", row

"""nEMO, emotional speech in Polish.

Nine actors portray six emotions; 4,481 clips, about 3 h. Christop 2024, LREC-COLING, arXiv:2404.06292.
https://github.com/amu-cai/nEMO, https://huggingface.co/datasets/amu-cai/nEMO, CC BY-NC-SA 4.0; no version number.

`samples/<speaker>_<emotion>_<sentence>.wav` and `data.tsv`: file_id (the file's name), emotion, raw_text,
normalized_text, speaker_id, gender, age.

* Labels are the portrayed emotion: anger, fear, happiness, neutral, sadness, surprised (surprise here).
* The transcript is raw_text, with capitals and punctuation. The same sentences recur in all classes.
* There is no official partition.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.listing.accounts import Account, account_for
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_annotation,
    find_clips,
    map_code,
    parse_sex,
    read_table,
    refuse_unannotated,
)
from emoadapt.listing.names import parse_known

TERMS = "CC BY-NC-SA 4.0, non-commercial"
LABELS = "acted"
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """nEMO, Polish: `samples/<speaker>_<emotion>_<sentence>.wav` and `data.tsv`."""

    importer: Literal["nemo"]


EMOTIONS: dict[str, str | None] = {
    "anger": "anger",
    "fear": "fear",
    "happiness": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprised": "surprise",
    "surprise": "surprise",
}
COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender")
SOURCE = "https://github.com/amu-cai/nEMO"

NAMES = re.compile(r"(?:.*/)?(?P<clip>[^/_]+_[a-z]+_\w+)\.\w+")


def annotation_files(config: Config) -> list[Path]:
    """The table."""
    return [_find(config.importer, config)]


def tables(config: Config) -> list[Path]:
    """The table."""
    return annotation_files(config)


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip; speakers keep their letters and digits.

    Raises:
        CorpusError: the table is missing or malformed; a media file is named otherwise, is there twice, or not in the table.
    """
    rows = _read_rows(name, config)
    utterances = []
    for path, parts in _find_annotated(name, config, rows):
        _, _, text, speaker, sex = rows[parts["clip"]]
        utterances.append(
            Utterance(
                make_utterance_id(name, path),
                path,
                speaker=parse_known(speaker),
                sex=parse_sex(sex),
                language="pl",
                transcript=text.strip() or None,
            )
        )
    return utterances


def list_labels(name: str, config: Config) -> list[Label]:
    """The portrayed emotion of each clip.

    Raises:
        CorpusError: as `list_utterances`, or an emotion that the corpus does not have.
    """
    rows, table = _read_rows(name, config), _find(name, config)
    return [
        Label(
            make_utterance_id(name, path),
            map_code(name, table, EMOTIONS, rows[parts["clip"]][1].strip(), parts["clip"]),
        )
        for path, parts in _find_annotated(name, config, rows)
    ]


def account_rows(name: str, config: Config) -> Account:
    """Account for the rows of the table."""
    path = _find(name, config)
    keys = [_key(row[0]) for row in read_table(path, name, COLUMNS, delimiter="\t")]
    return account_for(path.name, keys, [parts["clip"] for _, parts in _find_clips(name, config)])


def _find_annotated(name: str, config: Config, rows: dict[str, tuple[str, ...]]) -> list[Clip]:
    clips = _find_clips(name, config)
    refuse_unannotated(name, [path for path, parts in clips if parts["clip"] not in rows], str(_find(name, config)))
    return clips


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(name, config.root, NAMES, "nEMO (samples/SB0_anger_01.wav)")
    return choose_recordings(name, clips, config.modalities)


def _find(name: str, config: Config) -> Path:
    folder = Path(config.annotations or config.root)
    return find_annotation(name, [folder, folder.parent], ("data.tsv",), SOURCE)


def _read_rows(name: str, config: Config) -> dict[str, tuple[str, ...]]:
    """Clip -> its cells in the order of COLUMNS."""
    table = read_table(_find(name, config), name, COLUMNS, delimiter="\t")
    return {_key(row[0]): row for row in table}


def _key(file: str) -> str:
    """A clip's name, of the table's file."""
    return file.strip().partition(".")[0]

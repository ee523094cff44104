"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset.

91 actors (48 male, 43 female) speak 12 English sentences in six emotions; 7,442 clips, each judged by several raters
from the voice alone, the face alone, and both. Cao, Cooper, Keutmann, Gur, Nenkova & Verma 2014, IEEE Transactions on
Affective Computing 5(4), pp. 377-390, DOI 10.1109/TAFFC.2014.2336244.
https://github.com/CheyneyComputerScience/CREMA-D, no version number; Open Database License and
Database Contents License.

Files are `ActorID_Sentence_Emotion_Level.ext`. The annotations are `summaryTable.csv` (winning votes; a tie is written
`A:D`), `tabulatedVotes.csv` (number of raters per emotion) and `VideoDemographics.csv`, usually in the corpus's root.

* Rows of `tabulatedVotes.csv` are numbered 1xxxxx for the voice, 2xxxxx for the face and 3xxxxx for both. No column
  says so; their most frequent emotions equal `VoiceVote`, `FaceVote` and `MultiModalVote` in all 7,442 clips each.
* Whose judgement is the label matters: the acted emotion equals the audiovisual vote in 72 % of the clips, the voice
  vote equals it in 51 %; 644 voice, 470 face and 420 audiovisual votes are ties.
* `1040_ITH_SAD_X.wav` stands for `1040_ITH_SAD_XX` of the tables. `1076_MTI_SAD_XX` has no sound.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, CorpusError, show
from emoadapt.listing.accounts import Account, account_for
from emoadapt.listing.annotations import read_table
from emoadapt.listing.folders import find_media

TERMS = "ODbL and DbCL"
LABELS = None
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """CREMA-D: `AudioWAV/` (or any folder) of `ActorID_Sentence_Emotion_Level.*` and its vote tables."""

    importer: Literal["crema_d"]
    annotations: str | None = None
    """Folder of `summaryTable.csv`, `tabulatedVotes.csv`, `VideoDemographics.csv`; null = `root`."""
    labels: Literal["audiovisual", "voice", "face", "acted"]
    """Source of the label. Required, because the four often disagree."""
    ties: Literal["random", "drop", "soft"] = "drop"
    """Clips with tied votes. `random`: one of the tied classes, drawn with `tie_seed`. `drop`: no label. `soft`: the soft label only."""
    tie_seed: int = Field(0, ge=0)
    """Seed of `ties: random`."""


EMOTIONS = {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness"}
ACTED = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happiness", "NEU": "neutral", "SAD": "sadness"}
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
SUMMARY, VOTES, DEMOGRAPHICS = "summaryTable.csv", "tabulatedVotes.csv", "VideoDemographics.csv"
VOTE_COLUMNS = {"voice": "VoiceVote", "face": "FaceVote", "audiovisual": "MultiModalVote"}
VOTE_PREFIXES = {"voice": "1", "face": "2", "audiovisual": "3"}

NAMES = re.compile(
    rf"(?:.*/)?(?P<clip>(?P<actor>\d{{4}})_(?P<sentence>{'|'.join(SENTENCES)})_(?P<emotion>{'|'.join(ACTED)})_(?:LO|MD|HI|XX?))\.\w+"
)


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "acted (intended) emotion" if config.labels == "acted" else f"{config.labels}, ties {config.ties}"


def annotation_files(config: Config) -> list[Path]:
    """The vote tables, unless the labels are the acted emotions."""
    folder = Path(config.annotations or config.root)
    return [] if config.labels == "acted" else [folder / SUMMARY, folder / VOTES]


def tables(config: Config) -> list[Path]:
    """The demographics, and the vote tables where they are read."""
    return [*annotation_files(config), Path(config.annotations or config.root) / DEMOGRAPHICS]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per media file; speakers are the four-digit actor ids.

    Raises:
        CorpusError: a media file named otherwise, or an actor who is not in the demographics.
    """
    path = Path(config.annotations or config.root) / DEMOGRAPHICS
    sexes = {row["ActorID"]: row["Sex"].lower() for row in _read_table(name, path, ("ActorID", "Sex"))}
    clips = _find_clips(name, config)
    if strangers := sorted({parts["actor"] for _, parts in clips} - sexes.keys()):
        raise CorpusError(
            f"corpus {name}: {path} has no row for actor {show(strangers)}; take the whole table from the corpus"
        )
    return [
        Utterance(
            make_utterance_id(name, media),
            media,
            speaker=parts["actor"],
            sex=sexes[parts["actor"]],
            language="en",
            transcript=SENTENCES[parts["sentence"]],
        )
        for media, parts in clips
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """Acted emotions, or the raters' winning vote with all votes and their distribution.

    Ties follow `ties`: `random` takes one of the tied emotions by a hash of `tie_seed` and the clip's name, so that
    no clip's label depends on which others there are; `drop` and `soft` leave the label null.

    Raises:
        CorpusError: a table is missing or malformed, or a clip is not in it.
    """
    clips = _find_clips(name, config)
    if config.labels == "acted":
        return [Label(make_utterance_id(name, media), ACTED[parts["emotion"]]) for media, parts in clips]
    winners = _read_winners(name, config)
    votes = _read_votes(name, config)
    if unrated := [media for media, parts in clips if _clip(parts) not in winners or _clip(parts) not in votes]:
        raise CorpusError(
            f"corpus {name}: no {config.labels} votes for {show(unrated)}; "
            f"take {SUMMARY} and {VOTES} from the corpus, or move these files out of the root"
        )
    return [_label(make_utterance_id(name, media), _clip(parts), winners, votes, config) for media, parts in clips]


def account_rows(name: str, config: Config) -> Account | None:
    """Account for the rows of the table of winners; acted emotions need no table."""
    if config.labels == "acted":
        return None
    winners = [row["FileName"] for row in _read_table(name, annotation_files(config)[0], ("FileName",))]
    return account_for(SUMMARY, winners, [_clip(parts) for _, parts in _find_clips(name, config)])


def _label(
    utterance_id: str,
    clip: str,
    winners: dict[str, list[str]],
    votes: dict[str, dict[str, float]],
    config: Config,
) -> Label:
    tied = winners[clip]
    label = tied[0] if len(tied) == 1 else _break_tie(clip, tied, config.tie_seed) if config.ties == "random" else None
    raters = sum(votes[clip].values())
    soft = {emotion: count / raters for emotion, count in votes[clip].items()}
    return Label(utterance_id, label, votes=votes[clip], soft=soft)


def _break_tie(clip: str, tied: list[str], seed: int) -> str:
    digest = hashlib.sha256(f"{seed}:{clip}".encode()).digest()
    return sorted(tied)[int.from_bytes(digest[:8], "big") % len(tied)]


def _clip(parts: re.Match[str]) -> str:
    """The clip's name in the tables."""
    return re.sub(r"_X$", "_XX", parts["clip"])


def _find_clips(name: str, config: Config) -> list[tuple[str, re.Match[str]]]:
    found = [(path, NAMES.fullmatch(path)) for path in find_media(config.root)]
    if unknown := [path for path, parts in found if parts is None]:
        raise CorpusError(
            f"corpus {name}: not named like CREMA-D (1001_IEO_ANG_HI.wav): {show(unknown)}; "
            f"move them out of the root, or set corpora.{name}.importer: folder",
            Change(f"corpora.{name}.importer", "folder"),
        )
    clips = [(path, parts) for path, parts in found if parts is not None]
    times = Counter(_clip(parts) for _, parts in clips)
    if repeated := [path for path, parts in clips if times[_clip(parts)] > 1]:
        raise CorpusError(
            f"corpus {name}: the same clip more than once: {show(repeated)}; set corpora.{name}.root to one of the "
            "folders (AudioWAV, VideoFlash, ...) and annotations to the tables' folder",
            Change(f"corpora.{name}.root", "FOLDER"),
            Change(f"corpora.{name}.annotations", "FOLDER"),
        )
    return clips


def _read_winners(name: str, config: Config) -> dict[str, list[str]]:
    path = annotation_files(config)[0]
    column = VOTE_COLUMNS[config.labels]
    return {row["FileName"]: _decode(name, path, row[column]) for row in _read_table(name, path, ("FileName", column))}


def _decode(name: str, path: Path, vote: str) -> list[str]:
    """`A:D` -> anger, disgust."""
    letters = vote.split(":")
    if not set(letters) <= EMOTIONS.keys():
        raise CorpusError(
            f"corpus {name}: {path}: vote {vote!r} is not of the letters {' '.join(EMOTIONS)}; restore the table"
        )
    return [EMOTIONS[letter] for letter in letters]


def _read_votes(name: str, config: Config) -> dict[str, dict[str, float]]:
    path = annotation_files(config)[1]
    votes: dict[str, dict[str, float]] = {}
    for row in _read_table(name, path, ("", "fileName", *EMOTIONS)):
        if not row[""].startswith(VOTE_PREFIXES[config.labels]):
            continue
        try:
            counts = {word: float(row[letter]) for letter, word in EMOTIONS.items()}
        except ValueError:
            counts = {}
        if sum(counts.values()) <= 0:
            raise CorpusError(f"corpus {name}: {path}: row {row['']} holds no numbers of votes; restore the table")
        votes[row["fileName"]] = counts
    return votes


def _read_table(name: str, path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise CorpusError(
            f"corpus {name}: {path} is missing; take it from https://github.com/CheyneyComputerScience/CREMA-D "
            f"and set corpora.{name}.annotations to its folder",
            Change(f"corpora.{name}.annotations", "FOLDER"),
        )
    return [dict(zip(columns, cells, strict=True)) for cells in read_table(path, name, columns)]

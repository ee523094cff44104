"""MSP-Podcast, spontaneous speech from podcasts, releases 1.6 to 1.12.

English speaking turns of 2.75 to 11 s, each judged by at least five crowd workers. Lotfian & Busso 2019, IEEE
Transactions on Affective Computing 10(4), pp. 471-483, DOI 10.1109/TAFFC.2017.2736999; Busso et al. 2025,
arXiv:2509.09791. https://lab-msp.com/MSP/MSP-Podcast.html; licence by agreement with the University of Texas at
Dallas, research only. Release 1.11 has 151,654 turns (Train 84,030, Development 19,815, Test1 30,647, Test2 14,815,
Test3 2,347), release 1.12 has 207,136.

`Audios/` holds the clips, `Labels/` the annotations, `Transcripts/` one text a clip (human, newer releases):

* `labels_consensus.csv` (called `labels_concensus.csv` in older releases): FileName, EmoClass, EmoAct, EmoVal,
  EmoDom, SpkrID, Gender, Split_Set. EmoClass is the plurality of the primary emotions: A anger, S sadness, H
  happiness, U surprise, F fear, D disgust, C contempt, N neutral, O other, X no agreement (no label here).
* `labels_detailed.csv`: FileName, EmoClass_Major (`Angry`, ..., `Other-confused`) and more, one row per rater and
  clip. Where there is none, `labels.txt` says the same in blocks of lines.
* `Partitions.txt` (`Partition.txt`): lines `Test1; MSP-PODCAST_0001_0008.wav`. It is read where the consensus table
  has no Split_Set, and for clips that are not in the table.

Arousal, valence and dominance are means of ratings from 1 (calm, negative, weak) to 7 (active, positive, strong).

* Parts keep the corpus's names. The development part is `Validation` in older releases and `Development` in newer
  ones. Both are understood by a task's official split, which tests on Test1 unless it says otherwise.
* Releases differ in clips, labels and partitions: name the release with every result. Removed clips of earlier
  releases lie in `Previous_releases_information/`, which is not looked into.
* The labels and speakers of Test3 are not public: `MSP-PODCAST_test3_*` are unlabelled clips of the part Test3.
* A speaker called Unknown is null. The parts are disjoint in speakers as far as speakers are known. Whether speaker
  numbers mean the same people in two releases is not documented.
* One clip, `MSP-PODCAST_1023_0235.wav`, is known to be stereo at 44.1 kHz in release 1.8; decoding copes with it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, CorpusError
from emoadapt.listing.accounts import Account, account_for
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_annotation,
    find_clips,
    map_code,
    parse_number,
    parse_sex,
    read_lines,
    read_table,
    refuse_unannotated,
)
from emoadapt.listing.emotions import count_votes, name_emotion
from emoadapt.listing.names import parse_known

TERMS = "research only, by agreement with the University of Texas at Dallas"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """MSP-Podcast 1.6-1.12: `Audios/` and `Labels/labels_consensus.csv`; parts Train, Development, Test1, ..."""

    importer: Literal["msp_podcast"]
    votes: bool = False
    """Read each rater's primary emotion from `labels_detailed.csv`, about a million rows."""
    transcripts: bool = False
    """Read `Transcripts/*.txt`, one small file a clip."""


EMOTIONS: dict[str, str | None] = {
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
    "X": None,
}
"""Codes of the consensus; X is no agreement."""
CONSENSUS = ("labels_consensus.csv", "labels_concensus.csv")
DETAILED = ("labels_detailed.csv", "labels.txt")
PARTITIONS = ("Partitions.txt", "Partition.txt", "partitions.txt", "partition.txt")
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender")
HIDDEN = "MSP-PODCAST_test3_"
"""Beginning of the names of the clips whose labels are not public."""
SOURCE = "https://lab-msp.com/MSP/MSP-Podcast.html"

NAMES = re.compile(r"(?:.*/)?(?P<clip>MSP-PODCAST_\w+)\.\w+")


def annotation_files(config: Config) -> list[Path]:
    """The consensus table and, where they are wanted, the votes."""
    files = [_find(config.importer, config, CONSENSUS)]
    return [*files, _find(config.importer, config, DETAILED)] if config.votes else files


def tables(config: Config) -> list[Path]:
    """The annotation files, the partition where it is there, and the transcripts where they are read."""
    partition = _find_partition(config.importer, config)
    folder = _find_transcripts(config.importer, config)
    transcripts = sorted(folder.glob("*.txt")) if folder else []
    return [*annotation_files(config), *([partition] if partition else []), *transcripts]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip below `Audios` (or the root); speakers are the corpus's numbers.

    Raises:
        CorpusError: a table is missing or malformed, a media file is named otherwise, is there twice, or is in no table.
    """
    clips = _find_clips(name, config)
    rows, parts = _read_consensus(name, config)
    partition: dict[str, str] | None = None
    transcripts = _find_transcripts(name, config)
    utterances, strangers = [], []
    for path, found in clips:
        clip = found["clip"]
        row, part = rows.get(clip), parts.get(clip)
        if row is None or not part:
            partition = _read_partition(name, config) if partition is None else partition
            part = partition.get(clip) or ("Test3" if clip.startswith(HIDDEN) else None)
            if row is None and part is None:
                strangers.append(path)
        utterances.append(
            Utterance(
                make_utterance_id(name, path),
                path,
                speaker=parse_known(row[5]) if row else None,
                sex=parse_sex(row[6]) if row else None,
                language="en",
                split=part,
                transcript=_read_transcript(transcripts, clip),
            )
        )
    refuse_unannotated(name, strangers, str(_find(name, config, CONSENSUS)))
    return utterances


def list_labels(name: str, config: Config) -> list[Label]:
    """Consensus and mean attributes of each clip, with the raters' votes where they are asked for.

    Raises:
        CorpusError: as `list_utterances`, or an emotion code that the corpus does not have.
    """
    clips = _find_clips(name, config)
    path = _find(name, config, CONSENSUS)
    rows, _ = _read_consensus(name, config)
    ballots = _read_votes(name, config) if config.votes else {}
    labels = []
    for media, found in clips:
        clip = found["clip"]
        if (row := rows.get(clip)) is None:
            continue
        votes, soft = count_votes(ballots.get(clip, ()))
        labels.append(
            Label(
                make_utterance_id(name, media),
                map_code(name, path, EMOTIONS, row[1].strip(), clip),
                votes=votes,
                soft=soft,
                arousal=parse_number(row[2]),
                valence=parse_number(row[3]),
                dominance=parse_number(row[4]),
            )
        )
    return labels


def account_rows(name: str, config: Config) -> Account:
    """Account for the rows of the consensus table."""
    path = _find(name, config, CONSENSUS)
    keys = [_key(file) for (file,) in read_table(path, name, COLUMNS[:1])]
    return account_for(path.name, keys, [parts["clip"] for _, parts in _find_clips(name, config)])


def _key(file: str) -> str:
    """A clip's name, of the table's file."""
    return file.partition(".")[0]


def _find_clips(name: str, config: Config) -> list[Clip]:
    # Below the root of a release lie removed clips of earlier ones as well.
    below = [folder for folder in ("Audios", "Audio") if Path(config.root, folder).is_dir()] or [""]
    clips = find_clips(name, config.root, NAMES, "MSP-Podcast (MSP-PODCAST_0001_0008.wav)", below=below)
    return choose_recordings(name, clips, config.modalities)


def _find(name: str, config: Config, names: tuple[str, ...]) -> Path:
    folder = Path(config.annotations or config.root)
    return find_annotation(name, [folder, folder / "Labels", folder.parent, folder.parent / "Labels"], names, SOURCE)


def _read_consensus(name: str, config: Config) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Clip -> its cells in the order of COLUMNS, and clip -> its part where the table names parts."""
    path = _find(name, config, CONSENSUS)
    with path.open(encoding="utf-8-sig") as file:
        has_parts = "split_set" in file.readline().lower()
    table = read_table(path, name, (*COLUMNS, "Split_Set") if has_parts else COLUMNS)
    rows = {_key(row[0]): row for row in table}
    return rows, {clip: row[-1].strip() for clip, row in rows.items()} if has_parts else {}


def _find_partition(name: str, config: Config) -> Path | None:
    try:
        return _find(name, config, PARTITIONS)
    except CorpusError:
        return None


def _read_partition(name: str, config: Config) -> dict[str, str]:
    """Clip -> part; empty where there is no such file."""
    if (path := _find_partition(name, config)) is None:
        return {}
    parts = {}
    for line in read_lines(path, name):
        part, separator, file = line.partition(";")
        if separator:
            parts[file.strip().rpartition(".")[0]] = part.strip()
    return parts


def _read_votes(name: str, config: Config) -> dict[str, list[str]]:
    """Clip -> primary emotions that its raters chose; what is none of ours counts as other."""
    path = _find(name, config, DETAILED)
    ballots: dict[str, list[str]] = defaultdict(list)
    known: dict[str, str] = {}
    for file, word in _list_choices(path, name):
        emotion = known.get(word)
        if emotion is None:
            emotion = known[word] = name_emotion(word) or "other"
        ballots[file].append(emotion)
    return {file.rpartition(".")[0] or file: emotions for file, emotions in ballots.items()}


def _list_choices(path: Path, name: str) -> list[tuple[str, ...]]:
    """(file, primary emotion) of each rater, from the table or from the blocks of `labels.txt`."""
    if path.suffix == ".csv":
        return read_table(path, name, ("FileName", "EmoClass_Major"))
    choices: list[tuple[str, ...]] = []
    file = ""
    for line in read_lines(path, name):
        cells = line.split(";")
        if len(cells) < 2:
            continue
        if cells[0].startswith("MSP-PODCAST"):
            file = cells[0].strip()
        elif file:
            choices.append((file, cells[1].strip()))
    return choices


def _find_transcripts(name: str, config: Config) -> Path | None:
    if not config.transcripts:
        return None
    for folder in (Path(config.annotations or config.root), Path(config.root), Path(config.root).parent):
        if (found := folder / "Transcripts").is_dir():
            return found
    raise CorpusError(
        f"corpus {name}: there is no folder Transcripts in {config.annotations or config.root}; unpack Transcripts.zip "
        f"there, or set corpora.{name}.transcripts: false",
        Change(f"corpora.{name}.transcripts", False),
    )


def _read_transcript(folder: Path | None, clip: str) -> str | None:
    if folder is None:
        return None
    try:
        text = (folder / f"{clip}.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not every clip is transcribed
        return None
    return " ".join(text.split()) or None

"""MSP-Face, recordings of a video-sharing site, with and without emotional labels.

491 English speakers, 27,325 segments (70.7 h): 9,370 with labels (24.7 h), 17,955 without (46 h). Vidal, Salman, Lin
& Busso 2020, ICMI, pp. 397-405, DOI 10.1145/3382507.3418872. https://lab-msp.com/MSP/MSP-Face.html and the repository
that goes with it (links, segmentation, `Labels/`, `Doc/`); no version number. The videos are others': they are
downloaded from the site, and research only.

Segments are `MSP-FACE_<video>_<part>.{mp4,wav}` in any folders and any capitals. `Labels/labels_concensus.json` (so
spelled) holds per segment EmoClass_Major (the plurality of at least five raters: A anger, S sadness, H happiness, U
surprise, F fear, D disgust, C contempt, N neutral, O other, X no agreement, which has no label here), EmoAct, EmoVal,
EmoDom, SpkrID, Gender and Split_Set; `Labels/labels_detailed.json` each rater's EmoClass_Major;
`Doc/speaker_id_segments.txt` and `Doc/speaker_id_gender.txt` the speakers of all segments.

* Arousal, valence and dominance are means of ratings from 1 to 7, as in MSP-Podcast.
* Parts keep the corpus's names; unlabelled segments have none.
* Where the corpus names no speaker for a segment, its video counts as one (`video_0253`): each video shows a single
  person. One person may have made several videos.
* Videos vanish from the site: segments of the labels that are not on disk are left out and counted.
* `labels: none` needs the media only, for Stage 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.corpora.msp_podcast import EMOTIONS
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
    read_json,
    read_lines,
)
from emoadapt.listing.emotions import count_votes, name_emotion
from emoadapt.listing.names import parse_known

TERMS = "research only; the videos are their makers'"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """MSP-Face: segments `MSP-FACE_<video>_<part>.{mp4,wav}`; labelled and unlabelled part."""

    importer: Literal["msp_face"]
    part: Literal["all", "labelled", "unlabelled"] = "all"
    """Which clips: those with raters, those without, or both."""
    labels: Literal["consensus", "none"] = "consensus"
    """`none` needs no annotation files: all clips are unlabelled, and one video is taken for one speaker."""


CONSENSUS = (
    "Labels/labels_concensus.json",
    "Labels/labels_consensus.json",
    "labels_concensus.json",
    "labels_consensus.json",
)
DETAILED = ("Labels/labels_detailed.json", "labels_detailed.json")
SPEAKERS = ("Doc/speaker_id_segments.txt", "speaker_id_segments.txt")
SEXES = ("Doc/speaker_id_gender.txt", "speaker_id_gender.txt")
SOURCE = "https://lab-msp.com/MSP/MSP-Face.html"

NAMES = re.compile(r"(?:.*/)?(?P<clip>MSP-FACE_(?P<video>\d+)_\d+)\.\w+", re.IGNORECASE)
_SEGMENT = re.compile(r"(MSP-FACE_\d+_\d+)(?:\.\w+)?", re.IGNORECASE)


def annotation_files(config: Config) -> list[Path]:
    """The consensus and, where they are there, the raters' votes."""
    if config.labels == "none":
        return []
    files = [_find(config.importer, config, CONSENSUS), _find_optional(config, DETAILED)]
    return [path for path in files if path is not None]


def tables(config: Config) -> list[Path]:
    """The annotation files, and the speakers' tables that are there."""
    speakers = [_find_optional(config, SPEAKERS), _find_optional(config, SEXES)]
    return [*annotation_files(config), *(path for path in speakers if path is not None)]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per segment of the wanted part; speakers are the corpus's numbers, or `video_<number>`.

    Raises:
        CorpusError: a media file is named otherwise or is there twice, or the labels are needed and missing.
    """
    rows = _read_consensus(name, config)
    speakers, sexes = _read_speakers(name, config)
    utterances = []
    for path, parts in _find_clips(name, config, rows):
        row = rows.get(_key(parts), {})
        speaker = parse_known(row.get("SpkrID")) or speakers.get(_key(parts))
        utterances.append(
            Utterance(
                make_utterance_id(name, path),
                path,
                speaker=speaker or f"video_{parts['video']}",
                sex=parse_sex(row.get("Gender")) or sexes.get(speaker or ""),
                language="en",
                split=row.get("Split_Set") or None,
            )
        )
    return utterances


def list_labels(name: str, config: Config) -> list[Label]:
    """Consensus, mean attributes and votes of the labelled segments; the others have no row.

    Raises:
        CorpusError: as `list_utterances`, or an emotion code that the corpus does not have.
    """
    rows = _read_consensus(name, config)
    path = _find(name, config, CONSENSUS) if rows else Path()
    ballots = _read_votes(name, config) if rows else {}
    labels = []
    for media, parts in _find_clips(name, config, rows):
        if (row := rows.get(_key(parts))) is None:
            continue
        votes, soft = count_votes(ballots.get(_key(parts), ()))
        labels.append(
            Label(
                make_utterance_id(name, media),
                map_code(name, path, EMOTIONS, str(row.get("EmoClass_Major", "")).strip(), parts["clip"]),
                votes=votes,
                soft=soft,
                arousal=parse_number(row.get("EmoAct")),
                valence=parse_number(row.get("EmoVal")),
                dominance=parse_number(row.get("EmoDom")),
            )
        )
    return labels


def account_rows(name: str, config: Config) -> Account | None:
    """Account for the labelled segments."""
    if config.labels == "none":
        return None
    path = _find(name, config, CONSENSUS)
    rows = _read_consensus(name, config)
    clips = [_key(parts) for _, parts in _find_clips(name, config, rows)]
    unwanted = {"part: unlabelled is wanted": rows} if config.part == "unlabelled" else {}
    return account_for(path.name, [_segment(key) for key in read_json(path, name)], clips, unwanted)


def _find_clips(name: str, config: Config, rows: dict[str, dict[str, Any]]) -> list[Clip]:
    clips = find_clips(name, config.root, NAMES, "MSP-Face (MSP-FACE_0253_0006.mp4)")
    if config.part != "all":
        clips = [clip for clip in clips if (_key(clip[1]) in rows) == (config.part == "labelled")]
    return choose_recordings(name, clips, config.modalities, lambda clip: _key(clip[1]))


def _key(parts: re.Match[str]) -> str:
    """A segment's name in the tables."""
    return parts["clip"].upper()


def _segment(name: str) -> str:
    """A segment's name in capitals, without extension."""
    return name.partition(".")[0].upper()


def _find(name: str, config: Config, names: tuple[str, ...]) -> Path:
    folder = Path(config.annotations or config.root)
    return find_annotation(name, [folder, folder.parent], names, SOURCE)


def _find_optional(config: Config, names: tuple[str, ...]) -> Path | None:
    try:
        return _find("", config, names)
    except CorpusError:
        return None


def _read_consensus(name: str, config: Config) -> dict[str, dict[str, Any]]:
    """Segment (capitals, without extension) -> its fields; empty where labels are not wanted."""
    if config.labels == "none":
        if config.part != "all":
            raise CorpusError(
                f"corpus {name}: part: {config.part} needs the labels, to know which clips have any; "
                f"set corpora.{name}.labels: consensus, or part: all",
                Change(f"corpora.{name}.labels", "consensus"),
                Change(f"corpora.{name}.part", "all"),
            )
        return {}
    path = _find(name, config, CONSENSUS)
    rows = {}
    for segment, fields in read_json(path, name).items():
        row = fields[0] if isinstance(fields, list) and fields else fields
        if not isinstance(row, dict):
            raise CorpusError(
                f"corpus {name}: {path}: {segment} holds no fields (EmoClass_Major, ...); restore the corpus's own file"
            )
        rows[_segment(segment)] = row
    return rows


def _read_votes(name: str, config: Config) -> dict[str, list[str]]:
    """Segment -> primary emotions that its raters chose; empty where the file is missing."""
    path = _find_optional(config, DETAILED)
    if path is None:
        return {}
    return {
        _segment(segment): [
            name_emotion(str(worker.get("EmoClass_Major", ""))) or "other" for worker in entry.get("Workers", [])
        ]
        for segment, entry in read_json(path, name).items()
    }


def _read_speakers(name: str, config: Config) -> tuple[dict[str, str], dict[str, str]]:
    """Segment -> speaker and speaker -> sex, from whichever of the two tables are there.

    Cells may be separated by blanks, commas, semicolons or tabs, in either order; other lines are passed over.
    """
    speakers: dict[str, str] = {}
    sexes: dict[str, str] = {}
    if (path := _find_optional(config, SPEAKERS)) is not None:
        for line in read_lines(path, name):
            segment = _SEGMENT.search(line)
            others = [cell for cell in re.split(r"[;,\s]+", _SEGMENT.sub("", line)) if cell]
            if segment is not None and len(others) == 1 and (speaker := parse_known(others[0])) is not None:
                speakers[segment[1].upper()] = speaker
    if (path := _find_optional(config, SEXES)) is not None:
        for line in read_lines(path, name):
            cells = [cell for cell in re.split(r"[;,\s]+", line) if cell]
            found = [sex for cell in cells if (sex := parse_sex(cell)) is not None]
            others = [cell for cell in cells if parse_sex(cell) is None]
            if len(found) == 1 and len(others) == 1:
                sexes[others[0]] = found[0]
    return speakers, sexes

"""DAIC-WOZ, the Distress Analysis Interview Corpus, Wizard of Oz: interviews about depression.

English, 189 people talk for 7 to 33 minutes with Ellie, an animated interviewer whom two people steer. Gratch et al.
2014, LREC, pp. 3123-3128; its partition is that of AVEC 2017 (Ringeval et al., DOI 10.1145/3133944.3133953).
https://dcapswoz.ict.usc.edu/; licence by agreement with the University of Southern California, research only; no
version number. E-DAIC, the extended corpus, has other folders and is not read.

`300_P/300_AUDIO.wav` is an interview at 16 kHz, `300_P/300_TRANSCRIPT.csv` its lines with tabs between the cells:
start_time, stop_time (s), speaker (Ellie or Participant), value (the words).
`train_split_Depression_AVEC2017.csv` and `dev_split_...` have the columns Participant_ID, PHQ8_Binary, PHQ8_Score,
Gender (0 female, 1 male), `full_test_split.csv` PHQ_Binary and PHQ_Score; `test_split_Depression_AVEC2017.csv` has no scores.

* Utterances are lines of the participant alone. Ellie's questions tell who is depressed (Burdisso et al. 2024,
  arXiv:2404.14463), and her voice is a synthetic one.
* The label is of the person, from a questionnaire (PHQ-8, 10 points or more), not of what is said in a line. All lines
  of an interview have it. In participant 409, PHQ8_Binary is 0 and the score 10: `labels: score` follows the score.
* The parts are train, dev and test, of 107, 35 and 47 people. Many studies report results on dev.
* Lines without speech of the participant are left out: marks of synchronisation (`<sync>`) and `scrubbed_entry`, names whose
  sound was erased. So are lines during the interruptions of interviews 373 and 444.
* The transcripts of 318, 321, 341 and 362 are early by 34.3, 3.8, 6.2 and 16.9 s, which is corrected. These times and the
  interruptions are those of the public code of Bailey & Plumbley ("Gender Bias in Depression Detection Using Audio
  Features", EUSIPCO 2021); `corrections: false` reads the transcripts as they are.
* Interviews 451, 458 and 480 have no lines of Ellie; 342, 394, 398 and 460 are no part of the corpus.
* `depressed: 100, normal: 39` keeps as many random lines of each interview, as Dutta & Ganapathy (2025) do. Another
  `seed` draws others; theirs are pieces of 10 s, and drawn anew for each split.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import show
from emoadapt.listing.accounts import REPEATED, Account
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_annotation,
    find_clips,
    map_code,
    parse_number,
    read_lines,
    read_table,
    refuse_turn,
    refuse_unannotated,
)

TERMS = "research only, by agreement with the University of Southern California"
LABELS = None
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """DAIC-WOZ: `300_P/300_AUDIO.wav`, `300_TRANSCRIPT.csv` and the tables of AVEC 2017; parts train, dev, test."""

    importer: Literal["daic_woz"]
    labels: Literal["binary", "score"] = "binary"
    """`binary`: the column PHQ8_Binary. `score`: depressed with a PHQ-8 score of 10 or more. They disagree on participant 409."""
    unit: Literal["line", "turn"] = "line"
    """`line`: an utterance for each line of a transcript. `turn`: lines of the participant between two of the interviewer are one,
    with the pauses between them."""
    corrections: bool = True
    """Correct the times of four interviews, and leave out the interruptions of two; false: read transcripts as they are."""
    depressed: int | None = Field(None, ge=1)
    """Number of utterances to draw of each interview with the label `depressed`. null: all."""
    normal: int | None = Field(None, ge=1)
    """The same of each interview with the label `normal`."""
    seed: int = Field(0, ge=0)
    """Seed of these draws."""


BINARY: dict[str, str | None] = {"0": "normal", "1": "depressed"}
SEXES = {"0": "female", "1": "male"}
THRESHOLD = 10
"""PHQ-8 score from which a person counts as depressed."""
TABLES = {
    "train": ("train_split_Depression_AVEC2017.csv",),
    "dev": ("dev_split_Depression_AVEC2017.csv",),
    "test": ("full_test_split.csv", "test_split_Depression_AVEC2017.csv"),
}
"""Part -> names of its table, that with scores first."""
UNSCORED = "test_split_Depression_AVEC2017.csv"
SHIFTS = {"318": 34.319917, "321": 3.8379167, "341": 6.1892, "362": 16.8582}
"""Interview -> s by which its transcript is early."""
INTERRUPTIONS = {"373": (395.0, 428.0), "444": (286.0, 387.0)}
"""Interview -> s from beginning to end of its interruption."""
SOURCE = "https://dcapswoz.ict.usc.edu/"

INTERVIEWER = "of the interviewer"
NO_SPEECH = "a mark of synchronisation, or erased"
INTERRUPTED = "during an interruption of the interview"
NO_TIME = "it ends before it begins"
NOT_DRAWN = "not drawn"

NAMES = re.compile(r"(?P<clip>\d{3})_P/(?P=clip)_AUDIO\.\w+")
_NO_WORDS = re.compile(r"\W*synch?(?:ing)?\W*|.*scrubbed_entry.*", re.IGNORECASE)
_FORM = "start_time, stop_time, Ellie or Participant, value, with tabs between them"


@dataclass(frozen=True)
class _Person:
    """A row of a part's table."""

    table: Path
    part: str
    sex: str | None
    binary: str | None
    score: float | None


@dataclass(frozen=True)
class _Line:
    """A line of a transcript, or several that were joined."""

    start: float
    end: float
    words: str
    rows: int = 1
    left_out: str | None = None
    """Why it is no utterance."""


def describe_labels(config: Config) -> str:
    """The questionnaire."""
    return f"PHQ-8 questionnaire, {THRESHOLD} points or more" + (" (PHQ8_Binary)" if config.labels == "binary" else "")


def annotation_files(config: Config) -> list[Path]:
    """The tables of the parts that are there."""
    return list(_list_tables(config.importer, config).values())


def tables(config: Config) -> list[Path]:
    """The tables of the parts and the transcripts."""
    return [*annotation_files(config), *sorted(Path(config.root).glob("[0-9]*_P/[0-9]*_TRANSCRIPT.csv"))]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per line or turn of the participants; speakers are the numbers of the interviews.

    Raises:
        CorpusError: a media file is named otherwise, an interview has no transcript or is in no table, or a line cannot be read.
    """
    people = _read_people(name, config)
    return [
        Utterance(
            make_utterance_id(name, path, line.start, line.end),
            path,
            line.start,
            line.end,
            speaker=clip,
            sex=people[clip].sex,
            language="en",
            split=people[clip].part,
            transcript=line.words or None,
        )
        for clip, path, line in _list_lines(name, config, people)
        if line.left_out is None
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """`depressed` or `normal`, the person's, for each utterance; none where the test part has no scores.

    Raises:
        CorpusError: as `list_utterances`, or a value of PHQ8_Binary that is neither 0 nor 1.
    """
    people = _read_people(name, config)
    return [
        Label(make_utterance_id(name, path, line.start, line.end), _judge(name, config, clip, people[clip]))
        for clip, path, line in _list_lines(name, config, people)
        if line.left_out is None
    ]


def account_rows(name: str, config: Config) -> Account:
    """Account for the lines of the transcripts."""
    rows = clips = 0
    left_out: dict[str, list[str]] = {}
    for clip, _, line in _list_lines(name, config, _read_people(name, config)):
        rows += line.rows
        if line.left_out is None:
            clips += line.rows
        else:
            left_out.setdefault(line.left_out, []).extend([f"{clip} {line.start:.2f}"] * line.rows)
    return Account("the transcripts", rows, clips, left_out)


def list_notes(name: str, config: Config) -> list[str]:
    """Interviews that are missing, and people whose score and label disagree."""
    people = _read_people(name, config)
    absent = sorted(people.keys() - {parts["clip"] for _, parts in _find_clips(name, config)})
    notes = (
        [f"{len(absent)} of the {len(people)} interviews of the tables are missing: {show(absent)}"] if absent else []
    )
    for clip, person in people.items():
        if person.score is not None and BINARY.get(person.binary or "") != _rate(person.score):
            notes.append(
                f"participant {clip}: {person.table.name} has the binary label {person.binary} and the score {person.score:g}; "
                f"labels: {config.labels} is read"
            )
    return notes


def _judge(name: str, config: Config, clip: str, person: _Person) -> str | None:
    """The label of a person."""
    if config.labels == "score" and person.score is not None:
        return _rate(person.score)
    return None if person.binary is None else map_code(name, person.table, BINARY, person.binary, clip)


def _rate(score: float) -> str:
    return "depressed" if score >= THRESHOLD else "normal"


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(name, config.root, NAMES, "DAIC-WOZ (300_P/300_AUDIO.wav)")
    return choose_recordings(name, clips, config.modalities)


def _list_tables(name: str, config: Config) -> dict[str, Path]:
    """Part -> its table; that of the training part must be there."""
    folder = Path(config.annotations or config.root)
    found = {"train": find_annotation(name, [folder, folder.parent], TABLES["train"], SOURCE)}
    for part in ("dev", "test"):
        places = [place / file for place in (folder, folder.parent) for file in TABLES[part]]
        if there := [path for path in places if path.is_file()]:
            found[part] = there[0]
    return found


def _read_people(name: str, config: Config) -> dict[str, _Person]:
    """Interview -> its participant, of all tables."""
    people = {}
    for part, path in _list_tables(name, config).items():
        scored = path.name != UNSCORED
        kind = "PHQ" if path.name == TABLES["test"][0] else "PHQ8"
        columns = ("Participant_ID", "Gender", *((f"{kind}_Binary", f"{kind}_Score") if scored else ()))
        for clip, sex, *phq in read_table(path, name, columns):
            binary, score = (phq[0].strip(), parse_number(phq[1])) if phq else (None, None)
            people[clip.strip()] = _Person(path, part, SEXES.get(sex.strip()), binary, score)
    return people


def _list_lines(name: str, config: Config, people: dict[str, _Person]) -> Iterator[tuple[str, str, _Line]]:
    """(interview, its media file, line) in the order of the transcripts, with what was left out."""
    clips = _find_clips(name, config)
    files = ", ".join(path.name for path in _list_tables(name, config).values())
    refuse_unannotated(name, [path for path, parts in clips if parts["clip"] not in people], files)
    for path, parts in clips:
        clip = parts["clip"]
        lines = _read_transcript(name, config, clip, path)
        if config.unit == "turn" and any(line.left_out == INTERVIEWER for line in lines):
            lines = _join_turns(lines)
        wanted = {"depressed": config.depressed, "normal": config.normal}.get(
            _judge(name, config, clip, people[clip]) or ""
        )
        for line in _draw_lines(lines, wanted, f"{config.seed} {clip}"):
            yield clip, path, line


def _read_transcript(name: str, config: Config, clip: str, media: str) -> list[_Line]:
    path = Path(config.root, media).with_name(f"{clip}_TRANSCRIPT.csv")
    lines = []
    for number, text in enumerate(read_lines(path, name), 1):
        if not text or (number == 1 and text.startswith("start_time")):
            continue
        start, end, speaker, words = (*(cell.strip() for cell in text.split("\t", 3)), "", "", "")[:4]
        times = parse_number(start), parse_number(end)
        if times[0] is None or times[1] is None or speaker not in ("Ellie", "Participant"):
            raise refuse_turn(name, path, number, _FORM, text)
        lines.append(_place_line(config, clip, times[0], times[1], speaker, words))
    last = {(line.start, line.end): line for line in lines if line.left_out is None}
    return [
        replace(line, left_out=REPEATED) if line.left_out is None and last[line.start, line.end] is not line else line
        for line in lines
    ]


def _place_line(config: Config, clip: str, start: float, end: float, speaker: str, words: str) -> _Line:
    """A line at its corrected times, in whole ms, with the reason if it is no utterance."""
    shift = SHIFTS.get(clip, 0.0) if config.corrections else 0.0
    start, end = round(start + shift, 3), round(end + shift, 3)
    reason = None
    if speaker != "Participant":
        reason = INTERVIEWER
    elif _NO_WORDS.fullmatch(words):
        reason = NO_SPEECH
    elif config.corrections and clip in INTERRUPTIONS:
        begins, ends = INTERRUPTIONS[clip]
        reason = INTERRUPTED if start < ends and end > begins else None
    if reason is None and end <= start:
        reason = NO_TIME
    return _Line(start, end, words, left_out=reason)


def _join_turns(lines: list[_Line]) -> list[_Line]:
    """Lines of the participant that follow each other become one; any line that is left out ends it."""
    joined: list[_Line] = []
    for line in lines:
        if joined and line.left_out is None and joined[-1].left_out is None:
            last = joined.pop()
            line = _Line(last.start, max(last.end, line.end), f"{last.words} {line.words}".strip(), last.rows + 1)
        joined.append(line)
    return joined


def _draw_lines(lines: list[_Line], wanted: int | None, seed: str) -> list[_Line]:
    """All lines, those that were not drawn marked as left out; None and too large a number draw all."""
    places = [place for place, line in enumerate(lines) if line.left_out is None]
    if wanted is None or wanted >= len(places):
        return lines
    drawn = {*random.Random(seed).sample(places, wanted)}
    return [
        line if line.left_out is not None or place in drawn else replace(line, left_out=NOT_DRAWN)
        for place, line in enumerate(lines)
    ]

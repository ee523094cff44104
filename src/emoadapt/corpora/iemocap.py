"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database.

Ten English-speaking actors (five female, five male) in five sessions of two, improvised and scripted dialogues, about
12 h, 10,039 turns. Busso, Bulut, Lee, Kazemzadeh, Mower, Kim, Chang, Lee & Narayanan 2008, Language Resources and
Evaluation 42(4), pp. 335-359, DOI 10.1007/s10579-008-9076-6. https://sail.usc.edu/iemocap/; licence by agreement with
the University of Southern California, research only; no version number.

Turns are `Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav`: session, which of the two wears the
markers, dialogue, and who speaks. `Session1/dialog/EmoEvaluation/Ses01F_impro01.txt` has a block per turn, `[6.2901 -
8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]`, with the majority's emotion, then a line per
rater; the three numbers are valence, activation and dominance, means of ratings from 1 to 5.
`Session1/dialog/transcriptions/Ses01F_impro01.txt` has the words.

* Counts: ang 1,103, hap 595, exc 1,041, neu 1,708, sad 1,084, fru 1,849, fea 40, sur 107, dis 2, oth 3, xxx 2,507.
  `xxx`, no majority, has no label. Four-class studies merge exc into happiness (5,531 turns: `excitement:
  happiness`).
* Votes are those of the outside raters (C-E1 to C-E6), who may each choose several emotions; the actors' own
  judgement (C-F1, C-M1, ...) is no part of the consensus and is not counted. With `excitement: happiness` their votes
  are merged too.
* There is no official partition. The parts are `session1` to `session5`: leaving one session out, as is the custom,
  is `split: {by: leave_one_part_out}`. Leaving a speaker out instead keeps the partner of the dialogue in training.
* The actors of a script say the same lines in several sessions, so a model with the words (or that recognises them) can
  profit; many studies use the improvised dialogues only (`scenarios: [improvised]`).
* Pictures exist for whole dialogues with both actors, not for turns: this importer reads the sound of turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, CorpusError
from emoadapt.listing.accounts import UNWANTED_SCENARIO, Account, account_for
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_clips,
    map_code,
    parse_number,
    read_lines,
    refuse_turn,
    refuse_unannotated,
)
from emoadapt.listing.emotions import count_votes, name_emotion

TERMS = "research only, by agreement with the University of Southern California"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """IEMOCAP: `Session1..5/sentences/wav` and `dialog/EmoEvaluation`; parts session1 to session5."""

    importer: Literal["iemocap"]
    excitement: Literal["own_class", "happiness"] = "own_class"
    """Whether `exc` is a class of its own or is merged into happiness, as four-class studies do."""
    scenarios: tuple[Literal["improvised", "scripted"], ...] = Field(("improvised", "scripted"), min_length=1)
    """Which dialogues."""


EMOTIONS: dict[str, str | None] = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excitement",
    "sad": "sadness",
    "neu": "neutral",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "oth": "other",
    "xxx": None,
}
"""Codes of the majority; xxx is no majority."""
SCENARIOS = {"impro": "improvised", "script": "scripted"}
SESSIONS = tuple(f"Session{number}" for number in range(1, 6))

NAMES = re.compile(
    r"Session[1-5]/sentences/wav/(?:.*/)?"
    r"(?P<clip>Ses(?P<session>0[1-5])[FM]_(?P<scenario>impro|script)\w*_(?P<sex>[FM])(?:XX)?\d+)\.\w+"
)
_SUMMARY = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+(?P<clip>Ses\w+)\s+(?P<code>\w+)\s+\[(?P<valence>[^,]+),(?P<arousal>[^,]+),(?P<dominance>[^\]]+)\]"
)
_RATER = re.compile(r"C-E\d+:\s*(?P<words>[^(]*)")
_LINE = re.compile(r"(?P<clip>Ses\w+)\s+\[[^\]]*\]:\s*(?P<text>.*)")


@dataclass
class _Turn:
    """A block of an evaluation."""

    path: Path
    code: str
    valence: float | None
    arousal: float | None
    dominance: float | None
    votes: list[str] = field(default_factory=list)


def annotation_files(config: Config) -> list[Path]:
    """The evaluations of all sessions that are there."""
    return [path for session in SESSIONS for path in _list_texts(config, session, "EmoEvaluation")]


def tables(config: Config) -> list[Path]:
    """The evaluations and transcriptions of all sessions that are there."""
    transcriptions = [path for session in SESSIONS for path in _list_texts(config, session, "transcriptions")]
    return [*annotation_files(config), *transcriptions]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per turn of the wanted dialogues; speakers are `Ses01F` (who speaks) to `Ses05M`.

    Raises:
        CorpusError: a sound file is named otherwise, or there are turns and no evaluations.
    """
    clips = _find_clips(name, config)
    words = dict(_read_transcripts(name, config))
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=f"Ses{parts['session']}{parts['sex']}",
            sex="female" if parts["sex"] == "F" else "male",
            language="en",
            split=f"session{int(parts['session'])}",
            transcript=words.get(parts["clip"]),
        )
        for path, parts in clips
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The majority's emotion, mean attributes, and the outside raters' votes of each turn.

    Raises:
        CorpusError: as `list_utterances`; a turn is in no evaluation, or its code is not the corpus's.
    """
    turns = _read_turns(name, config)
    clips = _find_clips(name, config)
    refuse_unannotated(
        name, [path for path, parts in clips if parts["clip"] not in turns], "Session*/dialog/EmoEvaluation/*.txt"
    )
    labels = []
    for path, parts in clips:
        turn = turns[parts["clip"]]
        emotion = map_code(name, turn.path, EMOTIONS, turn.code, parts["clip"])
        votes, soft = count_votes(_merge(vote, config) for vote in turn.votes)
        labels.append(
            Label(
                make_utterance_id(name, path),
                None if emotion is None else _merge(emotion, config),
                votes=votes,
                soft=soft,
                arousal=turn.arousal,
                valence=turn.valence,
                dominance=turn.dominance,
            )
        )
    return labels


def account_rows(name: str, config: Config) -> Account:
    """Account for the turns of the evaluations."""
    turns = [clip for clip, _ in _list_turns(name, config)]
    kinds = [scenario for scenario, kind in SCENARIOS.items() if kind in config.scenarios]
    unwanted = [clip for clip in turns if not any(f"_{kind}" in clip for kind in kinds)]
    clips = [parts["clip"] for _, parts in _find_clips(name, config)]
    return account_for("the evaluations", turns, clips, {UNWANTED_SCENARIO: unwanted})


def list_notes(name: str, config: Config) -> list[str]:
    """Sessions that are missing."""
    absent = [session for session in SESSIONS if not Path(config.root, session).is_dir()]
    return [f"{', '.join(absent)} of 5 sessions are missing"] if absent else []


def _merge(emotion: str, config: Config) -> str:
    return "happiness" if emotion == "excitement" and config.excitement == "happiness" else emotion


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(
        name,
        config.root,
        NAMES,
        "IEMOCAP (Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav)",
        below=[f"{session}/sentences/wav" for session in SESSIONS],
    )
    wanted = [clip for clip in clips if SCENARIOS[clip[1]["scenario"]] in config.scenarios]
    return choose_recordings(name, wanted, config.modalities)


def _list_texts(config: Config, session: str, folder: str) -> list[Path]:
    return sorted(
        path for path in Path(config.root, session, "dialog", folder).glob("Ses*.txt") if not path.name.startswith(".")
    )


def _read_turns(name: str, config: Config) -> dict[str, _Turn]:
    return dict(_list_turns(name, config))


def _list_turns(name: str, config: Config) -> list[tuple[str, _Turn]]:
    """(turn, its block) of all evaluations, in their order."""
    if not (paths := annotation_files(config)):
        raise CorpusError(
            f"corpus {name}: there is no Session*/dialog/EmoEvaluation/Ses*.txt under {config.root}; it comes with the corpus: "
            f"put it there, or correct corpora.{name}.root (the folder that holds Session1)",
            Change(f"corpora.{name}.root", "FOLDER"),
        )
    turns: list[tuple[str, _Turn]] = []
    for path in paths:
        current: _Turn | None = None
        for number, line in enumerate(read_lines(path, name, encoding="latin-1"), 1):
            if (summary := _SUMMARY.match(line)) is not None:
                current = _Turn(
                    path,
                    summary["code"],
                    parse_number(summary["valence"]),
                    parse_number(summary["arousal"]),
                    parse_number(summary["dominance"]),
                )
                turns.append((summary["clip"], current))
            elif line.startswith("["):
                raise refuse_turn(name, path, number, "[start - end] turn code [V, A, D]", line)
            elif current is not None and (rater := _RATER.match(line)) is not None:
                words = [word for word in rater["words"].split(";") if word.strip()]
                current.votes += [name_emotion(word) or "other" for word in words]
    return turns


def _read_transcripts(name: str, config: Config) -> Iterator[tuple[str, str]]:
    """(turn, words) of every line of the transcriptions that are there."""
    for session in SESSIONS:
        for path in _list_texts(config, session, "transcriptions"):
            for line in read_lines(path, name, encoding="latin-1"):
                if (parts := _LINE.match(line)) is not None and parts["text"]:
                    yield parts["clip"], parts["text"]

"""MSP-IMPROV, dyadic improvisations that contain given sentences in four emotions.

Twelve English-speaking actors (six female, six male) in six sessions of two; 8,438 turns with picture. Busso,
Parthasarathy, Burmania, AbdelWahab, Sadoughi & Mower Provost 2017, IEEE Transactions on Affective Computing 8(1), pp.
67-80, DOI 10.1109/TAFFC.2016.2515617. https://lab-msp.com/MSP/MSP-Improv.html; licence by agreement with the
University of Texas at Dallas, research only; no version number.

Files are `session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.{wav,avi}`: sentence (01-20) and intended emotion (A, H, N, S),
actor (sex and session), scenario, turn. Scenarios are T target sentences, improvised (652 turns), S the other turns
of the improvisations (4,381), P natural interaction in the breaks (2,785), R target sentences, read (620).

`Evalution.txt` (so spelled; `Evaluation.txt` in some copies) has a block per turn, beginning with
`UTD-IMPROV-S01A-F01-S-FM01.avi; N; A:3.000000; V:3.500000; D:3.000000 ; N:3.666667;`: consensus, activation, valence,
dominance, naturalness; then a line per rater, `<rater>; Neutral; <secondary emotions>; A:...`.

* Labels are the raters' plurality: A anger, S sadness, H happiness, N neutral (792, 885, 2,644, 3,477), O other; X,
  no agreement, has no label. The intended emotion is not used.
* Raters are counted once per turn; some copies repeat their lines. Their primary emotions are the votes.
* Attributes are means of ratings from 1 to 5: valence negative to positive, dominance weak to strong. Activation is
  written from 1, most active, to 5, most passive, as users of the corpus report; arousal is 6 minus it, so that more
  is more active (`activation: ascending` takes it as written). Dominance was not rated for all turns.
* Two actors of a session talk to each other, and each sentence recurs. There is no official partition; the parts are
  `session1` to `session6`, for `split: {by: leave_one_part_out}`, or an official split that names sessions: `{by:
  official, train: [session1, ...], dev: [session5], test: [session6]}`.
* Transcripts are read where the folder `All_human_transcriptions` (a later addition) is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.listing.accounts import UNWANTED_SCENARIO, Account, account_for
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_annotation,
    find_clips,
    map_code,
    parse_number,
    read_lines,
    refuse_turn,
    refuse_unannotated,
)
from emoadapt.listing.emotions import count_votes, name_emotion

TERMS = "research only, by agreement with the University of Texas at Dallas"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """MSP-IMPROV: `MSP-IMPROV-S01A-F01-S-FM01.{wav,avi}` and `Evalution.txt`; parts session1 to session6."""

    importer: Literal["msp_improv"]
    scenarios: tuple[Literal["target_improvised", "other_improvised", "natural", "read"], ...] = Field(
        ("target_improvised", "other_improvised", "natural", "read"), min_length=1
    )
    """Which recordings: the improvised target sentences (T), what else was improvised (S), talk in the breaks (P), the
    target sentences read (R)."""
    activation: Literal["descending", "ascending"] = "descending"
    """Direction of the activation scale of `Evalution.txt`: `descending` = 1 is the most active, and it is turned round."""


EMOTIONS: dict[str, str | None] = {
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "N": "neutral",
    "O": "other",
    "X": None,
}
"""Codes of the consensus; X is no agreement."""
SCENARIOS = {"T": "target_improvised", "S": "other_improvised", "P": "natural", "R": "read"}
EVALUATION = ("Evalution.txt", "Evaluation.txt")
TRANSCRIPTS = ("All_human_transcriptions", "Human_transcriptions/All_human_transcriptions")
SOURCE = "https://lab-msp.com/MSP/MSP-Improv.html"

_TURN = r"S\d\d[AHNS]-(?P<actor>(?P<sex>[FM])0(?P<session>[1-6]))-(?P<scenario>[PRST])-[FM]{2}\d+"
NAMES = re.compile(rf"(?:.*/)?(?P<clip>MSP-IMPROV-{_TURN})\.\w+")
_SUMMARY = re.compile(r"UTD-(?P<clip>IMPROV-[\w-]+)\.avi\s*;\s*(?P<code>\w+)\s*;(?P<rest>.*)")
_ATTRIBUTE = re.compile(r"\b([AVD]):\s*([\d.]+|NaN)")


@dataclass
class _Turn:
    """A block of `Evalution.txt`."""

    code: str
    attributes: dict[str, float | None]
    votes: dict[str, str] = field(default_factory=dict)
    """Rater -> primary emotion."""


def annotation_files(config: Config) -> list[Path]:
    """The evaluation."""
    return [_find(config.importer, config)]


def tables(config: Config) -> list[Path]:
    """The evaluation and the transcripts that are there."""
    return [*annotation_files(config), *_list_transcripts(config)]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per turn of the wanted scenarios; speakers are F01 to M06.

    Raises:
        CorpusError: a media file is named otherwise, or a turn is there twice in one format.
    """
    transcripts = _read_transcripts(config)
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=parts["actor"],
            sex="female" if parts["sex"] == "F" else "male",
            language="en",
            split=f"session{parts['session']}",
            transcript=transcripts.get(parts["clip"]),
        )
        for path, parts in _find_clips(name, config)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """Consensus, mean attributes and votes of each turn.

    Raises:
        CorpusError: as `list_utterances`; the evaluation is missing, lacks a turn, or has a code that is not the corpus's.
    """
    path = _find(name, config)
    turns = _read_turns(name, path)
    clips = _find_clips(name, config)
    refuse_unannotated(name, [media for media, parts in clips if parts["clip"] not in turns], str(path))
    labels = []
    for media, parts in clips:
        turn = turns[parts["clip"]]
        votes, soft = count_votes(turn.votes.values())
        activation = turn.attributes.get("A")
        if activation is not None and config.activation == "descending":
            activation = 6 - activation
        labels.append(
            Label(
                make_utterance_id(name, media),
                map_code(name, path, EMOTIONS, turn.code, parts["clip"]),
                votes=votes,
                soft=soft,
                arousal=activation,
                valence=turn.attributes.get("V"),
                dominance=turn.attributes.get("D"),
            )
        )
    return labels


def account_rows(name: str, config: Config) -> Account:
    """Where the turns of the evaluation went."""
    path = _find(name, config)
    turns = [clip for clip, _ in _list_turns(name, path)]
    unwanted = [clip for clip in turns if SCENARIOS.get(clip.split("-")[-2]) not in config.scenarios]
    clips = [parts["clip"] for _, parts in _find_clips(name, config)]
    return account_for(path.name, turns, clips, {UNWANTED_SCENARIO: unwanted})


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(name, config.root, NAMES, "MSP-IMPROV (MSP-IMPROV-S01A-F01-S-FM01.wav)")
    wanted = [clip for clip in clips if SCENARIOS[clip[1]["scenario"]] in config.scenarios]
    return choose_recordings(name, wanted, config.modalities)


def _find(name: str, config: Config) -> Path:
    folder = Path(config.annotations or config.root)
    return find_annotation(name, [folder, folder.parent], EVALUATION, SOURCE)


def _read_turns(name: str, path: Path) -> dict[str, _Turn]:
    return dict(_list_turns(name, path))


def _list_turns(name: str, path: Path) -> list[tuple[str, _Turn]]:
    """(turn, its block) in the order of the file."""
    turns: list[tuple[str, _Turn]] = []
    current: _Turn | None = None
    for number, line in enumerate(read_lines(path, name, encoding="latin-1"), 1):
        if not line:
            current = None
        elif (summary := _SUMMARY.match(line)) is not None:
            attributes = {letter: parse_number(value) for letter, value in _ATTRIBUTE.findall(summary["rest"])}
            current = _Turn(summary["code"], attributes)
            turns.append((f"MSP-{summary['clip']}", current))
        elif line.startswith("UTD-"):
            raise refuse_turn(name, path, number, "UTD-IMPROV-....avi; code; A:..", line)
        elif current is not None:
            rater, _, rest = line.partition(";")
            word = rest.partition(";")[0]
            if word.strip():
                current.votes.setdefault(rater.strip(), name_emotion(word) or "other")
    return turns


def _list_transcripts(config: Config) -> list[Path]:
    """Texts of the first folder of transcripts that is there."""
    for folder in (config.annotations or config.root, config.root):
        for place in TRANSCRIPTS:
            if (found := Path(folder, place)).is_dir():
                return sorted(path for path in found.rglob("*.txt") if not path.name.startswith("."))
    return []


def _read_transcripts(config: Config) -> dict[str, str]:
    """Turn -> words."""
    texts = {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in _list_transcripts(config)}
    return {clip: words for clip, text in texts.items() if (words := " ".join(text.split()))}

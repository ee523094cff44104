"""ESD, the Emotional Speech Dataset: the same sentences in five emotions, in English and in Mandarin.

Ten speakers of Mandarin (0001 to 0010) and ten of English (0011 to 0020), five women and five men each, say 350
sentences in each of five emotions: 35,000 clips, 29 h, 16 kHz. Zhou, Sisman, Liu & Li 2022, Speech Communication 137,
pp. 1-18, DOI 10.1016/j.specom.2021.11.006. https://hltsingapore.github.io/ESD/; for research only, after a request; no
version number.

Files are `0011/Angry/0011_000351.wav`, in some copies `0011/Angry/train/0011_000351.wav`; `0011/0011.txt` has lines
`0011_000351<tab>The nine the eggs, I keep.<tab>Angry`.

* Labels are the acted emotion, that of the folder (Angry, Happy, Neutral, Sad, Surprise); the third cell of a line, for
  speakers of Mandarin in Chinese, is not read.
* Numbers 1 to 350 are neutral, 351 to 700 angry, then happy, sad, surprise: clips of one speaker whose numbers differ by
  350 have the same words, and so have clips of one number and one language. Words tell nothing of the emotion.
* The parts are train, dev (`evaluation`) and test, as the folder says, else as the number does: of each 350, the first 20 are
  dev, the next 30 test. All speakers are in all parts: for emotion recognition, split by speaker.
* Texts are in several encodings (UTF-8, UTF-16, GB 18030, Windows-1252); each is recognised by its bytes.
* Sex is that of the distribution's list; some users' lists differ for 0012 and 0019.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import CorpusError, show
from emoadapt.listing.accounts import Account, account_for
from emoadapt.listing.annotations import Clip, choose_recordings, find_clips

TERMS = "research only, after a request to its authors"
LABELS = "acted"
SPEAKERS_OF = "corpus"


class Config(Corpus):
    """ESD: `0011/Angry/0011_000351.wav` and `0011/0011.txt`; parts train, dev, test."""

    importer: Literal["esd"]
    languages: tuple[Literal["en", "zh"], ...] = Field(("en", "zh"), min_length=1)
    """Which speakers: of English, of Mandarin, or both."""


EMOTIONS = {"Angry": "anger", "Happy": "happiness", "Neutral": "neutral", "Sad": "sadness", "Surprise": "surprise"}
PARTS = {"train": "train", "evaluation": "dev", "test": "test"}
FEMALE = (1, 2, 3, 7, 9, 15, 16, 17, 18, 19)
"""Speakers."""
SENTENCES = 350
DEV, TEST = 20, 30
"""First sentences of each emotion, and those after them."""
OTHER_FORM = "not `clip<tab>words<tab>emotion`"
OTHER_LANGUAGE = "of a language that is not wanted"

NAMES = re.compile(
    rf"(?P<folder>(?:.*/)?(?P<speaker>00(?:0[1-9]|1\d|20)))/(?P<emotion>{'|'.join(EMOTIONS)})/"
    rf"(?:(?P<part>{'|'.join(PARTS)})/)?(?P<clip>(?P=speaker)_(?P<number>\d{{6}}))\.\w+"
)
_LINE = re.compile(r"(?P<clip>\d{4}_\d{6})\s*\t(?P<words>[^\t]*)\t[^\t]*")


def tables(config: Config) -> list[Path]:
    """The texts of all speakers that are there."""
    pattern = "00[0-2][0-9]"
    found = [path for above in ("", "*/", "*/*/") for path in Path(config.root).glob(f"{above}{pattern}/{pattern}.txt")]
    return sorted(path for path in found if path.stem == path.parent.name)


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per clip of the wanted languages; speakers are `0001` to `0020`.

    Raises:
        CorpusError: a media file is named otherwise, is there twice, or a text cannot be read.
    """
    words = {clip: text for clip, text in _list_lines(name, config) if text}
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=parts["speaker"],
            sex="female" if int(parts["speaker"]) in FEMALE else "male",
            language=_language(parts["speaker"]),
            split=_part(parts),
            transcript=words.get(parts["clip"]),
        )
        for path, parts in _find_clips(name, config)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The acted emotion of each clip.

    Raises:
        CorpusError: as `list_utterances`.
    """
    return [
        Label(make_utterance_id(name, path), EMOTIONS[parts["emotion"]]) for path, parts in _find_clips(name, config)
    ]


def account_rows(name: str, config: Config) -> Account:
    """Account for the lines of the texts."""
    lines = _list_lines(name, config)
    unwanted = {
        OTHER_FORM: [clip for clip, words in lines if words is None],
        OTHER_LANGUAGE: [clip for clip, _ in lines if _language(clip[:4]) not in config.languages],
    }
    found = [parts["clip"] for _, parts in _find_clips(name, config)]
    return account_for("the texts", [clip for clip, _ in lines], found, unwanted)


def list_notes(name: str, config: Config) -> list[str]:
    """Clips without words."""
    known = {clip for clip, words in _list_lines(name, config) if words}
    silent = [parts["clip"] for _, parts in _find_clips(name, config) if parts["clip"] not in known]
    return [f"{len(silent)} clips have no words in a text: {show(silent)}"] if silent else []


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(name, config.root, NAMES, "ESD (0011/Angry/0011_000351.wav)")
    wanted = [clip for clip in clips if _language(clip[1]["speaker"]) in config.languages]
    return choose_recordings(name, wanted, config.modalities)


def _language(speaker: str) -> str:
    return "zh" if int(speaker) <= 10 else "en"


def _part(parts: re.Match[str]) -> str:
    """The part that a clip's folder names, else that of its number."""
    if parts["part"]:
        return PARTS[parts["part"]]
    sentence = (int(parts["number"]) - 1) % SENTENCES
    return "dev" if sentence < DEV else "test" if sentence < DEV + TEST else "train"


def _list_lines(name: str, config: Config) -> list[tuple[str, str | None]]:
    """(clip, words) of each line of the texts; (the line's beginning, None) of those that are of another form."""
    lines: list[tuple[str, str | None]] = []
    for path in tables(config):
        for line in filter(None, map(str.strip, _decode(name, path).splitlines())):
            parts = _LINE.fullmatch(line)
            lines.append(
                (f"{path.stem}: {line[:40]}", None) if parts is None else (parts["clip"], parts["words"].strip())
            )
    return lines


def _decode(name: str, path: Path) -> str:
    content = path.read_bytes()
    if b"\0" in content:
        encodings = ["utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "gb18030" if _language(path.stem) == "zh" else "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CorpusError(f"corpus {name}: {path} is no text in {' or '.join(encodings)}; restore the corpus's own file")

"""CMU-MOSI, Multimodal Opinion-level Sentiment Intensity: film reviews from a video-sharing site.

English, 93 videos of 89 speakers (41 female, 48 male), 2,199 segments with sentiment from -3 to 3. Zadeh, Zellers,
Pincus & Morency 2016, arXiv:1606.06259 and IEEE Intelligent Systems 31(6), pp. 82-88, DOI 10.1109/MIS.2016.94.
http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/; for research, the videos are their makers'; no version
number.

Segments are `Raw/Audio/WAV_16000/Segmented/<video>_<n>.wav` and `Raw/Video/Segmented/<video>_<n>.mp4`, or, in the
copy that goes with MMSA, `Raw/<video>/<n>.mp4`. Labels come from either of

* `OpinionLevelSentiment.csv`: rows start, end, video, segment, sentiment, without a header;
* `label.csv` of MMSA: columns video_id, clip_id, text, label, ..., mode.

The computational sequences (`CMU_MOSI_Opinion_Labels.csd`) hold the same numbers in HDF5 and are not read.
`Transcript/Segmented/<video>.annotprocessed` has lines `<n>_DELIM_<words>`, in capitals.

* Sentiment is the mean of five raters. It is given as valence, on the corpus's scale of -3 (strongly negative) to 3
  (strongly positive), and as label: negative below 0, neutral at 0, positive above. Two-class studies leave neutral
  out or count it as positive (`class_map: {neutral: positive}`), which changes the scores: say which.
* The parts are the standard folds of the CMU Multimodal SDK: 52 videos train, 10 dev, 31 test (1,284, 229 and 686
  segments).
* The speaker is the video. There are fewer speakers than videos, so some made more than one; which is not
  distributed. Nor is sex.
* `Full/` recordings of whole videos are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import AnnotatedCorpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import CorpusError, show
from emoadapt.listing.accounts import Account, account_for
from emoadapt.listing.annotations import (
    Clip,
    choose_recordings,
    find_annotation,
    find_clips,
    parse_number,
    read_cells,
    read_lines,
    read_table,
    refuse_unannotated,
)

TERMS = "for research; the videos are their makers'"
LABELS = "perceived"
SPEAKERS_OF = "corpus"


class Config(AnnotatedCorpus):
    """CMU-MOSI: segments `<video>_<n>` and `OpinionLevelSentiment.csv` (or `label.csv`); parts train, dev, test."""

    importer: Literal["cmu_mosi"]


TRAIN = frozenset(
    [
        "2iD-tVS8NPw",
        "8d-gEyoeBzc",
        "Qr1Ca94K55A",
        "Ci-AH39fi3Y",
        "8qrpnFRGt2A",
        "Bfr499ggo-0",
        "QN9ZIUWUXsY",
        "9T9Hf74oK10",
        "7JsX8y1ysxY",
        "1iG0909rllw",
        "Oz06ZWiO20M",
        "BioHAh1qJAQ",
        "9c67fiY0wGQ",
        "Iu2PFX3z_1s",
        "Nzq88NnDkEk",
        "Clx4VXItLTE",
        "9J25DZhivz8",
        "Af8D0E4ZXaw",
        "TvyZBvOMOTc",
        "W8NXH0Djyww",
        "8OtFthrtaJM",
        "0h-zjBukYpk",
        "Vj1wYRQjB-o",
        "GWuJjcEuzt8",
        "BI97DNYfe5I",
        "PZ-lDQFboO8",
        "1DmNV9C1hbY",
        "OQvJTdtJ2H4",
        "I5y0__X72p0",
        "9qR7uwkblbs",
        "G6GlGvlkxAQ",
        "6_0THN4chvY",
        "Njd1F0vZSm4",
        "BvYR0L6f2Ig",
        "03bSnISJMiM",
        "Dg_0XKD0Mf4",
        "5W7Z1C_fDaE",
        "VbQk4H8hgr0",
        "G-xst2euQUc",
        "MLal-t_vJPM",
        "BXuRRbG0Ugk",
        "LSi-o-IrDMs",
        "Jkswaaud0hk",
        "2WGyTLYerpo",
        "6Egk_28TtTM",
        "Sqr0AcuoNnk",
        "POKffnXeBds",
        "73jzhE8R1TQ",
        "OtBXNcAL_lE",
        "HEsqda8_d0Q",
        "VCslbP0mgZI",
        "IumbAb8q2dM",
    ]
)
DEV = frozenset(
    [
        "WKA5OygbEKI",
        "c5xsKMxpXnc",
        "atnd_PF-Lbs",
        "bvLlb-M3UXU",
        "bOL9jKpeJRs",
        "_dI--eQ6qVU",
        "ZAIRrfG22O0",
        "X3j2zQgwYgE",
        "aiEXnCPZubE",
        "ZUXBRvtny7o",
    ]
)
TEST = frozenset(
    [
        "tmZoasNr4rU",
        "zhpQhgha_KU",
        "lXPQBPVc5Cw",
        "iiK8YX8oH1E",
        "tStelxIAHjw",
        "nzpVDcQ0ywM",
        "etzxEpPuc6I",
        "cW1FSBF59ik",
        "d6hH302o4v8",
        "k5Y_838nuGo",
        "pLTX3ipuDJI",
        "jUzDDGyPkXU",
        "f_pcplsH_V0",
        "yvsjCA6Y5Fc",
        "nbWiPyCm4g0",
        "rnaNMUZpvvg",
        "wMbj6ajWbic",
        "cM3Yna7AavY",
        "yDtzw_Y-7RU",
        "vyB00TXsimI",
        "dq3Nf_lMPnE",
        "phBUpBr1hSo",
        "d3_k5Xpfmik",
        "v0zCBqDeKcE",
        "tIrG4oNLFzE",
        "fvVhgmXxadc",
        "ob23OKe5a9Q",
        "cXypl4FnoZo",
        "vvZ4IcEtiZc",
        "f9O3YtZ2VfI",
        "c7UH_rxdZv4",
    ]
)
"""Videos of the standard folds, CMU-MultimodalSDK, `cmu_mosi_std_folds.py`."""
PARTS = {video: part for part, videos in (("train", TRAIN), ("dev", DEV), ("test", TEST)) for video in videos}

OPINIONS = ("OpinionLevelSentiment.csv", "Labels/OpinionLevelSentiment.csv", "Raw/Labels/OpinionLevelSentiment.csv")
MMSA = ("label.csv", "labels.csv")
SOURCE = "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/"

NAMES = re.compile(r"(?:.*/)?(?P<video>[\w-]{11})[_/](?P<segment>\d+)\.\w+")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A row of the labels."""

    sentiment: float
    text: str | None = None


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "sign of the raters' mean sentiment"


def annotation_files(config: Config) -> list[Path]:
    """The table of sentiments."""
    return [_find(config.importer, config)]


def tables(config: Config) -> list[Path]:
    """The table of sentiments, and the transcripts that are there."""
    place = _find_transcripts(config)
    return [*annotation_files(config), *(sorted(place.glob("*.annotprocessed")) if place else [])]


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per segment; speakers are the videos.

    Raises:
        CorpusError: a media file is named otherwise, is there twice, or belongs to no video of the standard folds.
    """
    clips = _find_clips(name, config)
    if strangers := [path for path, parts in clips if parts["video"] not in PARTS]:
        raise CorpusError(
            f"corpus {name}: not from a video of CMU-MOSI's standard folds: {show(strangers)}; move these files out of the root"
        )
    words = _read_transcripts(name, config, {parts["video"] for _, parts in clips})
    return [
        Utterance(
            make_utterance_id(name, path),
            path,
            speaker=parts["video"],
            language="en",
            split=PARTS[parts["video"]],
            transcript=words.get(_key((path, parts))),
        )
        for path, parts in clips
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """Sentiment of each segment, as valence (-3 to 3) and as negative, neutral or positive.

    Raises:
        CorpusError: as `list_utterances`; the table is missing or malformed, or lacks a segment.
    """
    segments = _read_segments(name, config)
    clips = _find_clips(name, config)
    refuse_unannotated(name, [clip[0] for clip in clips if _key(clip) not in segments], str(_find(name, config)))
    return [
        Label(make_utterance_id(name, clip[0]), _name_sentiment(value), valence=value)
        for clip in clips
        for value in (segments[_key(clip)].sentiment,)
    ]


def account_rows(name: str, config: Config) -> Account:
    """Account for the rows of the table."""
    segments = [key for key, _ in _list_segments(name, config)]
    return account_for(_find(name, config).name, segments, [_key(clip) for clip in _find_clips(name, config)])


def _name_sentiment(value: float) -> str:
    return "negative" if value < 0 else "positive" if value > 0 else "neutral"


def _key(clip: Clip) -> str:
    """`<video>_<n>`, n without leading zeros."""
    return f"{clip[1]['video']}_{int(clip[1]['segment'])}"


def _find_clips(name: str, config: Config) -> list[Clip]:
    clips = find_clips(
        name,
        config.root,
        NAMES,
        "CMU-MOSI (Segmented/03bSnISJMiM_1.wav)",
        ignore=lambda path: "/full/" in f"/{path.lower()}",
    )
    return choose_recordings(name, clips, config.modalities, _key)


def _folders(config: Config) -> list[Path]:
    folder = Path(config.annotations or config.root)
    return [folder, folder / "Raw", folder.parent, folder.parent / "Raw", Path(config.root)]


def _find(name: str, config: Config) -> Path:
    return find_annotation(name, _folders(config), (*OPINIONS, *MMSA), SOURCE)


def _read_segments(name: str, config: Config) -> dict[str, _Segment]:
    """`<video>_<n>` -> its row."""
    return dict(_list_segments(name, config))


def _list_segments(name: str, config: Config) -> list[tuple[str, _Segment]]:
    """(`<video>_<n>`, its row) in the order of the table."""
    path = _find(name, config)
    if path.name in MMSA:
        rows = read_table(path, name, ("video_id", "clip_id", "label", "text"))
    else:
        table = read_cells(path, name)
        if short := [line for line, row in zip(table.lines, table.rows, strict=True) if len(row) < 5]:
            raise CorpusError(
                f"corpus {name}: {path}, line {short[0]}: less than 5 cells (start, end, video, segment, sentiment); "
                "restore the corpus's own table"
            )
        rows = [(*row[2:5], "") for row in table.rows]
    segments = []
    for line, (video, segment, value, text) in enumerate(rows, 1):
        number, sentiment = parse_number(segment), parse_number(value)
        if number is None or sentiment is None or not -3 <= sentiment <= 3:
            raise CorpusError(
                f"corpus {name}: {path}, row {line}: segment {segment!r} with sentiment {value!r}, not a number from -3 to 3; "
                "restore the corpus's own table"
            )
        segments.append((f"{video.strip()}_{int(number)}", _Segment(sentiment, " ".join(text.split()) or None)))
    return segments


def _find_transcripts(config: Config) -> Path | None:
    places = [folder / "Transcript" / "Segmented" for folder in _folders(config)]
    return next((place for place in places if place.is_dir()), None)


def _read_transcripts(name: str, config: Config, videos: set[str]) -> dict[str, str]:
    """`<video>_<n>` -> words, from the transcripts that are there, else from MMSA's table."""
    if (place := _find_transcripts(config)) is None:
        try:
            segments = _read_segments(name, config)
        except CorpusError:  # told when the labels are read
            return {}
        return {key: segment.text for key, segment in segments.items() if segment.text}
    words = {}
    for video in sorted(videos):
        path = place / f"{video}.annotprocessed"
        for line in read_lines(path, name, encoding="latin-1") if path.is_file() else ():
            number, separator, text = line.partition("_DELIM_")
            if separator and number.strip().isdigit() and text.strip():
                words[f"{video}_{int(number)}"] = " ".join(text.split())
    return words

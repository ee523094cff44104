"""The real Whisper `tiny.en` on real clips, on silence, noise and music."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoadapt.features.base import Context
from emoadapt.features.transcript import Config, TranscriptExtractor
from emoadapt.media import decode_audio

from ..features.fake_whisper import make_row

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from words import WHISPER, count_errors, find_known, transcribe

pytestmark = pytest.mark.skipif(
    not os.environ.get("EMOADAPT_DATA") or not Path(os.environ.get("EMOADAPT_MODELS", ""), WHISPER).is_file(),
    reason=f"EMOADAPT_DATA names no real clips, or EMOADAPT_MODELS has no {WHISPER}",
)
RATE = 16_000


def build(**values: Any) -> TranscriptExtractor:
    return TranscriptExtractor(Config(model=WHISPER, **values), Context(Path(os.environ["EMOADAPT_MODELS"])))


@pytest.fixture(scope="module")
def extractor() -> TranscriptExtractor:
    return build()


@pytest.mark.parametrize(("corpus", "step", "limit"), [("ravdess", 131, 0.04), ("grid", 1, 0.25)])
def test_words_of_real_clips_are_recognised(
    corpus: str, step: int, limit: float, extractor: TranscriptExtractor
) -> None:
    """RAVDESS's two statements; GRID's commands, some of which are no English (`bin blue at f two`)."""
    known = find_known(Path(os.environ["EMOADAPT_DATA"]))[corpus][::step]
    assert len({words for _, _, words in known}) > 1
    row = count_errors(known, list(transcribe(known, extractor)), "whisper")
    assert row["clips"] == len(known) and row["words"] == 6 * len(known)
    assert row["word_error_rate"] <= limit


def test_a_real_clip_says_the_same_alone_and_in_any_batch(extractor: TranscriptExtractor) -> None:
    """Batches of one size: rounding is then the same, whoever is beside a clip."""
    known = find_known(Path(os.environ["EMOADAPT_DATA"]))
    kids, dogs = known["ravdess"][0], known["ravdess"][2]
    rows = [make_row(decode_audio(file), "en") for _, file, _ in (kids, known["grid"][0], dogs)]
    batched = build(batch_size=2)
    expected = batched.extract(rows)
    assert len({result["text"] for result in expected}) == len(rows)
    others = [*batched.extract(rows[:1]), *batched.extract(rows[1:])]
    for found in (others, batched.extract(rows[::-1])[::-1]):
        for mine, other in zip(found, expected, strict=True):
            assert mine["text"] == other["text"]
            for name in ("no_speech_probability", "mean_log_probability"):
                assert mine[name] == pytest.approx(other[name], rel=1e-5)
    # Batches of another size round otherwise: the words are the same.
    assert [result["text"] for result in extractor.extract(rows)] == [result["text"] for result in expected]


def make_music(seconds: float, chords: bool, drums: bool) -> np.ndarray:
    """A melody of plucked notes, two a second, (n_samples,) int16."""
    random, step = np.random.default_rng(0), RATE // 2
    samples = np.zeros(int(seconds * RATE) // step * step)
    for number, begin in enumerate(range(0, len(samples), step)):
        time = np.arange(step) / RATE
        keys = [
            60 + random.choice([0, 2, 4, 5, 7, 9, 11]),
            *([48 + (0, 5, 7, 0)[number // 4 % 4] + third for third in (0, 4, 7)] * chords),
        ]
        for key in keys:
            pitch = 440 * 2 ** ((key - 69) / 12)
            tone = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic**1.5 for harmonic in range(1, 6))
            samples[begin : begin + step] += np.exp(-3 * time) * tone
        samples[begin : begin + step] += drums * 1.5 * np.exp(-40 * time) * random.standard_normal(step)
    return (samples / np.abs(samples).max() * 8000).astype(np.int16)


def make_silence(seconds: float, level: float) -> np.ndarray:
    """White noise of a level in steps of 16 bits, (n_samples,) int16; below 1 the dither of a recorder."""
    return np.round(np.random.default_rng(0).standard_normal(int(seconds * RATE)) * level).astype(np.int16)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_silence(10, 0), lambda: make_silence(10, 1), lambda: make_silence(31, 0.7), lambda: make_silence(3, 1000),
        lambda: make_music(3, chords=False, drums=False), lambda: make_music(10, chords=True, drums=True),
    ],
    ids=["silence", "dither", "long_dither", "noise", "melody", "band"],
)  # fmt: skip
def test_silence_and_music_have_no_words(make: Callable[[], np.ndarray], extractor: TranscriptExtractor) -> None:
    """In ten seconds of silence `tiny.en` finds "you", which was `ok`, and a target of sentiment."""
    (result,) = extractor.extract([make_row(make(), "en")])
    assert result["status"] == "absent" and result["reason"].partition(":")[0] in (
        "no_words",
        "no_speech",
        "low_confidence",
    )


def test_inventions_are_not_ok() -> None:
    """Two Chinese clips, one of which `tiny.en` turns into "Yo, yo, yo, ..." two hundred times, and an English one."""
    clips = Path(os.environ["EMOADAPT_DATA"], "clips")
    names = ("samplenew_00004251.mp4", "sample_00005854.mp4", "bbaf2n.mp4")
    repeated, improbable, english = build().extract([make_row(decode_audio(clips / name)) for name in names])
    assert repeated["status"] == "absent" and repeated["reason"].startswith("repetition: ")
    assert improbable["status"] == "absent" and improbable["reason"].startswith("low_confidence: ")
    assert "blu" in english["text"].lower() and english["reason"].startswith("language_assumed: en")

"""Tokens of a transcript at the times of its words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from emoadapt.data.streams import Stream
from emoadapt.errors import ClipError
from emoadapt.features import text_frames, word_times
from emoadapt.features.base import Context
from emoadapt.features.text_frames import choose_tokens, count_frames, find_times
from emoadapt.media.audio import decode_audio
from emoadapt.transcription.tokens import Tokeniser

from ..transcription.text_models import save_encoder
from .fake_whisper import make_noise, make_row, save_random_whisper

WORDS = [
    {"word": " dogs", "start": 0.1, "end": 0.5},
    {"word": " are", "start": 0.6, "end": 0.7},
    {"word": " happy", "start": 0.7, "end": 1.2},
    {"word": ".", "start": 1.2, "end": 1.2},
]
TEXT = "dogs are happy."


def test_tokens_share_the_time_of_their_word_by_letters() -> None:
    """Worked by hand: `dogs` in `do` and `gs`, `happy` in `hap` and `py`, and tokens that were added have none."""
    spans = [(0, 0), (0, 2), (2, 4), (5, 8), (9, 12), (12, 14), (14, 15), (0, 0)]
    places, times = find_times(spans, WORDS)
    assert places == [1, 2, 3, 4, 5, 6]
    expected = [(0.1, 0.3), (0.3, 0.5), (0.6, 0.7), (0.7, 1.0), (1.0, 1.2), (1.2, 1.2)]
    np.testing.assert_allclose(times, expected, atol=1e-9)
    with pytest.raises(ClipError, match="no token of the text has a time"):
        find_times([(0, 0)], WORDS)


def test_a_frame_is_of_the_token_at_its_middle_or_of_the_nearest() -> None:
    chosen = choose_tokens([(0.1, 0.3), (0.3, 0.5), (0.6, 0.7)], 50)
    assert set(chosen[:15]) == {0}, "before the first word, and in it"
    assert set(chosen[15:27]) == {1} and chosen[26] == 1, ".53 is nearer to .5 than to .6"
    assert set(chosen[28:]) == {2} and chosen[28] == 2


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_encoder(folder / "text")
    save_random_whisper(folder / "asr/tiny.pt", 0)
    return folder


def test_frames_are_the_encoders_states_of_their_tokens(models: Path) -> None:
    extractor = text_frames.load(text_frames.Config(model="text", layer=1), Context(models))
    (row,) = extractor.extract([{"text": TEXT, "language": "en", "words": WORDS, "seconds": 1.5}])
    found = np.frombuffer(row["text_frames"], "<f2").reshape(row["n_frames"], row["dimension"])
    assert (row["n_frames"], row["step"], row["reason"]) == (75, 0.02, None)
    assert Stream("text_frames", "text_frames", "frames").fits(text_frames.TABLE)
    tokens = Tokeniser(models / "text", "x")(TEXT)
    with torch.no_grad():
        states = extractor.model(input_ids=torch.tensor([tokens.ids]), output_hidden_states=True).hidden_states[1][0]
    expected = states.numpy().astype("<f2")
    distances = np.abs(found[:, None].astype(float) - expected[None].astype(float)).sum(axis=2)
    order = distances.argmin(axis=1)
    assert (distances.min(axis=1) == 0).all() and (np.diff(order) >= 0).all()
    own = [place for place, added in enumerate(tokens.added) if not added]
    assert order[0] == own[0] and set(order) <= set(own)


def test_words_of_another_text_are_refused(models: Path) -> None:
    extractor = text_frames.load(text_frames.Config(model="text"), Context(models))
    (row,) = extractor.extract([{"text": "cats are happy.", "language": "en", "words": WORDS, "seconds": 1.5}])
    assert row["status"] == "failed" and row["reason"].startswith(
        "words_differ: the words that have times are not those"
    )


@pytest.mark.parametrize(
    ("seconds", "text", "language", "reason"),
    [
        (30.5, "dogs", "en", "too_long: 30.5 s, Whisper aligns 30 s"),
        (2.0, "dogs " * 500, "en", "too_many_words: "),
        (2.0, "dogs", "xx", "language_not_supported: this Whisper does not know xx"),
    ],
)
def test_what_whisper_cannot_align_is_absent(
    models: Path, seconds: float, text: str, language: str, reason: str
) -> None:
    extractor = word_times.load(word_times.Config(model="asr/tiny.pt"), Context(models))
    (row,) = extractor.extract([make_row(make_noise(0, seconds), language) | {"text": text}])
    assert row["status"] == "absent" and row["reason"].startswith(reason)


@pytest.mark.parametrize("text", ["dogs are ", " dogs are", "dogs  are happy.", "dogs\xa0are"])
def test_spaces_of_a_text_do_not_matter(models: Path, text: str) -> None:
    """Symptom: `words_differ`, where a transcript ended with a space."""
    align = word_times.load(word_times.Config(model="asr/tiny.pt"), Context(models))
    (words,) = align.extract([make_row(make_noise(0, 2.0), "en") | {"text": text}])
    extractor = text_frames.load(text_frames.Config(model="text"), Context(models))
    (row,) = extractor.extract([{"text": text, "language": "en", **words}])
    assert (row.get("reason"), row["n_frames"]) == (None, 100)


def test_a_language_that_is_assumed_is_noted(models: Path) -> None:
    extractor = word_times.load(word_times.Config(model="asr/tiny.pt"), Context(models))
    (row,) = extractor.extract([make_row(make_noise(0, 2.0), None) | {"text": TEXT}])
    assert row["words"] and row["reason"].startswith("language_assumed: en; neither")


def test_a_clip_has_as_many_frames_as_fit_into_it() -> None:
    """Symptom: 28 frames in .58 s, whose quotient by the step is a hair below 29."""
    assert [count_frames(number / 50) for number in range(1, 1500)] == list(range(1, 1500))
    assert (count_frames(0.001), count_frames(0.0399)) == (1, 1)


def test_words_are_those_of_the_text_whatever_the_model(models: Path) -> None:
    extractor = word_times.load(word_times.Config(model="asr/tiny.pt"), Context(models))
    (row,) = extractor.extract([make_row(make_noise(0, 2.0), "en") | {"text": TEXT}])
    assert "".join(word["word"] for word in row["words"]) == " " + TEXT and row["seconds"] == 2.0
    assert row["reason"] is None
    assert all(0 <= word["start"] <= word["end"] <= 2.0 for word in row["words"])


@pytest.mark.skipif(not {"EMOADAPT_DATA", "EMOADAPT_MODELS"} <= os.environ.keys(), reason="no real data or weights")
def test_words_of_a_real_sentence_have_their_times() -> None:
    """RAVDESS: about a second of silence, then "Kids are talking by the door"."""
    samples = decode_audio(Path(os.environ["EMOADAPT_DATA"], "ravdess/Actor_01/03-01-01-01-01-01-01.flac"))
    config = word_times.Config(model="whisper_converted/tiny.en.pt")
    extractor = word_times.load(config, Context(Path(os.environ["EMOADAPT_MODELS"])))
    (row,) = extractor.extract(
        [{"audio": samples.tobytes(), "text": "Kids are talking by the door.", "language": "en"}]
    )
    words = {word["word"].strip(): (word["start"], word["end"]) for word in row["words"]}
    assert list(words) == ["Kids", "are", "talking", "by", "the", "door", "."]
    begins = [begin for begin, _ in words.values()]
    assert begins == sorted(begins) and words["door"][1] < row["seconds"] - 0.3
    loud = np.abs(samples.astype(float))
    voiced = np.flatnonzero(loud > 0.2 * loud.max()) / 16_000
    assert voiced[0] - 0.35 < words["talking"][0] < voiced[-1] + 0.2

"""Transcription by pocketsphinx on espeak-ng, and the corpus's own text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.corpora.demo import Config
from emoadapt.demo.plan import Prosody, plan_clips
from emoadapt.demo.speech import speak_clip
from emoadapt.errors import ConfigError
from emoadapt.features.transcript import TranscriptExtractor

from .fake_whisper import LOGIT, TOKENIZER, build, make_row, save_whisper


@pytest.fixture(scope="module")
def sphinx() -> TranscriptExtractor:
    return build(Path(), engine="pocketsphinx")


def speak(text: str) -> np.ndarray:
    """(n_samples,) int16, 16 kHz, by espeak-ng."""
    planned = plan_clips(Config(importer="demo", root="demo", clips=4))[0]
    prosody = Prosody(
        rate=150, pitch=50, pitch_range=50, level_db=-20, effort=0, lead_seconds=0.25, tail_seconds=0.25, noise_db=-70
    )
    clip = replace(planned, voice=0, sentence=text, prosody=prosody, seed=0)
    return (speak_clip(clip) * 32767).astype(np.int16)


def test_pocketsphinx_recognises_part_of_a_sentence(sphinx: TranscriptExtractor) -> None:
    result = sphinx.extract([make_row(speak("please open the door"), "en")])[0]
    assert result["reason"] is None
    assert {"please", "open", "the"} <= set(result["text"].split())
    assert result["language"] == "en"
    assert "mean_log_probability" not in result and "no_speech_probability" not in result


def test_pocketsphinx_does_not_depend_on_the_clips_before(sphinx: TranscriptExtractor) -> None:
    rows = [make_row(speak(text)) for text in ("i am going home now", "the weather is very nice today")]
    rows.append(make_row(np.random.default_rng(0).integers(-15000, 15000, 20000).astype(np.int16)))
    forward, backward = sphinx.extract(rows), sphinx.extract(rows[::-1])
    fresh = [build(Path(), engine="pocketsphinx").extract([row])[0] for row in rows]
    assert forward == backward[::-1] == fresh


def test_pocketsphinx_reads_long_clips_piece_by_piece(
    sphinx: TranscriptExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = [speak("please open the door"), speak("the weather is very nice today")]
    length = max(map(len, sentences))
    padded = [np.pad(samples, (0, length - len(samples))) for samples in sentences]
    alone = [result["text"] for result in sphinx.extract([make_row(samples) for samples in padded])]
    beats: list[int] = []
    monkeypatch.setattr(sphinx.recognise, "beat", lambda: beats.append(1))
    monkeypatch.setattr("emoadapt.features.transcript.PIECE_BYTES", 2 * length)
    assert sphinx.extract([make_row(np.concatenate(padded))])[0]["text"] == " ".join(alone)
    assert len(beats) == 2


def test_pocketsphinx_knows_english_only(sphinx: TranscriptExtractor) -> None:
    assert sphinx.extract([make_row(language="de")])[0]["reason"].startswith("language_not_supported")
    assert sphinx.extract([make_row(speak("please"))])[0]["reason"].startswith("language_assumed: en")
    with pytest.raises(ConfigError, match=r"features\.transcript\.language: ur"):
        build(Path(), engine="pocketsphinx", language="ur")


def test_pocketsphinx_recognises_no_words_in_faint_noise(sphinx: TranscriptExtractor) -> None:
    hiss = np.random.default_rng(0).integers(-5, 5, 16000).astype(np.int16)
    assert sphinx.extract([make_row(hiss)])[0] == {
        "status": "absent",
        "reason": "no_words: the recogniser found no words",
    }


def test_the_corpus_transcript_is_copied() -> None:
    extractor = build(Path(), engine="corpus")
    texts = ["  Das will sie\n am Mittwoch abgeben. ", None, "  "]
    good, missing, blank = extractor.extract([make_row(language="de", transcript=text) for text in texts])
    assert good == {"text": "Das will sie am Mittwoch abgeben.", "language": "de", "reason": None}
    for result in (missing, blank):
        assert result["status"] == "absent" and result["reason"].startswith("no_transcript:")


def test_results_fit_the_table(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: LOGIT})
    result = build(tmp_path, language="en").extract([make_row()])[0]
    row = {"utterance_id": "c/x", "key": "k", "status": "ok", **result}
    table = pa.Table.from_pylist([row], schema=schema.feature_table("transcript"))
    assert set(row) <= set(table.schema.names)
    assert table["no_speech_probability"][0].as_py() is not None

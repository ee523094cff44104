"""Transcription by Whisper: windows, languages and doubts, on models whose words are known by construction."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.tokenizer import get_tokenizer

from emoadapt.errors import ConfigError, ModelError
from emoadapt.features.transcript import Config as AsrConfig
from emoadapt.transcription.whisper_recogniser import find_doubts, holds_words
from emoadapt.weights.registry import WeightFile, Weights

from ..features.fake_whisper import (
    LOGIT,
    N_CONTEXT,
    TOKENIZER,
    build,
    make_noise,
    make_row,
    save_random_whisper,
    save_whisper,
)


def test_whisper_says_what_its_weights_say(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: 10.0})
    result = build(tmp_path, language="en").extract([make_row()])[0]
    assert result["text"].split() == ["happy"] * (N_CONTEXT // 2)
    assert result["language"] == "en" and "segments" not in result
    # Softmax over one logit of 10 and 51,864 of 0.
    assert result["no_speech_probability"] == pytest.approx(1 / (np.exp(10) + 51864), rel=1e-3)
    # About a hundred tokens may never be said; Whisper divides by the number of tokens and one.
    per_token = -np.log(1 + (51864 - 100) / np.exp(10))
    n_tokens = N_CONTEXT // 2
    assert result["mean_log_probability"] == pytest.approx(per_token * n_tokens / (n_tokens + 1), rel=2e-3)


@pytest.mark.parametrize(("seed", "batch_size"), [(1, None), (2, 3)])
def test_windows_are_those_of_the_library(tmp_path: Path, seed: int, batch_size: int | None) -> None:
    path = save_random_whisper(tmp_path / "asr/tiny.pt", seed)
    library = whisper.load_model(str(path), device="cpu")
    clips = {"en": make_noise(seed, 4.2), "de": make_noise(seed + 10, 95.5), "ur": make_noise(seed + 20, 31)}
    extractor = build(tmp_path, timestamps=True, batch_size=batch_size)
    results = extractor.extract([make_row(samples, language) for language, samples in clips.items()])
    parts = 0
    for (language, samples), result in zip(clips.items(), results, strict=True):
        expected = library.transcribe(
            samples.astype(np.float32) / 32768, temperature=0.0, fp16=False, language=language,
            condition_on_previous_text=False,
        )  # fmt: skip
        seconds = len(samples) / 16000
        said = [s for s in expected["segments"] if s["text"]]
        assert [s["text"] for s in result["segments"]] == [s["text"].strip() for s in said]
        for name in ("start", "end"):
            times = [min(s[name], seconds) for s in said]
            np.testing.assert_allclose([s[name] for s in result["segments"]], times, atol=0.005)
        assert result["text"].split() == expected["text"].split()
        # Its segments carry the probabilities of their window.
        windows = {s["seek"]: (s["no_speech_prob"], s["avg_logprob"]) for s in expected["segments"]}
        assert result["no_speech_probability"] == pytest.approx(np.mean([n for n, _ in windows.values()]), rel=1e-4)
        low, high = min(p for _, p in windows.values()), max(p for _, p in windows.values())
        assert low - 1e-4 <= result["mean_log_probability"] <= high + 1e-4
        parts = max(parts, len(said))
    assert parts > 3, "a clip of one segment shows nothing of where windows begin"


def test_short_clips_are_decoded_as_by_the_library(tmp_path: Path) -> None:
    library = whisper.load_model(str(save_random_whisper(tmp_path / "asr/tiny.pt")), device="cpu")
    samples = make_noise(5, 2.5)
    expected = library.transcribe(
        samples.astype(np.float32) / 32768, temperature=0.0, fp16=False, language="de", without_timestamps=True
    )
    result = build(tmp_path).extract([make_row(samples, "de")])[0]
    assert result["text"].split() == expected["text"].split()
    assert result["mean_log_probability"] == pytest.approx(expected["segments"][0]["avg_logprob"], rel=1e-5)
    assert result["no_speech_probability"] == pytest.approx(expected["segments"][0]["no_speech_prob"], rel=1e-5)


def test_a_clip_says_the_same_alone_and_in_any_batch(tmp_path: Path) -> None:
    save_random_whisper(tmp_path / "asr/tiny.pt")
    extractor = build(tmp_path, batch_size=3)
    shapes = []
    extractor.recognise.model.encoder.register_forward_hook(lambda module, inputs, output: shapes.append(len(output)))
    lengths = [0.4, 7.0, 31.5, 2.0, 12.0]
    rows = [make_row(make_noise(i, s), "en" if i % 2 else None) for i, s in enumerate(lengths)]
    together = extractor.extract(rows)
    alone = [extractor.extract([row])[0] for row in rows]
    assert set(shapes) == {3}, "a batch of another size rounds otherwise"
    assert len({result["text"] for result in together}) == len(rows)
    for ours, theirs in ((alone, together), (extractor.extract(rows[::-1])[::-1], together)):
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine["text"], mine["language"]) == (other["text"], other["language"])
            for name in ("no_speech_probability", "mean_log_probability"):
                assert mine[name] == pytest.approx(other[name], rel=1e-6)


def test_the_language_is_detected_without_encoding_twice(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: LOGIT, TOKENIZER.to_language_token("ur"): 5.0})
    extractor = build(tmp_path, batch_size=2)
    calls = []
    extractor.recognise.model.encoder.register_forward_hook(lambda *_: calls.append(1))
    assert [r["language"] for r in extractor.extract([make_row(), make_row(language="de")])] == ["ur", "de"]
    assert len(calls) == 2


@pytest.mark.parametrize(("threshold", "logit", "heard"), [(0.6, 10.0, False), (0.6, 20.0, True), (1.0, 10.0, True)])
def test_no_speech_needs_improbable_words_too(tmp_path: Path, threshold: float, logit: float, heard: bool) -> None:
    """Whisper's own rule: at a logit of 10 a word has the mean log-probability -1.1, at 20 -0.0001."""
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: logit, TOKENIZER.no_speech: 35.0})
    result = build(tmp_path, language="en", no_speech_threshold=threshold).extract([make_row()])[0]
    if heard:
        assert set(result["text"].split()) == {"happy"}
        limit = "no_speech: the probability that nobody speaks is 1.00, allowed is 0.6"
        assert (limit in (result["reason"] or "")) == (threshold < 1), "such words are probably invented"
        assert result["no_speech_probability"] == pytest.approx(1, abs=1e-4)
    else:
        reason = "no_words: the recogniser found no words (no speech: probability 1.00)"
        assert result == {"status": "absent", "reason": reason}


def test_a_text_that_repeats_itself_is_absent_or_noted(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: LOGIT})
    text = " ".join(["happy"] * (N_CONTEXT // 2)).encode()
    ratio = len(text) / len(zlib.compress(text))
    reason = f"repetition: the text's compression ratio is {ratio:.1f}, allowed is 2.4"
    default = build(tmp_path, language="en", doubtful="absent").extract([make_row()])[0]
    assert default == {"status": "absent", "reason": reason}
    assert AsrConfig().doubtful == "absent", "the default of the program, not of this file"
    noted = build(tmp_path, language="en").extract([make_row()])[0]
    assert noted["reason"] == reason and noted["text"].encode() == text
    assert noted["compression_ratio"] == pytest.approx(ratio)
    for limit in (None, ratio + 0.01):
        free = build(tmp_path, language="en", doubtful="absent", compression_ratio=limit).extract([make_row()])[0]
        assert free["text"].encode() == text and free["reason"] is None


def test_improbable_words_are_absent_or_noted(tmp_path: Path) -> None:
    """At a logit of 10 a word has the mean log-probability -1.1."""
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: 10.0})
    values = {"language": "en", "compression_ratio": None}
    absent = build(tmp_path, doubtful="absent", **values).extract([make_row()])[0]
    (noted,) = build(tmp_path, **values).extract([make_row()])
    reason = f"low_confidence: the words' mean log-probability is {noted['mean_log_probability']:.2f}, allowed is -1"
    assert absent == {"status": "absent", "reason": reason}
    assert noted["reason"] == reason and set(noted["text"].split()) == {"happy"}
    for limit in (None, -1.5):
        assert build(tmp_path, log_probability=limit, **values).extract([make_row()])[0]["reason"] is None


@pytest.mark.parametrize(
    ("ratios", "log_probabilities", "codes"),
    [
        ([2.4, 1.0], [-1.0, -0.1], []),
        ([1.0, 2.41], [-0.5, -0.1], ["repetition"]),
        ([1.0, 1.0], [-0.1, -1.01], ["low_confidence"]),
        ([2.41], [-1.01], ["repetition", "low_confidence"]),
        ([], [], []),
    ],
)
def test_one_doubtful_window_makes_a_clip_doubtful(
    ratios: list[float], log_probabilities: list[float], codes: list[str]
) -> None:
    silences = [0.6] * len(ratios)
    found = find_doubts(ratios, log_probabilities, silences, AsrConfig())
    assert [note.partition(":")[0] for note in found] == codes


@pytest.mark.parametrize("limits", [(2.4, -1.0), (0.9, -100.0), (100.0, -0.5), (100.0, -100.0)])
def test_doubtful_clips_are_those_that_the_library_would_decode_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: tuple[float, float]
) -> None:
    ratio, log_probability = limits
    path = save_random_whisper(tmp_path / "asr/tiny.pt")
    library = whisper.load_model(str(path), device="cpu")
    temperatures: list[float] = []
    decode = library.decode

    def record(window: torch.Tensor, options: whisper.DecodingOptions) -> whisper.DecodingResult:
        temperatures.append(options.temperature)
        return decode(window, replace(options, temperature=0.0))

    monkeypatch.setattr(library, "decode", record)
    extractor = build(
        tmp_path, language="de", timestamps=True, compression_ratio=ratio, log_probability=log_probability
    )
    for seed, seconds in enumerate((1.0, 4.2, 31.0)):
        samples = make_noise(seed, seconds)
        temperatures.clear()
        library.transcribe(
            samples.astype(np.float32) / 32768, temperature=(0.0, 0.5), fp16=False, language="de",
            condition_on_previous_text=False, compression_ratio_threshold=ratio, logprob_threshold=log_probability,
        )  # fmt: skip
        (result,) = extractor.extract([make_row(samples)])
        assert (result["reason"] is not None) == (0.5 in temperatures)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Kids are talking.", True), ("7", True), ("ä", True), ("你好", True), ("[Music] yes", True), ("", False), (" . ...", False),
        ("♪ ♪", False), ("[Music]", False), ("(upbeat music) ...", False), ("*sighs*", False),
    ],
)  # fmt: skip
def test_names_of_sounds_are_no_words(text: str, words: bool) -> None:
    assert holds_words(text) is words


def test_one_window_without_speech_makes_its_words_doubtful() -> None:
    assert find_doubts([1.0, 1.0], [-0.1, -0.8], [0.1, 0.94], AsrConfig()) == [
        "no_speech: the probability that nobody speaks is 0.94, allowed is 0.6"
    ]


def test_language_is_the_configured_the_manifests_or_the_detected(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: LOGIT, TOKENIZER.to_language_token("ur"): 5.0})
    free, fixed = build(tmp_path), build(tmp_path, language="de")
    languages = [
        r.get("language", r.get("reason"))
        for r in free.extract([make_row(language=x) for x in (None, "es", "EN-gb", "xx")])
    ]
    assert languages[:3] == ["ur", "es", "en"]
    assert languages[3].startswith("language_not_supported")
    assert [r["language"] for r in fixed.extract([make_row(language=x) for x in (None, "es")])] == ["de", "de"]
    with pytest.raises(ConfigError, match=r"features\.transcript\.language: klingon"):
        build(tmp_path, language="klingon")


def test_an_english_whisper_leaves_other_languages_alone(tmp_path: Path) -> None:
    tokenizer = get_tokenizer(multilingual=False)
    save_whisper(tmp_path / "asr/tiny.pt", {tokenizer.encode(" happy")[0]: LOGIT}, multilingual=False)
    english, german, unknown = build(tmp_path).extract([make_row(language=x) for x in ("en", "de", None)])
    assert english["text"] == unknown["text"] and set(english["text"].split()) == {"happy"}
    assert unknown["language"] == "en" and english["reason"].startswith("repetition: ") and "|" not in english["reason"]
    assert unknown["reason"].endswith(
        " | language_assumed: en, the only one that the recogniser knows; the corpus names none"
    )
    strict = build(tmp_path, unknown_language="absent")
    assert [r.get("status") for r in strict.extract([make_row(language=x) for x in ("en", None)])] == [None, "absent"]
    assert strict.extract([make_row()])[0]["reason"].startswith("language_unknown: the corpus names no language")
    assert german == {"status": "absent", "reason": "language_not_supported: the recogniser does not know de"}


@pytest.mark.parametrize(("token", "timestamps"), [(TOKENIZER.eot, True), (TOKENIZER.encode("\n")[0], False)])
def test_a_clip_without_words_is_absent(tmp_path: Path, token: int, timestamps: bool) -> None:
    save_whisper(tmp_path / "asr/tiny.pt", {token: LOGIT})
    result = build(tmp_path, language="en", timestamps=timestamps).extract([make_row()])[0]
    assert result["status"] == "absent"
    assert result["reason"] == "no_words: the recogniser found no words (no speech: probability 0.00)"


def test_a_missing_whisper_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"gigantic is neither a file in .* nor a Whisper size; sizes are .*small"):
        build(tmp_path, model="gigantic")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(ModelError, match=r"text\.pt is not a Whisper checkpoint"):
        build(tmp_path, model="text.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt is not a Whisper checkpoint"):
        build(tmp_path, model="other.pt")

    monkeypatch.setattr("urllib.request.urlopen", lambda *_: pytest.fail("a job must not download"))
    with pytest.raises(ModelError, match=r"whisper/small\.pt; `emoadapt models fetch whisper/small --models-dir"):
        build(tmp_path, model="small")
    # Whisper itself would fetch a file with another checksum again.
    save_whisper(tmp_path / "whisper/small.pt", {})
    with pytest.raises(ModelError, match=r"small\.pt is not the file .*expected is 9ecf779972d9"):
        build(tmp_path, model="small")


def test_a_whisper_size_is_loaded_from_the_folder_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    path = save_whisper(tmp_path / "whisper/small.pt", {happy: LOGIT})
    file = WeightFile(hashlib.sha256(path.read_bytes()).hexdigest(), origin="https://example.org/small.pt")
    entry = Weights("whisper/small", "", "https://example.org", "MIT", "", {"whisper/small.pt": file})
    for module in ("emoadapt.weights.registry", "emoadapt.transcription.whisper_recogniser"):
        monkeypatch.setattr(f"{module}.list_weights", lambda: {entry.name: entry})
    assert set(build(tmp_path, model="small", language="en").extract([make_row()])[0]["text"].split()) == {"happy"}


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "trapped",))

    torch.save({"dims": Trap(), "model_state_dict": {}}, tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="not a Whisper checkpoint"):
        build(tmp_path, model="trap.pt")
    assert not (tmp_path / "trapped").exists()

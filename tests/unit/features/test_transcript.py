"""Transcription: a Whisper whose words are known by construction, pocketsphinx on espeak-ng, and the corpus's own text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

from emoadapt import schema
from emoadapt.config import AsrConfig, DemoCorpus
from emoadapt.demo.plan import Prosody, plan_clips
from emoadapt.demo.speech import speak_clip
from emoadapt.errors import ConfigError, ModelError
from emoadapt.features.base import Context
from emoadapt.features.transcript import TranscriptExtractor

LOGIT = 30.0
N_CONTEXT = 24
TOKENIZER = get_tokenizer(multilingual=True, num_languages=99, language="en", task="transcribe")


def save_whisper(path: Path, favourites: dict[int, float], multilingual: bool = True) -> Path:
    """A checkpoint in Whisper's own format whose next-token logits are always these, and 0 elsewhere.

    The decoder's last norm has weight 0, so that its output is its bias, the first unit vector; the logit of a token is then the
    first element of its embedding.
    """
    torch.manual_seed(0)
    dims = ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_audio_state=16, n_audio_head=2, n_audio_layer=1,
        n_vocab=51865 if multilingual else 51864, n_text_ctx=N_CONTEXT, n_text_state=16, n_text_head=2, n_text_layer=1,
    )  # fmt: skip
    model = Whisper(dims)
    with torch.no_grad():
        model.decoder.positional_embedding.normal_()
        model.decoder.token_embedding.weight[:, 0] = 0
        for token, logit in favourites.items():
            model.decoder.token_embedding.weight[token, 0] = logit
        model.decoder.ln.weight.zero_()
        model.decoder.ln.bias.zero_()
        model.decoder.ln.bias[0] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, path)
    return path


def build(
    folder: Path, engine: str = "whisper", model: str = "asr/tiny.pt", language: str | None = None
) -> TranscriptExtractor:
    return TranscriptExtractor(AsrConfig(engine=engine, model=model, language=language), Context(folder))


def make_row(
    audio: np.ndarray | None = None, language: str | None = None, transcript: str | None = None
) -> dict[str, Any]:
    samples = np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16) if audio is None else audio
    return {"utterance_id": "c/x", "audio": samples.tobytes(), "language": language, "transcript": transcript}


# --- Whisper ---------------------------------------------------------------------------------------


def test_whisper_says_what_its_weights_say(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: LOGIT})
    result = build(tmp_path, language="en").extract([make_row()])[0]
    words = result["text"].split()
    assert len(words) > 3 and set(words) == {"happy"}
    assert result["language"] == "en"
    # Softmax over one logit of 30 and 51,864 of 0.
    assert result["no_speech_probability"] == pytest.approx(1 / (np.exp(LOGIT) + 51864), rel=1e-3)
    # Whisper's first token is a time stamp, one of 51 that may come first, all with logit 0: -log 51; the others have probability 1.
    # It divides by the number of tokens and one.
    assert result["mean_log_probability"] == pytest.approx(-np.log(51) / (N_CONTEXT // 2 + 1), abs=0.02)


def test_whisper_agrees_with_the_library(tmp_path: Path) -> None:
    sad, news = TOKENIZER.encode(" sad")[0], TOKENIZER.encode(" news")[0]
    path = save_whisper(tmp_path / "asr/tiny.pt", {sad: LOGIT, news: LOGIT - 0.5})
    samples = np.random.default_rng(5).integers(-3000, 3000, 40000).astype(np.int16)
    expected = whisper.load_model(str(path), device="cpu").transcribe(
        samples.astype(np.float32) / 32768, temperature=0.0, fp16=False, language="de"
    )
    result = build(tmp_path).extract([make_row(samples, "de")])[0]
    assert result["text"] == expected["text"].strip()
    assert result["mean_log_probability"] == pytest.approx(expected["segments"][0]["avg_logprob"], rel=1e-5)


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
    assert unknown["language"] == "en"
    assert german == {"status": "absent", "reason": "language_not_supported: the recogniser does not know de"}


def test_a_clip_without_words_is_absent(tmp_path: Path) -> None:
    # Whisper that ends at once, and Whisper that is sure that nobody speaks.
    for name, token in (("eot", TOKENIZER.eot), ("silence", TOKENIZER.no_speech)):
        save_whisper(tmp_path / f"{name}.pt", {token: LOGIT})
        result = build(tmp_path, model=f"{name}.pt", language="en").extract([make_row()])[0]
        assert result == {"status": "absent", "reason": "no_words: the recogniser heard no words"}


def test_whisper_gives_the_same_for_the_same_clip_in_any_order(tmp_path: Path) -> None:
    torch.manual_seed(1)
    favourites = {int(token): LOGIT for token in torch.randint(1000, 9000, (3,))}
    save_whisper(tmp_path / "asr/tiny.pt", favourites)
    a, b = make_row(np.full(20000, 500, np.int16)), make_row()
    extractor = build(tmp_path, language="en")
    assert (
        extractor.extract([a, b, a])
        == extractor.extract([a, b, a])
        == [extractor.extract([row])[0] for row in (a, b, a)]
    )


def test_a_missing_whisper_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    with pytest.raises(ModelError, match=r"gigantic is neither a file in .* nor a Whisper size; sizes are .*small"):
        build(tmp_path, model="gigantic")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(ModelError, match=r"text\.pt is not a Whisper checkpoint"):
        build(tmp_path, model="text.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt is not a Whisper checkpoint"):
        build(tmp_path, model="other.pt")

    def refuse(url: str) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(
        ModelError, match=r"Whisper small is not in .*whisper and cannot be fetched .*no network.*; put small\.pt there"
    ):
        build(tmp_path, model="small")


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "trapped",))

    torch.save({"dims": Trap(), "model_state_dict": {}}, tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="not a Whisper checkpoint"):
        build(tmp_path, model="trap.pt")
    assert not (tmp_path / "trapped").exists()


# --- pocketsphinx ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sphinx() -> TranscriptExtractor:
    return build(Path(), engine="pocketsphinx")


def speak(text: str) -> np.ndarray:
    """(n_samples,) int16, 16 kHz, by espeak-ng."""
    planned = plan_clips(DemoCorpus(importer="demo", root="demo", clips=4))[0]
    prosody = Prosody(
        rate=150, pitch=50, pitch_range=50, level_db=-20, effort=0, lead_seconds=0.25, tail_seconds=0.25, noise_db=-70
    )
    clip = replace(planned, voice=0, sentence=text, prosody=prosody, seed=0)
    return (speak_clip(clip) * 32767).astype(np.int16)


def test_pocketsphinx_hears_something_of_a_sentence(sphinx: TranscriptExtractor) -> None:
    result = sphinx.extract([make_row(speak("please open the door"))])[0]
    assert {"please", "open", "the"} <= set(result["text"].split())
    assert result["language"] == "en"
    assert "mean_log_probability" not in result and "no_speech_probability" not in result


def test_pocketsphinx_does_not_depend_on_the_clips_before(sphinx: TranscriptExtractor) -> None:
    rows = [make_row(speak(text)) for text in ("i am going home now", "the weather is very nice today")]
    rows.append(make_row(np.random.default_rng(0).integers(-15000, 15000, 20000).astype(np.int16)))
    forward, backward = sphinx.extract(rows), sphinx.extract(rows[::-1])
    fresh = [build(Path(), engine="pocketsphinx").extract([row])[0] for row in rows]
    assert forward == backward[::-1] == fresh


def test_pocketsphinx_knows_english_only(sphinx: TranscriptExtractor) -> None:
    assert sphinx.extract([make_row(language="de")])[0]["reason"].startswith("language_not_supported")
    with pytest.raises(ConfigError, match=r"features\.transcript\.language: ur"):
        build(Path(), engine="pocketsphinx", language="ur")


def test_pocketsphinx_hears_no_words_in_faint_noise(sphinx: TranscriptExtractor) -> None:
    hiss = np.random.default_rng(0).integers(-5, 5, 16000).astype(np.int16)
    assert sphinx.extract([make_row(hiss)])[0] == {
        "status": "absent",
        "reason": "no_words: the recogniser heard no words",
    }


# --- corpus ----------------------------------------------------------------------------------------


def test_the_corpus_transcript_is_copied() -> None:
    extractor = build(Path(), engine="corpus")
    texts = ["  Das will sie\n am Mittwoch abgeben. ", None, "  "]
    good, missing, blank = extractor.extract([make_row(language="de", transcript=text) for text in texts])
    assert good == {"text": "Das will sie am Mittwoch abgeben.", "language": "de"}
    for result in (missing, blank):
        assert result["status"] == "absent" and result["reason"].startswith("no_transcript:")


def test_results_fit_the_table(tmp_path: Path) -> None:
    (happy,) = TOKENIZER.encode(" happy")
    save_whisper(tmp_path / "asr/tiny.pt", {happy: LOGIT})
    result = build(tmp_path, language="en").extract([make_row()])[0]
    row = {"utterance_id": "c/x", "key": "k", "status": "ok", **result}
    table = pa.Table.from_pylist([row], schema=schema.TRANSCRIPT)
    assert set(row) <= set(table.schema.names)
    assert table["no_speech_probability"][0].as_py() is not None

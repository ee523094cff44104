"""What is said in a clip, by Whisper, pocketsphinx, or the corpus's own transcript."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np

from emoadapt import schema
from emoadapt.config import AsrConfig
from emoadapt.errors import ClipError, ConfigError, ModelError
from emoadapt.features.base import Context, guard
from emoadapt.media import to_float

Recogniser = Callable[[dict[str, Any], "str | None"], dict[str, Any]]
"""(row, language or None) -> columns of the table."""


class TranscriptExtractor:
    """Transcribes each clip.

    The language is the configured one, else the manifest's, else it is detected (Whisper) or taken to be English (pocketsphinx).
    A clip without words is absent (`no_words`; `no_transcript` where the corpus brings none). So is a clip in a language
    that the engine does not know (`language_not_supported`): what a recogniser of another language hears in it would end
    up as a sentiment target.
    """

    table = schema.TRANSCRIPT
    inputs = ("manifest", "audio")
    manifest_columns = ("language", "transcript")
    chunk_size = 16

    def __init__(self, config: AsrConfig, context: Context) -> None:
        """Load the recogniser.

        Raises:
            ModelError: the weights cannot be had.
            ConfigError: the engine does not know the configured language.
        """
        self.language = _language_code(config.language)
        self.recognise: Recogniser
        if config.engine == "whisper":
            self.recognise = _Whisper(config.model, context)
        elif config.engine == "pocketsphinx":
            self.recognise = _Pocketsphinx()
        else:
            self.recognise = _copy_transcript
        known = getattr(self.recognise, "languages", None)
        if self.language and known and self.language not in known:
            raise ConfigError(
                f"features.transcript.language: {config.language} is not known to {config.engine} with this model; it knows "
                f"{', '.join(sorted(known))}"
            )

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`text`, `language` and the engine's confidence, from each row's `audio`, `language` and `transcript`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        language = self.language or _language_code(row.get("language"))
        known = getattr(self.recognise, "languages", None)
        if language and known and language not in known:
            raise ClipError("language_not_supported", f"the recogniser does not know {language}", absent=True)
        result = self.recognise(row, language)
        result["text"] = " ".join(result["text"].split())
        if not result["text"]:
            raise ClipError("no_words", "the recogniser heard no words", absent=True)
        return result


class _Whisper:
    """Whisper at temperature 0, without the fall-back to sampling, so that a clip always gives the same text.

    Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision".
    """

    def __init__(self, model: str, context: Context) -> None:
        from whisper.tokenizer import LANGUAGES

        self.model = _load_whisper(model, context)
        self.languages = frozenset(LANGUAGES) if self.model.is_multilingual else frozenset({"en"})
        self.fp16 = context.device == "cuda"

    def __call__(self, row: dict[str, Any], language: str | None) -> dict[str, Any]:
        import whisper

        heard = whisper.transcribe(
            self.model, to_float(row["audio"]), temperature=0.0, language=language, fp16=self.fp16, verbose=None
        )
        segments = heard["segments"]
        result = {"text": heard["text"], "language": heard["language"]}
        if segments:
            tokens = np.array([max(len(segment["tokens"]), 1) for segment in segments])
            log_probability = np.array([segment["avg_logprob"] for segment in segments])
            result["mean_log_probability"] = float(log_probability @ tokens / tokens.sum())
            result["no_speech_probability"] = float(np.mean([segment["no_speech_prob"] for segment in segments]))
        return result


class _Pocketsphinx:
    """pocketsphinx with the English model of its wheel."""

    languages = frozenset({"en"})

    def __init__(self) -> None:
        import pocketsphinx

        try:
            self.decoder = pocketsphinx.Decoder(loglevel="FATAL", samprate=schema.SAMPLE_RATE)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"pocketsphinx cannot load its English model ({error}); reinstall the package pocketsphinx"
            ) from None

    def __call__(self, row: dict[str, Any], language: str | None) -> dict[str, Any]:
        # Its noise estimate would otherwise run on from clip to clip, and the text depend on the order (0.5 ms).
        self.decoder.reinit_feat()
        self.decoder.start_utt()
        try:
            self.decoder.process_raw(row["audio"], full_utt=True)
        finally:
            self.decoder.end_utt()
        hypothesis = self.decoder.hyp()
        return {"text": hypothesis.hypstr if hypothesis else "", "language": "en"}


def _copy_transcript(row: dict[str, Any], language: str | None) -> dict[str, Any]:
    if row["transcript"] is None or not row["transcript"].strip():
        raise ClipError("no_transcript", "the corpus has no transcript of this clip", absent=True)
    return {"text": row["transcript"], "language": language}


def _language_code(language: str | None) -> str | None:
    """`en` for `en`, `EN`, `en-GB` and `en_GB`."""
    return language.lower().replace("_", "-").split("-")[0] if language else None


def _load_whisper(name: str, context: Context) -> Any:
    """A Whisper model from a checkpoint below `models_dir`, else one of its sizes, kept in `models_dir/whisper`.

    Raises:
        ModelError: there is no such file or size, the file is no Whisper checkpoint, or it cannot be fetched.
    """
    import whisper

    file = context.models_dir / name
    if file.is_file():
        return _load_checkpoint(file, context.device)
    if name not in whisper.available_models():
        raise ModelError(
            f"features.transcript.model: {name} is neither a file in {context.models_dir} nor a Whisper size; "
            f"sizes are {', '.join(whisper.available_models())}"
        )
    folder = context.models_dir / "whisper"
    try:
        return whisper.load_model(name, device=context.device, download_root=str(folder))
    except (URLError, HTTPException, ConnectionError, TimeoutError, RuntimeError) as error:
        raise ModelError(
            f"Whisper {name} is not in {folder} and cannot be fetched ({error}); put {name}.pt there, "
            "or set features.transcript.engine: pocketsphinx"
        ) from None


def _load_checkpoint(file: Path, device: str) -> Any:
    from pickle import UnpicklingError

    import whisper

    try:
        # Reads with weights_only, so a checkpoint cannot run code.
        return whisper.load_model(str(file), device=device)
    except (UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{file} is not a Whisper checkpoint ({reason}); it must hold `dims` and `model_state_dict`, as openai-whisper saves them"
        ) from None

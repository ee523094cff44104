"""Times of the words of a transcript, from the cross-attention of Whisper.

They are openai-whisper's own (`whisper.timing.find_alignment`), for a transcript of any source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import Context, Extractor, Network, TorchSection, guard
from emoadapt.weights.registry import list_weights

INPUTS = ("audio", "transcript")
TERMS = None
CHUNK_ROWS = 16
JOB = {"memory_mb": 6000, "minutes": 720}

LONGEST = 30.0
"""s that Whisper reads at once."""

TABLE = schema.make_feature_table(
    schema.column(
        "words",
        pa.list_(
            pa.struct(
                [("word", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("probability", pa.float32())]
            )
        ),
        "words in order, with the spaces and signs between them: together they are the transcript; s from the beginning of the clip, "
        "and Whisper's probability of the word",
    ),
    schema.column("seconds", pa.float64(), "length of the clip, s"),
)


class Config(TorchSection):
    """Times of the words of a transcript."""

    model: str = Field("small", min_length=1)
    """Whisper size, or a checkpoint file relative to `models_dir`."""

    def describe_network(self) -> Network:
        """Whisper."""
        size = f"whisper/{self.model}"
        return Network("word times", "whisper", "pretrained", size if size in list_weights() else self.model)

    def list_libraries(self) -> tuple[str, ...]:
        """The compiler of Whisper's alignment."""
        return ("numba",)


def load(config: Config, context: Context) -> Extractor:
    """Load Whisper.

    Raises:
        ModelError: it cannot be had.
    """
    return WordTimesExtractor(config, context)


class WordTimesExtractor:
    """Aligns the words of each clip with its audio.

    Absent are clips of more than 30 s (`too_long`), texts that Whisper cannot read at once (`too_many_words`), and those in a language that
    it does not know (`language_not_supported`). A text of unknown language is taken to be English, with a note (`language_assumed`).
    """

    def __init__(self, config: Config, context: Context) -> None:
        import torch
        from whisper.tokenizer import LANGUAGES

        from emoadapt.transcription.whisper_recogniser import load_whisper

        torch.set_num_threads(context.threads)
        self.model = load_whisper(config.model, context, "features.word_times.model")
        count = self.model.num_languages
        self.languages = list(LANGUAGES)[:count] if self.model.is_multilingual else ["en"]
        self.beat = context.beat

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`words` and `seconds` of each row's `audio` and `text`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        import whisper
        from whisper.audio import HOP_LENGTH, N_FRAMES, pad_or_trim
        from whisper.timing import find_alignment
        from whisper.tokenizer import get_tokenizer

        from emoadapt.samples import to_float

        audio, language = to_float(row["audio"]), row.get("language") or "en"
        seconds = len(audio) / schema.SAMPLE_RATE
        if seconds > LONGEST:
            raise ClipError("too_long", f"{seconds:.1f} s, Whisper aligns {LONGEST:g} s", absent=True)
        if language not in self.languages:
            raise ClipError("language_not_supported", f"this Whisper does not know {language}", absent=True)
        tokenizer = get_tokenizer(
            self.model.is_multilingual, num_languages=self.model.num_languages, language=language, task="transcribe"
        )
        tokens, most = tokenizer.encode(" " + row["text"]), self.model.dims.n_text_ctx - len(tokenizer.sot_sequence) - 2
        if len(tokens) > most:
            raise ClipError("too_many_words", f"{len(tokens)} tokens, Whisper aligns {most}", absent=True)
        mel = whisper.log_mel_spectrogram(audio, self.model.dims.n_mels, device=self.model.device)
        n_frames = max(2, len(audio) // HOP_LENGTH)
        found = find_alignment(self.model, tokenizer, tokens, pad_or_trim(mel, N_FRAMES), n_frames)
        self.beat()
        if not found:
            raise ClipError("no_words", "the text has no word", absent=True)
        words = [
            {"word": one.word, "start": min(float(one.start), seconds), "end": min(float(one.end), seconds)}
            | {"probability": float(one.probability)}
            for one in found
        ]
        assumed = (
            None if row.get("language") else "language_assumed: en; neither the corpus nor the recogniser names one"
        )
        return {"words": words, "seconds": seconds, "reason": assumed}

"""Transcripts of clips, by Whisper, pocketsphinx, or the corpus itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa
from pydantic import Field, model_validator

from emoadapt import schema
from emoadapt.errors import ClipError, ConfigError, ModelError
from emoadapt.features.base import Context, Extractor, FeatureSection, Network, guard
from emoadapt.storage.notes import join_notes
from emoadapt.weights.registry import list_weights

INPUTS = ("manifest", "audio")
CONDITIONAL_LIBRARIES = ("pocketsphinx",)
TERMS = None
CHUNK_ROWS = 32
"""Two of Whisper's batches: enough to sort by length, and few enough that a killed job loses little on a CPU."""
JOB = {"memory_mb": 6000, "minutes": 720}

TABLE = schema.make_feature_table(
    schema.column("text", pa.string(), "what the recogniser transcribed"),
    schema.column("language", pa.string(), "ISO 639-1, given or detected"),
    schema.column(
        "no_speech_probability", pa.float32(), "Whisper's, mean over windows of 30 s; null for engines without"
    ),
    schema.column("mean_log_probability", pa.float32(), "mean log-probability per token; null for engines without"),
    schema.column(
        "compression_ratio",
        pa.float32(),
        "bytes of the text per byte of its zlib compression, largest of the windows; null for engines without",
    ),
    schema.column(
        "segments",
        pa.list_(pa.struct([("start", pa.float64()), ("end", pa.float64()), ("text", pa.string())])),
        "Whisper's segments, s from the beginning of the clip; null unless timestamps are asked for",
    ),
)

WORDS_IN_A_FRAME = 5
"""The most words that end in a frame that pocketsphinx follows. With 3000 states: half the time of its defaults (any, and 30,000 states);
on 40 clips of RAVDESS (240 words) a word error rate of .417 instead of .396."""

PIECE_BYTES = 60 * schema.SAMPLE_RATE * 2
"""The most that pocketsphinx reads at once: a minute."""


class Config(FeatureSection):
    """Speech to text."""

    engine: Literal["whisper", "pocketsphinx", "corpus"] = "whisper"
    """`corpus`: use the corpus's own transcripts."""
    model: str = "small"
    """Whisper size, or a checkpoint file relative to `models_dir`. The paper does not state one."""
    language: str | None = None
    """ISO 639-1; null = the manifest's, else detected (Whisper) or English (pocketsphinx)."""
    batch_size: int | None = Field(None, ge=1)
    """Windows of 30 s per batch of Whisper. null: 16 on a GPU, 1 on a CPU, where larger batches are hardly faster."""
    no_speech_threshold: float = Field(0.6, ge=0, le=1)
    """A window contains no words if its no-speech probability is higher and its mean log-probability is at most `log_probability`:
    Whisper's own rule and value. If its mean log-probability is higher, the clip is doubtful (`no_speech`)."""
    compression_ratio: float | None = Field(2.4, gt=0)
    """A clip is doubtful (`repetition`) if the text of one of its windows compresses better than this. Whisper's own measure and
    value. null: not checked."""
    log_probability: float | None = Field(-1.0, le=0)
    """A clip is doubtful (`low_confidence`) if the words of one of its windows have a lower mean log-probability. Whisper's own
    measure and value. null: not checked; the no-speech probability alone decides whether a window contains words."""
    doubtful: Literal["absent", "note"] = "absent"
    """Doubtful transcripts. `absent`: treat the clip as one without words. `note`: keep the transcript with a note."""
    unknown_language: Literal["note", "absent"] = "note"
    """Clips of unknown language, if the recogniser supports only one (pocketsphinx, `*.en` of Whisper). `note`: transcribe in that
    language with a note (`language_assumed`). `absent`: leave out (`language_unknown`)."""
    states: int = Field(3000, ge=100)
    """The most states that pocketsphinx follows in a frame. Fewer take less time and find fewer words."""
    timestamps: bool = False
    """Also keep Whisper's segments with start and end. Whisper then decodes differently: texts may change."""

    @model_validator(mode="after")
    def _timestamps(self) -> Config:
        if self.timestamps and self.engine != "whisper":
            raise ValueError(f"timestamps: the engine {self.engine} has none; set engine: whisper, or remove the key")
        return self

    def describe_network(self) -> Network | None:
        """The recogniser; None for the corpus's own transcripts."""
        if self.engine == "corpus":
            return None
        if self.engine == "pocketsphinx":
            stand_in = "pocketsphinx for speech recognition (it mishears many words)"
            return Network("speech recognition", self.engine, "pretrained", carried=True, stand_in=stand_in)
        size = f"whisper/{self.model}"
        return Network("speech recognition", self.engine, "pretrained", size if size in list_weights() else self.model)

    def list_libraries(self) -> tuple[str, ...]:
        """The recogniser's."""
        return {"whisper": ("openai-whisper", "torch"), "pocketsphinx": ("pocketsphinx",), "corpus": ()}[self.engine]

    def list_idle_keys(self) -> set[str]:
        """How many windows are read at once, and what the other engines read."""
        whisper = {"model", "no_speech_threshold", "compression_ratio", "log_probability", "doubtful"}
        idle = {"whisper": {"states"}, "pocketsphinx": whisper, "corpus": {*whisper, "unknown_language", "states"}}
        return {"batch_size", *idle[self.engine]}

    def list_manifest_columns(self) -> tuple[str, ...]:
        """A corrected transcript changes a row only where transcripts are copied."""
        return ("language", "transcript") if self.engine == "corpus" else ("language",)

    def needs_gpu(self) -> bool:
        """Whisper does."""
        return self.engine == "whisper"

    def runs_parallel(self) -> bool:
        """Pocketsphinx does; Whisper uses all threads for one clip."""
        return self.engine == "pocketsphinx"

    def count_threads(self, allowed: int, on_gpu: bool) -> int:
        """All, unless a GPU does the work."""
        return 1 if on_gpu else allowed

    def knows_only_english(self) -> bool:
        """Whether the recogniser knows only English, as far as its name says: `tiny.en`, `my/small.en.pt`."""
        return self.engine == "pocketsphinx" or (
            self.engine == "whisper" and self.model.removesuffix(".pt").endswith(".en")
        )


def load(config: Config, context: Context) -> Extractor:
    """Load the recogniser.

    Raises:
        ModelError: the weights cannot be had.
        ConfigError: the engine does not know the configured language.
    """
    return TranscriptExtractor(config, context)


class Recogniser(Protocol):
    """Recognises words in clips."""

    languages: frozenset[str] | None
    """ISO 639-1 codes that it knows; None = any."""

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        """Columns of the table for each row and its language (None = unknown).

        `text` is empty where no word was found. `doubts`, which is no column, lists notes on why the words may be invented.
        """
        ...


class TranscriptExtractor:
    """Transcribes each clip.

    The language is the configured one, else the manifest's, else it is detected (Whisper) or taken to be English (pocketsphinx).
    A clip without words is absent (`no_words`; `no_transcript` where the corpus brings none). So is a clip in a language
    that the engine does not know (`language_not_supported`): what a recogniser of another language finds in it would end
    up as a sentiment target. Where the corpus names no language and the engine knows only one, the text is that language's
    whatever was said: the row has a note (`language_assumed`), or is absent (`unknown_language: absent`).

    Words that the engine itself doubts (`doubts` of a recogniser) make the clip absent, or are noted (`doubtful: note`).
    """

    def __init__(self, config: Config, context: Context) -> None:
        """Load the recogniser.

        Raises:
            ModelError: the weights cannot be had.
            ConfigError: the engine does not know the configured language.
        """
        self.language = language_code(config.language)
        self.doubtful, self.unknown_language = config.doubtful, config.unknown_language
        self.recognise: Recogniser
        if config.engine == "whisper":
            from emoadapt.transcription.whisper_recogniser import WhisperRecogniser

            self.recognise = WhisperRecogniser(config, context)
        elif config.engine == "pocketsphinx":
            self.recognise = _Pocketsphinx(config.states, context)
        else:
            self.recognise = _OwnTranscript()
        known = self.recognise.languages
        if self.language and known and self.language not in known:
            raise ConfigError(
                f"features.transcript.language: {config.language} is not known to {config.engine} with this model; it knows "
                f"{', '.join(sorted(known))}"
            )

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`text`, `language` and the engine's confidence, from each row's `audio`, `language` and `transcript`."""
        languages = [self.language or language_code(row.get("language")) for row in rows]
        results = [guard(self._check_language, {"language": language}) for language in languages]
        usable = [index for index, result in enumerate(results) if "status" not in result]
        recognised = self.recognise([rows[index] for index in usable], [languages[index] for index in usable])
        for index, result in zip(usable, recognised, strict=True):
            results[index] = guard(self._check_words, {**result, "note": results[index].get("reason")})
        return results

    def _check_language(self, row: dict[str, Any]) -> dict[str, Any]:
        """Without `status` where a clip of this language can be given to the recogniser; `reason` notes an assumed language."""
        language, known = row["language"], self.recognise.languages
        if known is None or language in known:
            return {}
        if language:
            raise ClipError("language_not_supported", f"the recogniser does not know {language}", absent=True)
        if len(known) > 1:
            return {}
        (only,) = known
        if self.unknown_language == "absent":
            raise ClipError(
                "language_unknown", f"the corpus names no language, the recogniser knows only {only}", absent=True
            )
        return {"reason": f"language_assumed: {only}, the only one that the recogniser knows; the corpus names none"}

    def _check_words(self, result: dict[str, Any]) -> dict[str, Any]:
        """The row of a clip that was transcribed, with its notes; `doubts` and `note` are no columns."""
        columns = {name: value for name, value in result.items() if name not in ("doubts", "note")}
        if "status" in result:
            return columns
        text = " ".join(result["text"].split())
        if not text:
            silence = result.get("no_speech_probability")
            doubt = "" if silence is None else f" (no speech: probability {silence:.2f})"
            raise ClipError("no_words", f"the recogniser found no words{doubt}", absent=True)
        doubts = result.get("doubts", [])
        if doubts and self.doubtful == "absent":
            return {"status": "absent", "reason": doubts[0]}
        return {**columns, "text": text, "reason": join_notes([*doubts, result["note"]])}


class _Pocketsphinx:
    """pocketsphinx with the English model of its wheel.

    Clips of more than a minute are transcribed minute by minute: its search is made for single utterances.
    """

    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self, states: int, context: Context) -> None:
        import pocketsphinx

        self.beat = context.beat
        try:
            self.decoder = pocketsphinx.Decoder(
                loglevel="FATAL", samprate=schema.SAMPLE_RATE, maxhmmpf=states, maxwpf=WORDS_IN_A_FRAME
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"pocketsphinx cannot load its English model ({error}); reinstall the package pocketsphinx"
            ) from None

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        return [{"text": " ".join(self._recognise_pieces(row["audio"])), "language": "en"} for row in rows]

    def _recognise_pieces(self, audio: bytes) -> Iterator[str]:
        for begin in range(0, len(audio), PIECE_BYTES):
            yield self._recognise(audio[begin : begin + PIECE_BYTES])
            self.beat()

    def _recognise(self, audio: bytes) -> str:
        # Its noise estimate would otherwise run on from clip to clip, and the text depend on the order (0.5 ms).
        self.decoder.reinit_feat()
        self.decoder.start_utt()
        try:
            self.decoder.process_raw(audio, full_utt=True)
        finally:
            self.decoder.end_utt()
        hypothesis = self.decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


class _OwnTranscript:
    """The transcript that the corpus brings."""

    languages: frozenset[str] | None = None

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        return [guard(self._copy, {**row, "language": code}) for row, code in zip(rows, languages, strict=True)]

    def _copy(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["transcript"] is None or not row["transcript"].strip():
            raise ClipError("no_transcript", "there is no transcript of this clip", absent=True)
        return {"text": row["transcript"], "language": row["language"]}


def language_code(language: str | None) -> str | None:
    """`en` for `en`, `EN`, `en-GB` and `en_GB`."""
    return language.lower().replace("_", "-").split("-")[0] if language else None

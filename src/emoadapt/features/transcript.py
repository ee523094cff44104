"""What is said in a clip, by Whisper, pocketsphinx, or the corpus's own transcript."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emoadapt import schema
from emoadapt.config import AsrConfig
from emoadapt.errors import ClipError, ConfigError, ModelError
from emoadapt.features.base import Context, guard
from emoadapt.media import to_float
from emoadapt.models.registry import list_weights, resolve

if TYPE_CHECKING:
    import torch
    from whisper import DecodingResult

GPU_BATCH = 16
"""Windows that Whisper reads together on a GPU; on a CPU the encoder, which is most of the work, gains nothing."""

LOG_PROBABILITY_THRESHOLD = -1.0
"""Of the mean over a window's tokens, from Whisper: words above it count even where speech seems improbable."""

SEARCH = {"maxhmmpf": 3000, "maxwpf": 5}
"""The most states, and words that end, that pocketsphinx follows in a frame: half the time of its defaults (30,000 and any); on 40 clips
of RAVDESS (240 words) a word error rate of .417 instead of .396."""

PIECE_BYTES = 60 * schema.SAMPLE_RATE * 2
"""The most that pocketsphinx hears at once: a minute."""

WINDOW = 3000
"""Frames of 10 ms that Whisper reads at once."""

FRAMES_PER_SECOND = 100
STAMPS_PER_SECOND = 50
"""Steps of Whisper's time stamps."""


class Recogniser(Protocol):
    """Hears words in clips."""

    languages: frozenset[str] | None
    """ISO 639-1 codes that it knows; None = any."""

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        """Columns of the table for each row and its language (None = unknown); `text` is empty where nothing was heard."""
        ...


class TranscriptExtractor:
    """Transcribes each clip.

    The language is the configured one, else the manifest's, else it is detected (Whisper) or taken to be English (pocketsphinx).
    A clip without words is absent (`no_words`; `no_transcript` where the corpus brings none). So is a clip in a language
    that the engine does not know (`language_not_supported`): what a recogniser of another language hears in it would end
    up as a sentiment target.
    """

    table = schema.TRANSCRIPT
    inputs = ("manifest", "audio")
    manifest_columns: tuple[str, ...] = ("language",)
    chunk_size = 32
    """Two of Whisper's batches: enough to sort by length, and few enough that a killed job loses little on a CPU."""

    def __init__(self, config: AsrConfig, context: Context) -> None:
        """Load the recogniser.

        Raises:
            ModelError: the weights cannot be had.
            ConfigError: the engine does not know the configured language.
        """
        self.language = _language_code(config.language)
        self.recognise: Recogniser
        if config.engine == "whisper":
            self.recognise = _Whisper(config, context)
        elif config.engine == "pocketsphinx":
            self.recognise = _Pocketsphinx(context)
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
        languages = [self.language or _language_code(row.get("language")) for row in rows]
        results: list[dict[str, Any]] = [{} for _ in rows]
        usable = []
        for index, language in enumerate(languages):
            known = self.recognise.languages
            if language and known and language not in known:
                reason = f"language_not_supported: the recogniser does not know {language}"
                results[index] = {"status": "absent", "reason": reason}
            else:
                usable.append(index)
        heard = self.recognise([rows[index] for index in usable], [languages[index] for index in usable])
        for index, result in zip(usable, heard, strict=True):
            results[index] = guard(_check_words, result)
        return results


class OwnTranscriptExtractor(TranscriptExtractor):
    """Copies the corpus's own transcripts: only here does a corrected one change a row."""

    manifest_columns = ("language", "transcript")


def _check_words(result: dict[str, Any]) -> dict[str, Any]:
    if "status" in result:
        return result
    text = " ".join(result["text"].split())
    if not text:
        silence = result.get("no_speech_probability")
        doubt = "" if silence is None else f" (no speech: probability {silence:.2f})"
        raise ClipError("no_words", f"the recogniser heard no words{doubt}", absent=True)
    return {**result, "text": text}


class _Whisper:
    """Whisper at temperature 0, without the fall-back to sampling, so that a clip always gives the same text.

    Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision". Clips go through windows of 30 s as in
    `whisper.transcribe` with `condition_on_previous_text=False`, only that windows of several clips are decoded
    together. Clips of one window are decoded without time stamps unless these are asked for; longer ones need them to know where
    the next window begins. The language of a clip is detected in its first window, from the encoder's output, which is
    computed once.

    Matrix products of another shape round otherwise, and a rounded tie is another word. So every batch has the same
    number of windows, the last one filled up with copies: what is heard in a clip depends on no other clip.
    """

    def __init__(self, config: AsrConfig, context: Context) -> None:
        import torch
        from whisper.tokenizer import LANGUAGES, get_tokenizer

        torch.set_num_threads(context.threads)
        self.model = _load_whisper(config.model, context)
        multilingual, count = self.model.is_multilingual, self.model.num_languages
        self.languages = frozenset(list(LANGUAGES)[:count]) if multilingual else frozenset({"en"})
        self.tokenizer = get_tokenizer(multilingual, num_languages=count)
        self.fp16 = context.device != "cpu"
        self.batch_size = config.batch_size or (GPU_BATCH if self.fp16 else 1)
        self.timestamps = config.timestamps
        self.no_speech_threshold = config.no_speech_threshold
        self.beat = context.beat

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        clips = [self._open(row["audio"], language) for row, language in zip(rows, languages, strict=True)]
        while waiting := [clip for clip in clips if clip.position < clip.n_frames]:
            for batch in self._gather(waiting):
                for clip, result in zip(batch, self._decode(batch), strict=True):
                    self._advance(clip, result)
                self.beat()
        return [self._conclude(clip) for clip in clips]

    def _open(self, audio: bytes, language: str | None) -> _Clip:
        import whisper
        from whisper.audio import N_SAMPLES

        # With Whisper's own padding, which is cut off again, so that its last frames are those of `whisper.transcribe`.
        mel = whisper.log_mel_spectrogram(
            to_float(audio), self.model.dims.n_mels, padding=N_SAMPLES, device=self.model.device
        )[:, :-WINDOW]
        if language is None and not self.model.is_multilingual:
            language = "en"
        return _Clip(mel, language, stamped=self.timestamps or mel.shape[1] > WINDOW)

    def _gather(self, clips: Sequence[_Clip]) -> Iterator[list[_Clip]]:
        """Batches of one language and one way of decoding, their windows as alike in length as can be."""
        groups: dict[tuple[str | None, bool], list[_Clip]] = {}
        for clip in sorted(clips, key=lambda clip: clip.window_frames):
            groups.setdefault((clip.language, clip.stamped), []).append(clip)
        for group in groups.values():
            for begin in range(0, len(group), self.batch_size):
                yield group[begin : begin + self.batch_size]

    def _decode(self, batch: Sequence[_Clip]) -> list[DecodingResult]:
        import torch
        import whisper
        from whisper.audio import pad_or_trim

        windows = [pad_or_trim(clip.mel[:, clip.position :], WINDOW) for clip in batch]
        windows += windows[-1:] * (self.batch_size - len(windows))
        options = whisper.DecodingOptions(
            temperature=0.0, language=batch[0].language, without_timestamps=not batch[0].stamped, fp16=self.fp16
        )
        return whisper.decode(self.model, torch.stack(windows), options)[: len(batch)]

    def _advance(self, clip: _Clip, result: DecodingResult) -> None:
        """Take over what was heard in a clip's window, and move on to the next."""
        clip.language = result.language
        clip.no_speech.append(result.no_speech_prob)
        begin, length = clip.position, clip.window_frames
        silent = result.no_speech_prob > self.no_speech_threshold and result.avg_logprob <= LOG_PROBABILITY_THRESHOLD
        if silent:
            clip.position += length
            return
        clip.log_probability += result.avg_logprob * (len(result.tokens) + 1)
        clip.n_scored += len(result.tokens) + 1
        segments, done = split_segments(result.tokens, self.tokenizer.timestamp_begin, length)
        for start, end, tokens in segments:
            words = [token for token in tokens if token < self.tokenizer.eot]
            text = self.tokenizer.decode(words).strip()
            if start < end and text:
                clip.words += words
                seconds = [min(begin + frame, clip.n_frames) / FRAMES_PER_SECOND for frame in (start, end)]
                clip.segments.append({"start": seconds[0], "end": seconds[1], "text": text})
        clip.position += done

    def _conclude(self, clip: _Clip) -> dict[str, Any]:
        result = {
            "text": self.tokenizer.decode(clip.words),
            "language": clip.language,
            "no_speech_probability": sum(clip.no_speech) / len(clip.no_speech),
        }
        if clip.n_scored:
            result["mean_log_probability"] = clip.log_probability / clip.n_scored
        if self.timestamps:
            result["segments"] = clip.segments
        return result


@dataclass
class _Clip:
    """How far Whisper has come in a clip."""

    mel: torch.Tensor
    """(n_mels, n_frames) float32 log-mel spectrogram."""
    language: str | None
    stamped: bool
    """Whether it is decoded with time stamps."""
    position: int = 0
    """Frame at which the next window begins."""
    words: list[int] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    no_speech: list[float] = field(default_factory=list)
    """Probability of each window."""
    log_probability: float = 0.0
    """Sum over `n_scored` tokens, the ends of windows included."""
    n_scored: int = 0

    @property
    def n_frames(self) -> int:
        """Length of the clip."""
        return self.mel.shape[1]

    @property
    def window_frames(self) -> int:
        """Length of the next window."""
        return min(WINDOW, self.n_frames - self.position)


def split_segments(
    tokens: Sequence[int], first_stamp: int, length: int
) -> tuple[list[tuple[int, int, list[int]]], int]:
    """Part the tokens of a window at its time stamps, as `whisper.transcribe` does.

    Two stamps in a row end a segment and begin the next. Words after the last pair are unfinished: they are left to the next
    window, which begins there, unless a stamp closes them.

    Args:
        tokens: of the window.
        first_stamp: token of the time stamp 0; those after it are 20 ms apart.
        length: frames of the window.

    Returns:
        (start, end, tokens) of each segment, in frames of the window, and the number of frames that are dealt with.
    """
    frames = FRAMES_PER_SECOND // STAMPS_PER_SECOND
    stamps = [(token - first_stamp) * frames if token >= first_stamp else None for token in tokens]
    cuts = [index for index in range(1, len(tokens)) if stamps[index - 1] is not None and stamps[index] is not None]
    if not cuts:
        last = next((stamp for stamp in reversed(stamps) if stamp), length)
        return [(0, last, list(tokens))], length
    closed = stamps[-1] is not None and stamps[-2] is None
    if closed:
        cuts.append(len(tokens))
    segments = [(stamps[a] or 0, stamps[b - 1] or 0, list(tokens[a:b])) for a, b in pairwise([0, *cuts])]
    return segments, length if closed else segments[-1][1]


class _Pocketsphinx:
    """pocketsphinx with the English model of its wheel.

    Clips of more than a minute are heard minute by minute: its search is made for single utterances.
    """

    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self, context: Context) -> None:
        import pocketsphinx

        self.beat = context.beat
        try:
            self.decoder = pocketsphinx.Decoder(loglevel="FATAL", samprate=schema.SAMPLE_RATE, **SEARCH)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"pocketsphinx cannot load its English model ({error}); reinstall the package pocketsphinx"
            ) from None

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        return [{"text": " ".join(self._hear_pieces(row["audio"])), "language": "en"} for row in rows]

    def _hear_pieces(self, audio: bytes) -> Iterator[str]:
        for begin in range(0, len(audio), PIECE_BYTES):
            yield self._hear(audio[begin : begin + PIECE_BYTES])
            self.beat()

    def _hear(self, audio: bytes) -> str:
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
            raise ClipError("no_transcript", "the corpus has no transcript of this clip", absent=True)
        return {"text": row["transcript"], "language": row["language"]}


def _language_code(language: str | None) -> str | None:
    """`en` for `en`, `EN`, `en-GB` and `en_GB`."""
    return language.lower().replace("_", "-").split("-")[0] if language else None


def _load_whisper(name: str, context: Context) -> Any:
    """A Whisper model of one of its sizes, or a checkpoint file below `models_dir`.

    Raises:
        ModelError: there is no such file or size, it is not here, or the file is no Whisper checkpoint.
    """
    size = f"whisper/{name}"
    if size in list_weights():
        return _load_checkpoint(resolve(size, context.models_dir), context.device)
    if not (context.models_dir / name).is_file():
        sizes = [entry.removeprefix("whisper/") for entry in list_weights() if entry.startswith("whisper/")]
        raise ModelError(
            f"features.transcript.model: {name} is neither a file in {context.models_dir} nor a Whisper size; "
            f"sizes are {', '.join(sizes)}"
        )
    return _load_checkpoint(resolve(name, context.models_dir), context.device)


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

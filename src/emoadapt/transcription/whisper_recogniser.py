"""Whisper at temperature 0, with tests for doubtful words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from emoadapt.errors import ModelError
from emoadapt.features.base import Context
from emoadapt.samples import to_float
from emoadapt.weights.registry import list_weights, resolve

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from whisper import DecodingResult


CONDITIONAL_LIBRARIES = ("torch", "whisper")

GPU_BATCH = 16
"""Windows that Whisper reads together on a GPU; on a CPU the encoder, which is most of the work, gains nothing."""

WINDOW = 3000
"""Frames of 10 ms that Whisper reads at once."""

FRAMES_PER_SECOND = 100
STAMPS_PER_SECOND = 50
"""Steps of Whisper's time stamps."""

_SOUNDS = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|\*[^*]*\*")
"""Names of sounds, as subtitles write them."""


class WhisperRecogniser:
    """Whisper at temperature 0, without the fall-back to sampling, so that a clip always gives the same text.

    Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision". Clips go through windows of 30 s as in
    `whisper.transcribe` with `condition_on_previous_text=False`, only that windows of several clips are decoded
    together. Clips of one window are decoded without time stamps unless these are asked for; longer ones need them to know where
    the next window begins. The language of a clip is detected in its first window, from the encoder's output, which is
    computed once.

    Matrix products of another shape round otherwise, and a rounded tie is another word. So every batch has the same
    number of windows, the last one filled up with copies: the words of a clip depend on no other clip.
    """

    def __init__(self, config: Any, context: Context) -> None:
        import torch
        from whisper.tokenizer import LANGUAGES, get_tokenizer

        torch.set_num_threads(context.threads)
        self.model = load_whisper(config.model, context)
        multilingual, count = self.model.is_multilingual, self.model.num_languages
        self.languages = frozenset(list(LANGUAGES)[:count]) if multilingual else frozenset({"en"})
        self.tokenizer = get_tokenizer(multilingual, num_languages=count)
        self.fp16 = context.device != "cpu"
        self.batch_size = config.batch_size or (GPU_BATCH if self.fp16 else 1)
        self.timestamps = config.timestamps
        self.config = config
        self.beat = context.beat

    def __call__(self, rows: Sequence[dict[str, Any]], languages: Sequence[str | None]) -> list[dict[str, Any]]:
        """Columns of TRANSCRIPT of each row, and `doubts`; see `emoadapt.features.transcript.Recogniser`."""
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
        """Store the words of a clip's window, and move to the next one."""
        clip.language = result.language
        clip.no_speech.append(result.no_speech_prob)
        begin, length = clip.position, clip.window_frames
        lowest = self.config.log_probability
        sure = lowest is not None and result.avg_logprob > lowest
        if result.no_speech_prob > self.config.no_speech_threshold and not sure:
            clip.position += length
            return
        if result.text:
            clip.ratios.append(result.compression_ratio)
            clip.log_probabilities.append(result.avg_logprob)
            clip.silences.append(result.no_speech_prob)
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
        text = self.tokenizer.decode(clip.words)
        result = {
            "text": text if holds_words(text) else "",
            "language": clip.language,
            "no_speech_probability": sum(clip.no_speech) / len(clip.no_speech),
        }
        if clip.n_scored:
            result["mean_log_probability"] = clip.log_probability / clip.n_scored
        if clip.ratios:
            result["compression_ratio"] = max(clip.ratios)
        if self.timestamps:
            result["segments"] = clip.segments
        return {**result, "doubts": find_doubts(clip.ratios, clip.log_probabilities, clip.silences, self.config)}


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
    ratios: list[float] = field(default_factory=list)
    """Compression ratio of each window with words."""
    log_probabilities: list[float] = field(default_factory=list)
    """Mean over the tokens of each window with words."""
    silences: list[float] = field(default_factory=list)
    """No-speech probability of each window with words."""

    @property
    def n_frames(self) -> int:
        """Length of the clip."""
        return self.mel.shape[1]

    @property
    def window_frames(self) -> int:
        """Length of the next window."""
        return min(WINDOW, self.n_frames - self.position)


def holds_words(text: str) -> bool:
    """Whether a text says more than what sounds there are: not `...`, `♪`, `[Music]` or `(upbeat music)`."""
    return any(letter.isalnum() for letter in _SOUNDS.sub("", text))


def find_doubts(
    ratios: Sequence[float], log_probabilities: Sequence[float], silences: Sequence[float], config: Any
) -> list[str]:
    """Reasons to take a clip's words for invented, each `<code>: <detail>`.

    The first two are those for which `whisper.transcribe` decodes a window once more, with sampling: a text that repeats itself,
    and improbable words. Here a window is decoded once, so that the same clip always gives the same text. The third is a window that
    probably holds no speech: `tiny.en` finds the word "you" in ten seconds of silence, and is so sure of it that Whisper's own rule
    keeps it.

    Args:
        ratios: of each window with words, the length of its text divided by that of the compressed text.
        log_probabilities: of each of these windows, mean over its tokens.
        silences: of each of these windows, the probability that it holds no speech.
        config: the three limits.
    """
    doubts = []
    highest, lowest = config.compression_ratio, config.log_probability
    if highest is not None and ratios and max(ratios) > highest:
        doubts.append(f"repetition: the text's compression ratio is {max(ratios):.1f}, allowed is {highest:g}")
    if lowest is not None and log_probabilities and min(log_probabilities) < lowest:
        found = f"{min(log_probabilities):.2f}, allowed is {lowest:g}"
        doubts.append(f"low_confidence: the words' mean log-probability is {found}")
    if silences and max(silences) > config.no_speech_threshold:
        found = f"{max(silences):.2f}, allowed is {config.no_speech_threshold:g}"
        doubts.append(f"no_speech: the probability that nobody speaks is {found}")
    return doubts


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


def load_whisper(name: str, context: Context, user: str = "features.transcript.model") -> Any:
    """A Whisper model of one of its sizes, or a checkpoint file below `models_dir`; `user` names the key in messages.

    Raises:
        ModelError: there is no such file or size, it is not here, or the file is no Whisper checkpoint.
    """
    size = f"whisper/{name}"
    if size in list_weights():
        return _load_checkpoint(resolve(size, context.models_dir), context.device)
    if not (context.models_dir / name).is_file():
        sizes = [entry.removeprefix("whisper/") for entry in list_weights() if entry.startswith("whisper/")]
        raise ModelError(
            f"{user}: {name} is neither a file in {context.models_dir} nor a Whisper size; sizes are {', '.join(sizes)}"
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

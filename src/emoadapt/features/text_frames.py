"""Frames of a text encoder, at the times of the words (Dutta & Ganapathy 2025, Sec. V-F, "RoBERTa-frame").

Each frame has the vector of the token that is spoken at its middle, or of the nearest in time (chosen). A token's share of the time of its
word is that of its letters (chosen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.errors import ClipError, ModelError
from emoadapt.features.base import Context, Extractor, Network, guard
from emoadapt.storage.notes import join_notes
from emoadapt.transcription.sections import EncoderSection
from emoadapt.transcription.texts import check_transcript

if TYPE_CHECKING:
    import numpy as np

INPUTS = ("transcript", "word_times")
TERMS = None
CHUNK_ROWS = 64
JOB = {"memory_mb": 4000, "minutes": 120}

STEP = 0.02
"""s from frame to frame."""

TABLE = schema.make_frames_table("text_frames", "a layer of a text encoder for the token spoken at the time", "float16")


class Config(EncoderSection):
    """Frames of a text encoder."""

    def describe_network(self) -> Network:
        """The encoder."""
        return Network("text frames", "text encoder", "pretrained", self.model)


def load(config: Config, context: Context) -> Extractor:
    """Load the encoder.

    Raises:
        ModelError: it cannot be had, has fewer layers, or its tokenizer does not say where tokens are.
    """
    return TextFramesExtractor(config, context)


class TextFramesExtractor:
    """Places the tokens of each transcript in time.

    What is cut or absent is as for `text_tokens`. Frames of words that are cut have the vector of the last token that was read.
    """

    def __init__(self, config: Config, context: Context) -> None:
        from emoadapt.transcription.encoders import load_layer

        self.config = config
        self.tokenise, self.model, self.layer = load_layer(config, context, "text_frames")
        if not self.tokenise.tokenizer.is_fast:
            raise ModelError(
                f"features.text_frames.model: the tokenizer of {config.model} does not say where its tokens are; name another encoder"
            )

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`text_frames`, `n_frames`, `dimension` and `step` of each row's `text`, `words` and `seconds`, and a note in `reason`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        import numpy as np
        import torch

        notes = check_transcript(row, "the encoder", self.config.languages, self.config.doubtful)
        if "".join(word["word"] for word in row["words"]) != f" {row['text']}":
            raise ClipError("words_differ", "the words that have times are not those of the transcript")
        tokens = self.tokenise(row["text"])
        spans = self.tokenise.locate(row["text"], tokens)
        own = [place for place, added in enumerate(tokens.added) if not added]
        places, times = find_times([spans[place] for place in own], row["words"])
        chosen = choose_tokens(times, count_frames(row["seconds"]))
        with torch.no_grad():
            ids = torch.tensor([tokens.ids], device=next(self.model.parameters()).device)
            states = self.model(input_ids=ids, output_hidden_states=True).hidden_states[self.layer][0].cpu().numpy()
        frames = states[[own[place] for place in places]][chosen].astype("<f2")
        if not np.isfinite(frames).all():
            raise ClipError(
                "frames_overflow", f"the encoder's output of {np.abs(states).max():.3g} does not fit float16"
            )
        n_frames, dimension = frames.shape
        columns = {"text_frames": frames.tobytes(), "n_frames": n_frames, "dimension": dimension, "step": STEP}
        return columns | {"reason": join_notes([notes, tokens.note])}


def count_frames(seconds: float) -> int:
    """Number of whole frames of a clip, at least one."""
    # 0.58 s divided by 0.02 s are 28.999999999999996.
    return max(1, int(seconds / STEP + 1e-6))


def find_times(
    spans: Sequence[tuple[int, int]], words: Sequence[Mapping[str, Any]]
) -> tuple[list[int], list[tuple[float, float]]]:
    """Times of tokens, by their letters' places in the words.

    Args:
        spans: first letter of each token in the text, and the one after its last.
        words: `word`, `start` and `end`, s. Together they are the text with a space before it.

    Returns:
        Numbers of the tokens that have letters of a word, and when each begins and ends, s.

    Raises:
        ClipError: no token has.
    """
    letters: list[tuple[float, float]] = []
    for word in words:
        bare = word["word"].strip()
        before = len(word["word"]) - len(word["word"].lstrip())
        share = (word["end"] - word["start"]) / max(1, len(bare))
        for place in range(len(word["word"])):
            inner = min(max(place - before, 0), len(bare))
            letters.append((word["start"] + inner * share, word["start"] + min(inner + 1, len(bare)) * share))
    places, times = [], []
    for place, (begin, end) in enumerate(spans):
        # The space before the text is a letter of the first word.
        if begin < end and end + 1 <= len(letters):
            places.append(place)
            times.append((letters[begin + 1][0], letters[end][1]))
    if not places:
        raise ClipError("no_tokens", "no token of the text has a time", absent=True)
    return places, times


def choose_tokens(times: Sequence[tuple[float, float]], n_frames: int) -> np.ndarray:
    """Number of the token of each frame, (n_frames,): the nearest in time to its middle, of two the first."""
    import numpy as np

    middles = (np.arange(n_frames) + 0.5)[:, None] * STEP
    begins, ends = np.array(times).T
    return np.maximum(0.0, np.maximum(begins - middles, middles - ends)).argmin(axis=1)

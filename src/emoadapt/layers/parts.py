"""Interface between a speech model and `layers.speech.SpeechBackbone`: how the model is cut in two.

In front is what can be frozen and computed once for each clip; the transformer follows. A family whose model does not have the parts
of wav2vec 2.0 writes a subclass, in its own module: nothing here imports torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn


class SpeechParts(ABC):
    """The parts of one model.

    Args:
        model: of `transformers`, without a head.
    """

    obstacle: ClassVar[str | None] = None
    """Why the way from audio to the embedding cannot be one graph, such as an ONNX file; None: it can."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def encoder(self) -> Any:
        """The module whose `layers` are the transformer's."""
        return self.model.encoder

    @property
    @abstractmethod
    def receptive_field(self) -> int:
        """Samples that shorter clips are filled up with zeros to, at least 1."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Values of a frame of the front end."""

    @property
    def rows(self) -> int:
        """Number of frames that stand for the same time; more than 1 for patches of a spectrogram."""
        return 1

    @property
    def shortest(self) -> int:
        """Number of samples of the shortest clip that `trace` accepts."""
        return self.receptive_field

    @property
    def longest(self) -> int | None:
        """Samples of the longest clip that `trace` takes; None: any."""
        return None

    @property
    @abstractmethod
    def front_end(self) -> Sequence[nn.Module]:
        """Modules with the front end's weights, which the key `cnn` trains or freezes; empty: it has none."""

    @abstractmethod
    def count_frames(self, n_samples: int) -> int:
        """Number of frames of a clip of `n_samples` samples, `receptive_field` or more."""

    @abstractmethod
    def encode_signals(self, signals: Sequence[Tensor]) -> Tensor:
        """Run the front end on each clip as if it were alone.

        Args:
            signals: (n_samples,) float32, each of `receptive_field` samples or more.

        Returns:
            (batch, n_frames, dimension); frames beyond a clip's `count_frames` hold no meaning.
        """

    @abstractmethod
    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """What the transformer is given, which SpecAugment masks.

        Args:
            frames: (batch, n_frames, dimension), zero beyond a clip's end.
            lengths: (batch,) valid frames.

        Returns:
            (batch, n_frames, hidden_size).
        """

    @abstractmethod
    def transform(self, hidden: Tensor, lengths: Tensor, *, every: bool) -> Sequence[Tensor]:
        """Run the transformer on each clip as if it were alone.

        Args:
            hidden: (batch, n_frames, hidden_size), from `project`.
            lengths: (batch,) valid frames.
            every: return the transformer's input and the output of each layer, and not the last one alone.

        Returns:
            States (batch, n_frames, hidden_size), the last layer last; frames beyond a clip's end hold no meaning.
        """

    @abstractmethod
    def trace(self, audio: Tensor, *, every: bool) -> Sequence[Tensor]:
        """All of it as one graph for export: (batch, n_samples), equally long, -> what `transform` returns."""

    @abstractmethod
    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """Write what `AutoFeatureExtractor` reads, if `transformers` has the model.

        Args:
            folder: of the model.
            normalise: whether each clip is scaled to zero mean and unit variance first.
        """

    def save_model(self, model: Any, folder: Path) -> None:
        """Write weights and configuration of the model, or of one of `transformers` around it."""
        model.save_pretrained(folder)

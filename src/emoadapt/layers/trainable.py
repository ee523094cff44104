"""Interface between trainings and backbones with parameters, whatever these read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.poolings.base import mean_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emoadapt.data.batching import Batch


class Embedder(nn.Module, ABC):
    """A model with parameters that embeds clips: what trainings on tasks need of one.

    Attributes:
        origin: where the parameters come from, for messages and model cards.
        reads: feature that its first stream is of; of several parts, what these are called.
        library: what computes the embedding from a folder that `save` writes.
        width: dimension of the embedding.
        shortest: samples that shorter clips are lengthened to; 0 = none are.
        standardised: whether its input frames are z-scored, with the statistics that `fit_input` is given.
    """

    origin: str
    reads: str = "audio"
    library: Literal["transformers", "emoadapt"] = "emoadapt"
    shortest: int = 0
    standardised: bool = False

    @property
    @abstractmethod
    def width(self) -> int:
        """Dimension of the embedding."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Pooled embeddings (batch, width) float32, the same alone and in any batch."""

    @abstractmethod
    def freeze_kept(self, roles: Collection[str]) -> None:
        """Freeze the front ends whose streams, named by role, are replaced by kept outputs, and release all others."""

    @abstractmethod
    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write a folder that `load_folder` of the family loads, with its model card."""

    def list_factors(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Factors of the learning rate, other than 1, and the parameters that are trained with them."""
        return []

    def redraw(self, seed: int) -> bool:
        """Draw new initial weights for the parts that a study adds to a model, unless they were read from a folder.

        Such parts are a pooling, an embedding, adapters, a fusion's linear layer and CARE's convolutions.

        Args:
            seed: seed of the weights.

        Returns:
            Whether there is such a part.
        """
        return False

    def count_frames(self, n_samples: int) -> int | None:
        """Number of the first stream's kept frames of `n_samples` samples; None where they have no time, as those of a text."""
        return None

    def find_step(self, role: str) -> float | None:
        """Seconds from frame to frame of the kept output in a role's place; None where they have no time."""
        return None

    def count_rows(self, role: str) -> int:
        """Frames of one time, one after the other, in the kept output in a role's place."""
        return 1

    def fit_input(self, mean: NDArray[np.float64], std: NDArray[np.float64]) -> None:
        """Take up the statistics, (dimension,), that input frames are z-scored with; only of one that is `standardised`."""
        raise TypeError(f"{type(self).__name__} does not standardise its input")

    def compile_layers(self) -> None:
        """Compile the layers, for clips of any length.

        Raises:
            ModelError: torch finds no C++ compiler.
        """
        return


class TrainableBackbone(Embedder):
    """A backbone with parameters.

    A batch goes three steps: the front end makes frames of it, the layers change these, the pooling makes one embedding of a clip's
    frames. Stage 1 may read every layer.

    Attributes:
        hidden_width: dimension of the layers.
        layers: modules of the layers, the first one first.
        layer_weights: (n_layers + 1,) weights of the layers' learned mean; None: the last layer is read.
        cnn_trainable: whether the front end is trained.
        branches: names of the equal parts of `hidden_width`; see `config.backbones.Backbone.branches`.
    """

    layer_weights: nn.Parameter | None
    cnn_trainable: bool = False
    branches: tuple[str, ...] = ()

    @property
    @abstractmethod
    def layers(self) -> nn.ModuleList:
        """Modules of the layers."""

    @abstractmethod
    def run_front_end(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Frames (batch, n_frames, ...) of a batch, which the layers are given, and the clips' frame counts (batch,)."""

    @abstractmethod
    def encode_layers(
        self, frames: Tensor, lengths: Tensor, draws: Sequence[Sequence[int]] = (), *, every: bool = True
    ) -> Sequence[Tensor]:
        """Run the layers.

        Args:
            frames: of `run_front_end`.
            lengths: (batch,) valid frames.
            draws: one key for `numpy.random.default_rng` per clip, where something is drawn in training.
            every: return the input of the layers and the output of each, and not the last one alone.

        Returns:
            States (batch, n_frames, hidden_width), the last layer last; frames beyond a clip's end hold no meaning.
        """

    @abstractmethod
    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool valid frames: (batch, n_frames, hidden_width), (batch,) -> (batch, width) float32."""

    def take_branch(self, state: Tensor, branch: str) -> Tensor:
        """The values of a branch in a state (..., hidden_width); all values if the backbone has no such branch."""
        if branch not in self.branches:
            return state
        return state.chunk(len(self.branches), dim=-1)[self.branches.index(branch)]

    def measure_branch(self, branch: str) -> int:
        """Number of values that `take_branch` returns for a frame."""
        return self.hidden_width // len(self.branches) if branch in self.branches else self.hidden_width

    def read(self, states: Sequence[Tensor]) -> Tensor:
        """The last of all states, or their weighted mean."""
        return states[-1] if self.layer_weights is None else mix_layers(self.layer_weights, states)

    def encode(self, frames: Tensor, lengths: Tensor, draws: Sequence[Sequence[int]] = ()) -> Tensor:
        """Last layer, or the weighted mean of all, (batch, n_frames, hidden_width); arguments as of `encode_layers`."""
        return self.read(self.encode_layers(frames, lengths, draws, every=self.layer_weights is not None))

    def embed(self, batch: Batch) -> Tensor:
        """See `Embedder`; `states`, the kept last layer, need no layers."""
        if "states" in batch.streams:
            return self.pool(batch.streams["states"].float(), batch.lengths["states"])
        frames, lengths = self.run_front_end(batch)
        return self.pool(self.encode(frames, lengths, batch.draws), lengths)

    def embed_layers(self, batch: Batch) -> Tensor:
        """Mean over time of the layers' input and of each layer's output, as the model stands, without dropout.

        Layers are those that `layers: weighted` weighs. The last of a large model is taken before the layer norm that follows it.

        Returns:
            (batch, n_layers + 1, hidden_width) float32, without gradient.
        """
        training = self.training
        try:
            # Not in inference mode: a conformer keeps its rotary positions for the next batch, which may be one of training.
            with torch.no_grad():
                frames, lengths = self.eval().run_front_end(batch)
                states = self.encode_layers(frames, lengths)
                return torch.stack([mean_frames(state, lengths) for state in states], dim=1)
        finally:
            self.train(training)

    def set_cnn_trainable(self, trainable: bool) -> None:
        """Freeze or release the front end; one without weights of its own stays as it is."""
        return

    def freeze_kept(self, roles: Collection[str]) -> None:
        """Freeze the front end if its output, or that of the layers, was kept."""
        self.set_cnn_trainable(not roles)

    def compile_layers(self) -> None:
        """Compile the layers: one compilation for all of them, and for clips of any length.

        Raises:
            ModelError: torch finds no C++ compiler.
        """
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler as error:
            raise ModelError(
                "`compile: true` needs a C++ compiler, and none was found; install g++ or clang, or remove `compile`"
            ) from error
        for layer in self.layers:
            # Not the module itself: hooks, which take the layers' outputs for a weighted mean, stay outside.
            layer.forward = torch.compile(layer.forward, dynamic=True)


def mix_layers(weights: Tensor, states: Sequence[Tensor]) -> Tensor:
    """Convex mean of states, (batch, n_frames, width) each, under the softmax of weights (n_states,)."""
    return sum(weight * state for weight, state in zip(weights.softmax(dim=0), states, strict=True))

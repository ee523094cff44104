"""The transformer over low-level descriptors of Goncalves & Busso 2022, Sec. 3.4 and 4.3.

Frames of descriptors are projected (Eq. 1), get sinusoidal positions (Vaswani et al. 2017, Sec. 3.5), and pass two groups of
self-attention layers. The residual connections of the second group are scaled by learnable weights. Where the paper leaves a
choice open, the default is what the authors' AuxFormer does (Goncalves & Busso 2022b,
https://github.com/ilucasgoncalves/AuxFormer, `modules/transformer.py`): pre-norm, feed-forward parts four times as wide,
`residual * alpha + branch * (1 - alpha)` around both parts of a layer, a layer norm after each group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.trainable import TrainableBackbone
from emoadapt.machine.torch_device import send
from emoadapt.poolings.base import load_pooling, mask_frames
from emoadapt.weights.cards import write_card

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emoadapt.backbones.lld_transformer import Shape
    from emoadapt.data.batching import Batch

MODEL_TYPE = "lld_transformer"
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


def place_frames(n_frames: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positions (n_frames, width): sine in even dimensions, cosine in odd ones."""
    dimensions = torch.arange(width, device=device)
    rates = 10_000.0 ** (-2 * (dimensions // 2) / width)
    angles = torch.arange(n_frames, device=device)[:, None] * rates
    return torch.where(dimensions % 2 == 0, angles.sin(), angles.cos())


class Residual(nn.Module):
    """What joins a layer's input and a branch: their sum, or their sum with learnable weights.

    Args:
        scaling: `none`: both count once. `complement`: alpha and 1 - alpha. `separate`: alpha and beta.
    """

    def __init__(self, scaling: str) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.rand(1)) if scaling != "none" else None
        self.beta = nn.Parameter(torch.rand(1)) if scaling == "separate" else None

    def forward(self, residual: Tensor, branch: Tensor) -> Tensor:
        """(..., width), (..., width) -> (..., width)."""
        if self.alpha is None:
            return residual + branch
        return residual * self.alpha + branch * (1 - self.alpha if self.beta is None else self.beta)


class Layer(nn.Module):
    """Self-attention and a feed-forward part, each with a residual connection and a layer norm.

    Args:
        shape: of the network.
        scaling: of the residual connections, see `Residual`; both share its weights.
    """

    def __init__(self, shape: Shape, scaling: str) -> None:
        super().__init__()
        width = shape.width
        self.attention = nn.MultiheadAttention(width, shape.heads, batch_first=True)
        self.inner = nn.Linear(width, shape.feed_forward * width)
        self.outer = nn.Linear(shape.feed_forward * width, width)
        for part in (self.inner, self.outer):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.join = Residual(scaling)
        self.attention_dropout = nn.Dropout(shape.attention_dropout)
        self.residual_dropout = nn.Dropout(shape.residual_dropout)
        self.norm_first = shape.norm == "before"

    def forward(self, hidden: Tensor, padding: Tensor) -> Tensor:
        """(batch, n_frames, width), (batch, n_frames) True for padding -> (batch, n_frames, width)."""
        for part, norm in zip((self._attend, self._feed), self.norms, strict=True):
            branch = self.residual_dropout(part(norm(hidden) if self.norm_first else hidden, padding))
            hidden = self.join(hidden, branch)
            hidden = hidden if self.norm_first else norm(hidden)
        return hidden

    def _attend(self, hidden: Tensor, padding: Tensor) -> Tensor:
        """As the forward of `nn.MultiheadAttention` in training, whose own path for evaluation takes twice as long on a CPU."""
        part = self.attention
        joined = nn.functional.linear(hidden, part.in_proj_weight, part.in_proj_bias)
        query, key, value = joined.unflatten(2, (3, part.num_heads, part.head_dim)).permute(2, 0, 3, 1, 4)
        mask = torch.zeros_like(padding, dtype=query.dtype).masked_fill(padding, float("-inf"))[:, None, None]
        found = nn.functional.scaled_dot_product_attention(query, key, value, mask)
        return self.attention_dropout(part.out_proj(found.transpose(1, 2).flatten(2)))

    def _feed(self, hidden: Tensor, _: Tensor) -> Tensor:
        return self.outer(torch.relu(self.inner(hidden)))


class LldTransformer(nn.Module):
    """Projection, positions, and both groups of layers.

    Args:
        shape: of the network; its weights depend on nothing else.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.sinusoidal = shape.positions == "sinusoidal"
        with seeded(shape.seed):
            self.projection = nn.Linear(shape.dimension, shape.width)
            scalings = ["none"] * shape.layers + [shape.scaling] * shape.scaled_layers
            self.layers = nn.ModuleList(Layer(shape, scaling) for scaling in scalings)
        ends = {shape.layers - 1, len(scalings) - 1} if shape.norm == "before" else set()
        self.ends = nn.ModuleDict({str(end): nn.LayerNorm(shape.width) for end in sorted(ends) if end >= 0})
        """Layer norms that end the groups, by the index of the layer before them."""

    def forward(self, frames: Tensor, lengths: Tensor) -> list[Tensor]:
        """Run all layers.

        Args:
            frames: (batch, n_frames, dimension) descriptors.
            lengths: (batch,) valid frames, at least 1.

        Returns:
            The layers' input and the output of each, (batch, n_frames, width); frames beyond a clip's end hold no meaning.
        """
        return self.transform(self.projection(frames), lengths)

    def transform(self, hidden: Tensor, lengths: Tensor) -> list[Tensor]:
        """Add positions to projected frames, (batch, n_frames, width), and run the layers; else as `forward`."""
        padding = ~mask_frames(lengths, hidden.shape[1])
        if self.sinusoidal:
            hidden = hidden + place_frames(hidden.shape[1], hidden.shape[2], hidden.device)
        states = [hidden]
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, padding)
            hidden = self.ends[str(index)](hidden) if str(index) in self.ends else hidden
            states.append(hidden)
        return states


class LldBackbone(TrainableBackbone):
    """The network and a pooling, trained on frames that are z-scored with the statistics of the training clips.

    Args:
        shape: of the network.
        pooling: plug-in that pools frames.
        reads: feature whose frames it reads, under the role `frames`.
        origin: where the weights come from, for the model card.
        trained: False for random weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: Shape, pooling: str, *, reads: str, origin: str, trained: bool) -> None:
        super().__init__()
        self.shape, self.reads, self.origin, self.trained = shape, reads, origin, trained
        self.model = LldTransformer(shape)
        self.pooling = load_pooling(pooling, shape.width)
        self.standardised = shape.normalise
        self.register_parameter("layer_weights", None)
        self.register_buffer("mean", torch.zeros(shape.dimension))
        self.register_buffer("std", torch.ones(shape.dimension))

    @property
    def width(self) -> int:
        """Dimension of the pooled embedding."""
        return self.pooling.width

    @property
    def hidden_width(self) -> int:
        """Dimension of the layers."""
        return self.shape.width

    @property
    def layers(self) -> nn.ModuleList:
        """Both groups of layers."""
        return self.model.layers

    def redraw(self, seed: int) -> bool:
        """See `Embedder`: the pooling."""
        return self.pooling.redraw(seed)

    def fit_input(self, mean: NDArray[np.float64], std: NDArray[np.float64]) -> None:
        """Take up the statistics that frames are z-scored with.

        Raises:
            ModelError: the feature's frames have another dimension than the network reads.
        """
        self._check_dimension(len(mean))
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))

    def run_front_end(self, batch: Batch | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Normalised frames (batch, n_frames, dimension), zero beyond a clip's end, and frame counts (batch,).

        Args:
            batch: with the stream `frames`; or clips, (n_frames, dimension) each.

        Raises:
            ModelError: the frames have another dimension than the network reads.
        """
        if isinstance(batch, Sequence):
            lengths = torch.tensor([len(clip) for clip in batch], device=self.device)
            frames = pad_sequence([send(clip, self.device) for clip in batch], batch_first=True)
        else:
            frames, lengths = cast("Tensor", batch.streams["frames"]), batch.lengths["frames"]
        self._check_dimension(frames.shape[2])
        frames = (frames.float() - self.mean) / self.std
        return frames * mask_frames(lengths, frames.shape[1])[..., None], lengths

    def encode_layers(
        self, frames: Tensor, lengths: Tensor, draws: Sequence[Sequence[int]] = (), *, every: bool = True
    ) -> Sequence[Tensor]:
        """See `TrainableBackbone`; the input of the layers has its positions, and a layer norm that ends a group is part of its layer."""
        return self.model(frames, lengths)

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """See `TrainableBackbone`."""
        return self.pooling(hidden, lengths)

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (batch, width) float32 of clips, (n_frames, dimension) each."""
        frames, lengths = self.run_front_end(clips)
        return self.pool(self.encode(frames, lengths), lengths)

    def _check_dimension(self, found: int) -> None:
        if found != self.shape.dimension:
            raise ModelError(
                f"the frames of {self.reads} have {found} values, and the lld_transformer reads {self.shape.dimension}; set its "
                f"`dimension: {found}`"
            )

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write `config.json`, `model.safetensors` and a model card.

        Args:
            folder: made if needed.
            card: facts for the model card, as `SpeechBackbone.save`.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        said = {
            "model_type": MODEL_TYPE,
            "reads": self.reads,
            "pooling": self.pooling.choice,
            **self.shape.model_dump(),
        }
        (folder / _CONFIG).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / _WEIGHTS)
        write_card(
            folder,
            card,
            origin=self.origin,
            trained=self.trained,
            library="emoadapt",
            notice="",
            pooling=self.pooling.name,
            reads=self.reads,
        )


def load_saved(folder: Path, *, origin: str, trained: bool) -> LldBackbone:
    """Load a folder that `LldBackbone.save` wrote.

    Raises:
        ModelError: it is incomplete, or its weights are not those that its configuration describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from emoadapt.backbones.lld_transformer import Shape

    try:
        said = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        shape = Shape.model_validate({name: said[name] for name in Shape.model_fields})
        backbone = LldBackbone(shape, said["pooling"], reads=said["reads"], origin=origin, trained=trained)
        backbone.load_state_dict(load_file(folder / _WEIGHTS))
        backbone.pooling.fresh = False
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{origin} cannot be loaded from {folder} ({str(error).splitlines()[0]}); that must be a folder with config.json and "
            "model.safetensors as emoadapt wrote them; one of results/models is damaged: delete it and run again"
        ) from error
    return backbone

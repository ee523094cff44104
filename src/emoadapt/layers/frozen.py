"""Layers of a frozen backbone, as a classifier on them reads them: chosen, z-scored, mixed into one vector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn

from emoadapt.layers.vector import VectorBackbone

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch
    from emoadapt.layers.trainable import TrainableBackbone

FILE = "frozen.safetensors"
"""Beside the backbone: `mean` and `scale`, (n_read, width) float64, and `mix`, (n_read,) float32; in its metadata `reads`, JSON of `layers` and `branch`."""

TENSORS = ("mean", "scale", "mix")


class FrozenLayers(nn.Module):
    """A vector of each clip, read from the layers of a frozen backbone, behind the interface of backbones.

    Args:
        backbone: its `embed_layers` gives each layer's mean over time.
        numbers: layers that are read; 0 = the input of the transformer.
        branch: part of each layer that is read; None = all.
        tensors: `mean` and `scale`, (n_read, width), that layers are z-scored with; absent: they are not. `mix`, (n_read,), the share of
            each layer in the vector; absent: one layer is read.
    """

    library: Literal["emoadapt"] = "emoadapt"

    def __init__(
        self,
        backbone: TrainableBackbone | VectorBackbone,
        numbers: Sequence[int],
        branch: str | None,
        tensors: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.backbone, self.numbers, self.branch = backbone, tuple(numbers), branch
        for name in TENSORS:
            self.register_buffer(name, tensors.get(name))

    @property
    def reads(self) -> str:
        """Feature that the backbone's first stream is of."""
        return self.backbone.reads

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        """Vectors (batch, width) of audio, or of whatever the backbone's first stream is."""
        return self.embed(clips)

    def embed(self, batch: Batch | Sequence[Tensor]) -> Tensor:
        """Vectors (batch, width) float32, the same alone and in any batch."""
        return self.read(self.backbone.embed_layers(batch))

    def read(self, layers: Tensor) -> Tensor:
        """(batch, n_layers, hidden_width) of all layers -> (batch, width)."""
        chosen = layers[:, list(self.numbers)]
        if self.branch is not None:
            chosen = self.backbone.take_branch(chosen, self.branch)
        if self.mean is not None:
            # In double precision and rounded once, as `data.vectors.Statistics` does.
            chosen = ((chosen - self.mean) / self.scale).float()
        return chosen[:, 0] if self.mix is None else torch.einsum("l,blw->bw", self.mix, chosen)

    def describe(self) -> str:
        """What the vector is, for the model card."""
        scaled = "z-scored with the training clips" if self.mean is not None else "not z-scored"
        if isinstance(self.backbone, VectorBackbone):
            return f"the vector computed from the feature {self.backbone.reads}, {scaled}"
        *first, last = map(str, self.numbers)
        said = f"layers {', '.join(first)} and {last}, mixed by fixed shares" if first else f"layer {last}"
        branch = f", {self.branch} part" if self.branch else ""
        return f"{said} of the frozen backbone{branch}, averaged over time, {scaled}"

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write the backbone's folder, with a model card, and what is read of it beside it."""
        from safetensors.torch import save_file

        self.backbone.save(folder, {**card, "embedding": self.describe()})
        # Under one key: several are written in an order that changes from time to time.
        said = {"reads": json.dumps({"layers": self.numbers, "branch": self.branch})}
        save_file({name: value.contiguous() for name, value in self.named_buffers(recurse=False)}, folder / FILE, said)

    @classmethod
    def load(cls, folder: Path, backbone: Any) -> Self:
        """What `save` wrote beside a backbone.

        Raises:
            SafetensorError: the file cannot be read.
            KeyError: it lacks something.
        """
        from safetensors import safe_open

        with safe_open(folder / FILE, "pt") as file:
            said = json.loads(file.metadata()["reads"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        return cls(backbone, said["layers"], said["branch"], tensors)

"""Several encoders whose pooled vectors are joined."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.trainable import Embedder, TrainableBackbone
from emoadapt.weights.cards import write_card

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch

WEIGHTS = "fusion.safetensors"
"""File of a model folder with the weights that belong to no part."""


class FusionBackbone(Embedder):
    """Encoders, each with its pooling, and a linear layer on their pooled vectors (Srinivasan et al. 2022, Eq. 1).

    Args:
        parts: name -> encoder; a clip must have the input of the first.
        embedding: dimension of the linear layer; None = the pooled vectors stand side by side.

    Raises:
        ModelError: a part standardises its input, which is done for one input of a model only.
    """

    def __init__(self, parts: Mapping[str, TrainableBackbone], embedding: int | None) -> None:
        super().__init__()
        for name, part in parts.items():
            if part.standardised:
                raise ModelError(
                    f"part {name} ({part.origin}) standardises its input, which a fusion cannot; name another"
                )
        self.names = list(parts)
        self.reads = " and ".join(parts)
        self.parts = nn.ModuleList(parts.values())
        self.origin = " + ".join(part.origin for part in parts.values())
        self.shortest = self.parts[0].shortest
        self.embedding = embedding
        width = sum(part.width for part in parts.values())
        self.fresh = embedding is not None
        with seeded(0):
            self.joint = nn.Identity() if embedding is None else nn.Linear(width, embedding)
        self.absent = nn.ParameterList(torch.zeros(part.width) for part in self.parts[1:])
        self._width = embedding or width

    @property
    def width(self) -> int:
        """Dimension of the joint embedding."""
        return self._width

    @property
    def trained(self) -> bool:
        """Whether the weights of all parts were trained."""
        return all(part.trained for part in self.parts)

    @property
    def notice(self) -> str:
        """What the licences of the parts' families ask every copy of trained weights to say."""
        return " ".join(filter(None, dict.fromkeys(getattr(part, "notice", "") for part in self.parts)))

    def embed(self, batch: Batch) -> Tensor:
        """Joint embeddings (batch, width) float32; a learned vector stands for a part that a clip lacks."""
        pooled = []
        for place, (name, part) in enumerate(zip(self.names, self.parts, strict=True)):
            own = batch.narrow(name)
            vectors = part.embed(own)
            # Of several streams a part needs its first.
            if place and own.present:
                there = next(iter(own.present.values()))
                vectors = torch.where(there[:, None], vectors, self.absent[place - 1])
            pooled.append(vectors)
        return self.joint(torch.cat(pooled, dim=1)).float()

    def freeze_kept(self, roles: Collection[str]) -> None:
        """See `Embedder`; roles are `<part>.<role>`."""
        for name, part in zip(self.names, self.parts, strict=True):
            part.freeze_kept([role for role in roles if role.startswith(f"{name}.")])

    def redraw(self, seed: int) -> bool:
        """See `Embedder`: the linear layer, and the added parts of the joined backbones."""
        if self.fresh:
            with seeded(seed):
                self.joint.reset_parameters()
        seeds = [zlib.crc32(f"{seed}/{name}".encode()) for name in self.names]
        return any([self.fresh, *(part.redraw(own) for part, own in zip(self.parts, seeds, strict=True))])

    def list_factors(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Those of the parts."""
        return [found for part in self.parts for found in part.list_factors()]

    def count_frames(self, n_samples: int) -> int | None:
        """Of the first part."""
        return self.parts[0].count_frames(n_samples)

    def find_step(self, role: str) -> float | None:
        """Of the part whose role it is."""
        name, _, own = role.partition(".")
        return self.parts[self.names.index(name)].find_step(own)

    def count_rows(self, role: str) -> int:
        """Of the part whose role it is."""
        name, _, own = role.partition(".")
        return self.parts[self.names.index(name)].count_rows(own)

    def compile_layers(self) -> None:
        """Compile the layers of all parts."""
        for part in self.parts:
            part.compile_layers()

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write a folder that `load_folder` loads, with a folder of each part in it, and model cards.

        Args:
            folder: made if needed.
            card: facts for the model card, name -> value or list of values; `title` is its heading.
        """
        from safetensors.torch import save_file

        for name, part in zip(self.names, self.parts, strict=True):
            part.save(folder / name, {"title": f"{card.get('title', folder.name)}, part {name}"})
        described = {"model_type": "emoadapt-fusion", "parts": self.names, "embedding": self.embedding}
        (folder / "config.json").write_text(json.dumps(described) + "\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self._list_own().items()}, folder / WEIGHTS)
        notes = [
            f"part {name}: {note}"
            for name, part in zip(self.names, self.parts, strict=True)
            for note in getattr(part, "notes", ())
        ]
        write_card(
            folder,
            card,
            origin=self.origin,
            trained=self.trained,
            library="emoadapt",
            notice=self.notice,
            notes=notes,
            reads="parts",
        )

    def restore(self, folder: Path, origin: str) -> Self:
        """Read what `save` writes beside the parts.

        Raises:
            ModelError: the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(folder / WEIGHTS)
            self.load_state_dict(
                found | {name: value for name, value in self.state_dict().items() if name not in found}
            )
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError(f"{folder / WEIGHTS} cannot be read ({error}); copy the whole folder again") from error
        self.origin, self.fresh = origin, False
        return self

    def _list_own(self) -> dict[str, Tensor]:
        """Weights that belong to no part."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("parts.")}

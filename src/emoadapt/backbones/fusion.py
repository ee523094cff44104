"""Several encoders joined into one model (Srinivasan et al. 2022, Sec. 3.1).

Each part is pooled, and a linear layer joins the pooled vectors. A probe reads the layers of each part instead, with weights of their own,
and puts the means side by side (Dutta & Ganapathy 2025, Sec. V-H); a vector of descriptors is one layer.
A clip must have the first part's input. Of the others it may lack any, such as the text of a clip without words: a vector that is learned
for that part then takes the place of the pooled one (chosen; the papers say nothing of such clips).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from emoadapt.config.backbones import Backbone, Kept
from emoadapt.config.base import Name
from emoadapt.data.streams import Stream
from emoadapt.errors import Problem
from emoadapt.fixes import find_unknown
from emoadapt.layers.settings import PoolingChoice, check_pooling
from emoadapt.study.nodes import ORIGINAL

if TYPE_CHECKING:
    from emoadapt.layers.fusion import FusionBackbone

MODEL_TYPES = ("emoadapt-fusion",)
LOADED_BY = "emoadapt"
NOTICE = ""


class Config(Backbone):
    """Several backbones of the study joined into one model."""

    architecture: Literal["fusion"]
    of: dict[Name, Name] = Field(min_length=2)
    """Part -> backbone of the study, such as `{audio: hubert, text: bert}`. Each part is trained as its section says (`train_layers`,
    `learning_rate_factor`). The first must be there for every clip; a learned vector stands for a missing other. A part may be an
    `architecture: vector`; only a probe can then read the fusion."""
    pooling: PoolingChoice | None = None
    """Pooling of all parts, as of a single backbone. null: each as its own section says."""
    embedding: int | None = Field(128, ge=1)
    """Dimension of a linear layer that joins the pooled parts; their own `embedding` is not used. null: they stand side by side."""
    adaptable: ClassVar[bool] = True
    layered: ClassVar[bool] = False

    _parts: dict[str, Backbone] = PrivateAttr(default_factory=dict)

    @field_validator("pooling")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return None if value is None else check_pooling(value)

    def link(self, backbones: Mapping[str, Backbone]) -> list[Problem]:
        """Take up the sections of the parts."""
        problems = []
        for part, name in self.of.items():
            if name not in backbones:
                problems += find_unknown(f"of.{part}", name, backbones)
            elif not backbones[name].layered:
                problems.append(Problem(f"of.{part}", f"{name} joins backbones itself; name one that does not"))
            elif backbones[name].adaptable and "pooling" not in type(backbones[name]).model_fields:
                said = f"{name} pools no frames; name an encoder, or a vector of descriptors"
                problems.append(Problem(f"of.{part}", said))
            else:
                changed: dict[str, Any] = {
                    "embedding": None,
                    "pooling": self.pooling or getattr(backbones[name], "pooling", None),
                }
                known = {key: value for key, value in changed.items() if key in type(backbones[name]).model_fields}
                self._parts[part] = backbones[name].model_copy(update=known)
        return problems

    @property
    def joined(self) -> Mapping[str, str]:
        """Part -> name of its backbone."""
        return self.of

    @property
    def parts(self) -> Mapping[str, Backbone]:
        """Part -> its section, with the pooling that it has here."""
        return self._parts

    @property
    def read_frozen(self) -> bool:
        """See `Backbone`."""
        return not all(config.adaptable for config in self.parts.values())

    @property
    def standardised(self) -> bool:
        """Whether the input of a part is z-scored with training clips; its layers then differ between runs."""
        return any(config.standardised for config in self.parts.values())

    @property
    def provenance(self) -> Literal["pretrained", "untrained"]:
        """Untrained if a part is."""
        untrained = any(config.provenance == "untrained" for config in self.parts.values())
        return "untrained" if untrained else "pretrained"

    @property
    def streams(self) -> dict[str, Stream]:
        """Streams of the parts, as `<part>.<role>`."""
        return {
            f"{part}.{role}": stream for part, config in self.parts.items() for role, stream in config.streams.items()
        }

    def list_kept(self, stage: Literal["stage1", "stage2"], start: str) -> dict[str, Kept]:
        """Those of the parts, which start as they are."""
        return {
            f"{part}.{role}": kept._replace(backbone=kept.backbone or self.of[part])
            for part, config in self.parts.items()
            for role, kept in config.list_kept(stage, ORIGINAL).items()
        }

    def list_weights(self) -> list[tuple[str, str | None]]:
        """Weights of the parts."""
        return list(dict.fromkeys(found for config in self.parts.values() for found in config.list_weights()))

    def list_libraries(self) -> tuple[str, ...]:
        """Libraries of the parts."""
        return tuple(dict.fromkeys(name for config in self.parts.values() for name in config.list_libraries()))

    def describe(self) -> str:
        """The keys that decide a training, those of the parts among them, as JSON."""
        parts = {part: json.loads(config.describe()) for part, config in self.parts.items()}
        return json.dumps({"architecture": self.architecture, "embedding": self.embedding, "parts": parts})

    def describe_kept(self, kind: str) -> str:
        """The keys that decide what a probe reads of each part, as JSON; the order of the parts among them."""
        return json.dumps([[part, json.loads(config.describe_kept(kind))] for part, config in self.parts.items()])


def load(config: Config, models_dir: Path, source: Path | None = None) -> FusionBackbone:
    """Load the parts and join them; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.backbones.base import load_backbone
    from emoadapt.layers.fusion import FusionBackbone

    if source is not None:
        return load_folder(source, None, origin=str(source), trained=True)
    return FusionBackbone(
        {part: load_backbone(section, models_dir) for part, section in config.parts.items()}, config.embedding
    )


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> FusionBackbone:
    """Load a folder that `FusionBackbone.save` wrote; arguments and errors as those of `base.load_folder`."""
    from emoadapt.backbones.base import load_folder as load_part
    from emoadapt.layers.fusion import FusionBackbone

    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parts = {
        name: load_part(folder / name, origin=f"{origin}, part {name}", trained=trained) for name in described["parts"]
    }
    return FusionBackbone(parts, described["embedding"]).restore(folder, origin)

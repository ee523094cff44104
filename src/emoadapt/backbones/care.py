"""CARE: an acoustic and a semantic encoder on common layers (Dutta & Ganapathy 2025).

The first layers of a speech model are common to both encoders; its following layers are the acoustic encoder. The semantic encoder
consists of the last layers of a text encoder, each between two convolutions. The model reads audio, and no text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PrivateAttr

from emoadapt.config.backbones import Backbone, Kept
from emoadapt.config.base import Name
from emoadapt.data.streams import AUDIO, Stream
from emoadapt.errors import Change, Problem, name_count
from emoadapt.fixes import find_unknown
from emoadapt.layers.settings import LayerSettings

if TYPE_CHECKING:
    from emoadapt.layers.care import CareBackbone

MODEL_TYPES = ("emoadapt-care",)
LOADED_BY = "emoadapt"
NOTICE = ""

NEUTRAL = {"layers": "last", "pooling": "mean", "embedding": None, "train_layers": "all", "lora": None}
"""Keys of a part's section that apply when it is used alone -> their values in CARE."""


class Config(LayerSettings):
    """CARE: an acoustic and a semantic encoder on common layers, made of a speech model and a text encoder of the study.

    The sections of these two give the weights or dimensions, and that of the speech model `cnn`, `spec_augment` and `pad`. Their other
    keys are not used.
    """

    architecture: Literal["care"]
    speech: Name
    """Speech backbone of the study: front end, common layers and acoustic encoder (the paper: WavLM base)."""
    text: Name
    """Text backbone of the study, whose last layers are those of the semantic encoder (the paper: RoBERTa base)."""
    common: int | None = Field(None, ge=1)
    """Number of layers of the speech model that both encoders read. null: the first half."""
    branch: int | None = Field(None, ge=1)
    """Number of layers of each encoder. Further layers of the speech model are left out. null: all that follow the common ones."""
    adapters: bool = True
    """Whether each text layer stands between two convolutions over time, which divide the frame rate by three and restore it. They also
    convert between the widths of the two models, if these differ (chosen). false: text layers read all frames (Table V), and both models
    must have the same width."""
    text_layers: Literal["frozen", "trained", "untrained"] = "frozen"
    """`frozen`: the text layers are not trained (the paper). `trained`: they are trained (CARE-FT, CARE-Trans). `untrained`: they are
    trained from random weights (CARE-No init)."""
    speech_init: Literal["weights", "untrained"] = "weights"
    """`untrained`: the common layers and the acoustic encoder begin with random weights (Table VI); the front end keeps its own
    (chosen)."""
    acoustic_gradient: Literal["joint", "acoustic_only"] = "joint"
    """Layers that losses on the acoustic encoder train. `joint`: the acoustic encoder and the common layers (Eq. 3). `acoustic_only`: the
    acoustic encoder alone (authors' code)."""
    seed: int = Field(0, ge=0)
    """Seed of layers that begin with random weights, and of the convolutions in Stage 1 and where they are frozen. Fine-tunings of the
    original draw the convolutions with the seed of the run."""

    _parts: dict[str, Backbone] = PrivateAttr(default_factory=dict)

    def link(self, backbones: Mapping[str, Backbone]) -> list[Problem]:
        """Take over the sections of the two models; returns problems."""
        problems = []
        for key, kind in (("speech", "a speech model"), ("text", "a text encoder")):
            name = getattr(self, key)
            wanted = {"audio"} if key == "speech" else {"text_tokens"}
            if name not in backbones:
                problems += find_unknown(key, name, backbones)
            elif backbones[name].joined or not backbones[name].adaptable or {*backbones[name].features} != wanted:
                problems.append(Problem(key, f"{name} is not {kind} with layers; name one"))
            else:
                section = backbones[name]
                known = {field: value for field, value in NEUTRAL.items() if field in type(section).model_fields}
                self._parts[key] = section.model_copy(update=known)
        return problems + self.check_depths({part: config.depth for part, config in self._parts.items()})

    @property
    def joined(self) -> Mapping[str, str]:
        """The two models."""
        return {"speech": self.speech, "text": self.text}

    @property
    def parts(self) -> Mapping[str, Backbone]:
        """Part -> its section."""
        return self._parts

    @property
    def branches(self) -> tuple[str, ...]:
        """The two encoders."""
        return ("acoustic", "semantic")

    @property
    def provenance(self) -> Literal["pretrained", "untrained"]:
        """Untrained if a part is, or the layers of the speech model are drawn at random."""
        untrained = any(config.provenance == "untrained" for config in self.parts.values())
        return "untrained" if untrained or self.speech_init == "untrained" else "pretrained"

    @property
    def depth(self) -> int | None:
        """Input, common layers and those of the encoders, where their number is part of the study."""
        return self.join_depths({part: config.depth for part, config in self.parts.items()})

    def join_depths(self, depths: Mapping[str, int | None]) -> int | None:
        """See `Backbone`."""
        whole = depths.get("speech")
        if self.branch is not None and self.common is not None:
            return self.common + self.branch + 1
        if whole is None or self.branch is None:
            return whole
        return (whole - 1) // 2 + self.branch + 1

    def check_depths(self, depths: Mapping[str, int | None]) -> list[Problem]:
        """See `Backbone`: whether the two models have the layers that are asked for."""
        speech, text = depths.get("speech"), depths.get("text")
        needed = (self.common or 1) + (self.branch or 1)
        if speech is not None and needed > speech - 1:
            said = f"common and branch need {name_count(needed, 'layer')}, and {self.speech} has {speech - 1}; lower one of the two"
            return [Problem("common", said)]
        branch = self.branch
        if branch is None and speech is not None:
            branch = speech - 1 - (self.common or (speech - 1) // 2)
        if text is not None and branch is not None and branch > text - 1:
            said = f"each encoder gets {name_count(branch, 'layer')}, and {self.text} has {text - 1}; set it to at most {text - 1}"
            return [Problem("branch", said, Change("branch", text - 1))]
        return []

    @property
    def keeps_states(self) -> bool:
        """See `LayerSettings`; the speech model masks nothing either."""
        return super().keeps_states and getattr(self.parts.get("speech"), "spec_augment", None) is None

    @property
    def streams(self) -> dict[str, Stream]:
        """Audio."""
        return {"audio": AUDIO}

    def list_kept(self, stage: Literal["stage1", "stage2"], start: str) -> dict[str, Kept]:
        """The last layer if the task trains nothing of it, else the output of the speech model's frozen front end."""
        if found := super().list_kept(stage, start):
            return found
        return {
            role: kept._replace(backbone=self.speech) if kept.whose == "own" else kept
            for role, kept in (self.parts["speech"].list_kept(stage, start) if self.parts else {}).items()
        }

    def list_weights(self) -> list[tuple[str, str | None]]:
        """Weights of both models."""
        return list(dict.fromkeys(found for config in self.parts.values() for found in config.list_weights()))

    def describe(self) -> str:
        """The keys that decide a training, those of the parts among them, as JSON."""
        return self._join(super().describe(), {part: config.describe() for part, config in self.parts.items()})

    def describe_kept(self, kind: str) -> str:
        """The keys that decide a kept output, those of the parts among them, as JSON."""
        return self._join(
            super().describe_kept(kind), {part: config.describe_kept(kind) for part, config in self.parts.items()}
        )

    @staticmethod
    def _join(own: str, parts: Mapping[str, str]) -> str:
        names = {"speech", "text"}
        kept = {key: value for key, value in json.loads(own).items() if key not in names}
        return json.dumps(kept | {"parts": {part: json.loads(text) for part, text in parts.items()}})


def load(config: Config, models_dir: Path, source: Path | None = None) -> CareBackbone:
    """Load the two models and put them together; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.backbones.base import load_backbone
    from emoadapt.layers.care import build

    if source is not None:
        backbone = load_folder(source, None, origin=str(source), trained=config.provenance == "pretrained")
    else:
        speech, text = (load_backbone(config.parts[part], models_dir) for part in ("speech", "text"))
        backbone = build(
            speech,
            text,
            common=config.common,
            branch=config.branch,
            adapters=config.adapters,
            random=[*(["speech"] if config.speech_init == "untrained" else []),
                    *(["text"] if config.text_layers == "untrained" else [])],
            seed=config.seed,
        )  # fmt: skip
    backbone.configure(config)
    return backbone


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> CareBackbone:
    """Load a folder that `CareBackbone.save` wrote; arguments and errors as those of `base.load_folder`."""
    from emoadapt.layers.care import load_saved

    return load_saved(folder, origin=origin, trained=trained)

"""wav2vec 2.0 "with its transformer replaced" by the one over descriptors (Goncalves & Busso 2022, Sec. 4.3).

The CNN encoder is that of `transformers`. A layer norm follows it, as in wav2vec 2.0. Projection, positions and layers are those of
`emoadapt.layers.lld_transformer`: the positions are sinusoidal, not convolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers import PreTrainedModel, Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

from emoadapt.backbones.lld_transformer import Shape
from emoadapt.layers.heads import seeded
from emoadapt.layers.lld_transformer import LldTransformer
from emoadapt.layers.speech import SpeechBackbone, Wav2Vec2Parts
from emoadapt.layers.transformer import load_pretrained

if TYPE_CHECKING:
    from emoadapt.backbones.wav2vec2_lld import Untrained

MODEL_TYPE = "wav2vec2_lld"


class Wav2Vec2LldConfig(Wav2Vec2Config):
    """Dimensions: those of the CNN encoder as in wav2vec 2.0, and `transformer`, those of `backbones.lld_transformer.Shape`."""

    model_type = MODEL_TYPE
    transformer: dict[str, Any] | None = None


class Wav2Vec2LldModel(PreTrainedModel):
    """CNN encoder, layer norm, transformer.

    Args:
        config: dimensions.
    """

    config_class = Wav2Vec2LldConfig
    base_model_prefix = MODEL_TYPE
    main_input_name = "input_values"

    def __init__(self, config: Wav2Vec2LldConfig) -> None:
        super().__init__(config)
        self.feature_extractor = Wav2Vec2FeatureEncoder(config)
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.encoder = LldTransformer(Shape.model_validate(config.transformer))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Kaiming for convolutions, as in wav2vec 2.0; other modules initialise themselves."""
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)


class Wav2Vec2LldParts(Wav2Vec2Parts):
    """A CNN encoder, and the transformer over descriptors."""

    obstacle = "its network is not one of `transformers`"

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Layer norm and projection; positions come after the masks."""
        return self.encoder.projection(self.model.layer_norm(frames))

    def transform(self, hidden: Tensor, lengths: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`."""
        states = self.encoder.transform(hidden, lengths)
        return states if every else states[-1:]

    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """None: `transformers` has no such model."""


def _wrap(model: Wav2Vec2LldModel, *, origin: str, trained: bool) -> SpeechBackbone:
    return SpeechBackbone(
        model, MODEL_TYPE, normalise=model.config.feat_extract_norm == "layer", origin=origin, trained=trained,
        parts=Wav2Vec2LldParts,
    )  # fmt: skip


def build_untrained(dimensions: Untrained) -> SpeechBackbone:
    """Build a randomly initialised backbone; the same dimensions and seed give the same weights."""
    shape = dimensions.transformer.model_copy(update={"dimension": dimensions.conv_dim[-1], "normalise": False})
    config = Wav2Vec2LldConfig(
        conv_dim=list(dimensions.conv_dim),
        conv_kernel=list(dimensions.conv_kernel),
        conv_stride=list(dimensions.conv_stride),
        feat_extract_norm=dimensions.feat_extract_norm,
        hidden_size=shape.width,
        num_hidden_layers=dimensions.layers,
        num_attention_heads=shape.heads,
        mask_time_prob=0.0,
        transformer=shape.model_dump(),
    )
    with seeded(dimensions.seed):
        model = Wav2Vec2LldModel(config)
    return _wrap(model, origin=f"randomly initialised (seed {dimensions.seed})", trained=False)


def load_saved(folder: Path, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load a folder that `SpeechBackbone.save` wrote.

    Raises:
        ModelError: it is incomplete.
    """
    model, _ = load_pretrained(Wav2Vec2LldModel, folder, origin=origin, what=f"a {MODEL_TYPE} model")
    return _wrap(model, origin=origin, trained=trained).restore(folder)

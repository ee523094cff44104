"""From a study's line on a backbone, or a folder, to the model: trained weights, or new ones.

A model of another family than the four is tried with noise when it is loaded (`architecture: auto`), and refused if the
embedding of a clip depends on the batch.
"""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn

from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.speech import LAYER_WEIGHTS, SpeechBackbone, quiet_transformers
from emoadapt.schema import SAMPLE_RATE
from emoadapt.weights.registry import resolve

if TYPE_CHECKING:
    from emoadapt.config import Backbone, UntrainedBackbone

MODEL_TYPES = {"wav2vec2": "wav2vec2", "wavlm": "wavlm", "hubert": "hubert", "data2vec": "data2vec-audio"}
"""Architecture of a study -> `model_type` of `transformers`."""

AV_HUBERT = "av_hubert"
"""Architecture, and `model_type` of its folders, that `transformers` does not know."""

AUTO = "auto"
"""Architecture that is read from the weights."""

_PARTS = ("feature_extractor.conv_layers", "feature_projection", "encoder.layers")
"""Parts of a model that a backbone is cut into."""

SHAPE = ("hidden_size", "conv_dim", "conv_kernel", "conv_stride", "conv_bias", "feat_extract_norm")
"""What its configuration must say; the last two have only the CNN encoders that `encode_signals` knows."""

_UNUSED = {"masked_spec_embed"}
"""The vector that stands for a frame masked by SpecAugment: checkpoints may lack it."""

PADDING_TOLERANCE = 1e-2
"""Share of an embedding's standard deviation by which the padding of a batch may change it: far above rounding, far below a leak."""


def load_backbone(config: Backbone, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Load a backbone, set up as a study wants it.

    Args:
        config: architecture, weights or the dimensions of an untrained model, and what `SpeechBackbone.configure` sets up.
        models_dir: folder of weights; a hub id that is no folder in it is looked for in the Hugging Face cache.
        source: folder of an adapted model of that backbone, loaded instead.

    Raises:
        ModelError: weights are missing, incomplete, or of another architecture.
    """
    backbone = _load_weights(config, models_dir, source)
    backbone.configure(config)
    return backbone


def _load_weights(config: Backbone, models_dir: Path, source: Path | None) -> SpeechBackbone:
    origin = config.weights or f"randomly initialised (seed {config.untrained.seed if config.untrained else 0})"
    trained = config.weights is not None
    if source is not None:
        return load_folder(source, config.architecture, origin=origin, trained=trained)
    if config.untrained is not None:
        return build_untrained(config.architecture, config.untrained)
    assert config.weights is not None  # Backbone requires one of the two
    found = resolve(config.weights, models_dir, config.revision)
    if config.architecture in (AV_HUBERT, AUTO) and found.is_file():
        from emoadapt.layers.av_hubert import load_checkpoint

        return load_checkpoint(found, origin=origin)
    return load_folder(found, config.architecture, origin=origin, trained=True)


def build_untrained(architecture: str, dimensions: UntrainedBackbone) -> SpeechBackbone:
    """Build a randomly initialised backbone; the same dimensions and seed give the same weights.

    Raises:
        ModelError: data2vec with a group-norm CNN, which does not exist.
    """
    if architecture == AV_HUBERT:
        from emoadapt.layers.av_hubert import build_untrained_av_hubert

        return build_untrained_av_hubert(dimensions)
    from transformers import AutoConfig, AutoModel

    values = dimensions.model_dump()
    dropout = values.pop("dropout")
    positions = {"num_conv_pos_embeddings": dimensions.conv_pos_kernel}
    if architecture == "data2vec":
        if dimensions.feat_extract_norm != "layer":
            raise ModelError(
                "a data2vec CNN has layer norm only; set feat_extract_norm: layer, or another architecture"
            )
        positions = {"conv_pos_kernel_size": dimensions.conv_pos_kernel}
        values.pop("feat_extract_norm")
    config = AutoConfig.for_model(
        MODEL_TYPES[architecture],
        **{name: values[name] for name in values if name.startswith("feat_")},
        **{name: list(values[name]) for name in ("conv_dim", "conv_kernel", "conv_stride")},
        **positions,
        num_conv_pos_embedding_groups=dimensions.conv_pos_groups,
        hidden_size=dimensions.hidden_size,
        num_hidden_layers=dimensions.layers,
        num_attention_heads=dimensions.heads,
        intermediate_size=dimensions.intermediate_size,
        hidden_dropout=dropout,
        attention_dropout=dropout,
        activation_dropout=dropout,
        feat_proj_dropout=0.0,
        mask_time_prob=0.0,
    )
    with seeded(dimensions.seed):
        model = AutoModel.from_config(config)
    return SpeechBackbone(
        model,
        normalise=dimensions.feat_extract_norm == "layer",
        origin=f"randomly initialised (seed {dimensions.seed})",
        trained=False,
    )


def load_folder(source: Path, architecture: str | None = None, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load a backbone from a folder in Hugging Face format, or one of an AV-HuBERT that `SpeechBackbone.save` wrote.

    Raises:
        ModelError: it is missing, incomplete, or of another architecture.
    """
    from safetensors.torch import load_file

    if _read_model_type(Path(source)) == AV_HUBERT:
        from emoadapt.layers.av_hubert import load_saved

        if architecture not in (None, AUTO, AV_HUBERT):
            raise ModelError(
                f"{origin} is an {AV_HUBERT} model, the configuration says {architecture}; change `architecture` or `weights`"
            )
        backbone: SpeechBackbone = load_saved(Path(source), origin=origin, trained=trained)
    else:
        backbone = _load_transformers(Path(source), architecture, origin=origin, trained=trained)
    if (weights := Path(source) / LAYER_WEIGHTS).is_file():
        backbone.layer_weights = nn.Parameter(load_file(weights)["layer_weights"])
    return backbone


def _load_transformers(source: Path, architecture: str | None, *, origin: str, trained: bool) -> SpeechBackbone:
    """A backbone that is a model of `transformers`."""
    from transformers import AutoConfig, AutoModel, PreTrainedConfig

    names = {model_type: name for name, model_type in MODEL_TYPES.items()}
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, local_files_only=True)
        found = names.get(config.model_type, config.model_type)
        if architecture not in (None, AUTO, found):
            raise ModelError(
                f"{origin} is a {found} model, the configuration says {architecture}; change `architecture` or `weights`"
            )
        with quiet_transformers():
            model, report = AutoModel.from_pretrained(
                source, local_files_only=True, weights_only=True, dtype=torch.float32, output_loading_info=True
            )
        normalise = _read_normalise(source, config)
    except (OSError, ValueError, SafetensorError, UnpicklingError) as error:
        raise ModelError(
            f"{origin} cannot be loaded from {source} ({str(error).splitlines()[0]}); that must be a folder with config.json and "
            "model.safetensors or pytorch_model.bin; one of results/models is damaged: delete it and run again"
        ) from error
    if missing := set(report["missing_keys"]) - _UNUSED:
        raise ModelError(
            f"{origin} lacks {len(missing)} weights of a {config.model_type} model, e.g. {min(missing)}; fetch it again"
        )
    if "masked_spec_embed" in report["missing_keys"]:
        model.masked_spec_embed = None
    if config.model_type in names:
        return SpeechBackbone(model, normalise=normalise, origin=origin, trained=trained)
    _check_parts(model, origin)
    backbone = SpeechBackbone(model, normalise=normalise, origin=origin, trained=trained)
    _check_padding(backbone)
    return backbone


def _check_parts(model: Any, origin: str) -> None:
    """A family that is none of the four must be cut into the same parts.

    Raises:
        ModelError: one is missing.
    """
    lacking = []
    for part in _PARTS:
        found = model
        for name in part.split("."):
            found = getattr(found, name, None)
        lacking += [part] if found is None else []
    lacking += [f"config.{name}" for name in SHAPE if not hasattr(model.config, name)]
    if getattr(model.config, "squeeze_factor", 1) != 1:
        lacking.append("a frame out of the transformer for each that goes in (squeeze_factor)")
    if getattr(model.config, "add_adapter", False):
        lacking.append("a last layer of all frames (add_adapter)")
    if lacking:
        raise ModelError(
            f"{origin} is a {model.config.model_type} model, which lacks {', '.join(lacking)}; take one with the parts of wav2vec 2.0, "
            "e.g. unispeech-sat or wav2vec2-conformer"
        )


def _check_padding(backbone: SpeechBackbone) -> None:
    """Try a family that nobody has tried.

    Raises:
        ModelError: the embedding of a clip depends on the longer clip beside it, or cannot be computed.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = (backbone.shortest + SAMPLE_RATE // 4, backbone.shortest + SAMPLE_RATE // 2)
    clips = [0.1 * torch.randn(n, generator=generator) for n in lengths]
    model_type, training = backbone.model.config.model_type, backbone.training
    try:
        # Not in inference mode: a conformer keeps its rotary positions for the next batch, which may be one of training.
        with torch.no_grad():
            alone, together = backbone.eval()(clips[:1])[0], backbone(clips)[0]
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{backbone.origin} is a {model_type} model, which does not run as wav2vec 2.0 does ({str(error).splitlines()[0]}); "
            "take another"
        ) from error
    backbone.train(training)
    if (alone - together).abs().max() > PADDING_TOLERANCE * alone.std():
        raise ModelError(
            f"{backbone.origin} is a {model_type} model, whose embedding of a clip depends on the padding beside it; take another"
        )


def _read_model_type(folder: Path) -> str | None:
    """`model_type` of a folder's configuration; None where there is none."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def _read_normalise(source: Path, config: Any) -> bool:
    """The checkpoint's `do_normalize`; without one, what its family was trained with (True for layer-norm CNNs)."""
    from transformers import Wav2Vec2FeatureExtractor

    try:
        return bool(Wav2Vec2FeatureExtractor.from_pretrained(source, local_files_only=True).do_normalize)
    except OSError:
        return getattr(config, "feat_extract_norm", "layer") == "layer"

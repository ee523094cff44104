"""wav2vec 2.0, WavLM, HuBERT, data2vec-audio, and similar models of `transformers` (`auto`).

`architecture: auto` loads any speech model with the parts of wav2vec 2.0. If its family is none of the four, it is tested with
noise, and refused if the embedding of a clip depends on the batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from emoadapt.errors import ModelError
from emoadapt.layers.settings import TrainableFrontEnd, UntrainedConvolved
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.layers.speech import SpeechBackbone

ARCHITECTURES = ("wav2vec2", "wavlm", "hubert", "data2vec", "auto")
MODEL_TYPES = ("wav2vec2", "wavlm", "hubert", "data2vec-audio")
LOADED_BY = "transformers"
NOTICE = ""

_RENAMED = {"data2vec": "data2vec-audio"}
"""Architecture of a study -> `model_type` of `transformers`, where the two differ."""

_PARTS = ("feature_extractor.conv_layers", "feature_projection", "encoder.layers")
"""Parts of a model that a backbone is cut into."""

_UNUSED = {"masked_spec_embed"}
"""The vector that stands for a frame masked by SpecAugment: checkpoints may lack it."""

_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
"""Dimensions of the models whose names say `large`."""

PADDING_TOLERANCE = 1e-2
"""Share of an embedding's standard deviation by which the padding of a batch may change it: far above rounding, far below a leak."""


class UntrainedBackbone(UntrainedConvolved):
    """Dimensions of a seeded, randomly initialised backbone."""

    conv_dim: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64, 128, 128, 128)
    """Channels of the 1-D CNN encoder's layers."""
    conv_kernel: tuple[Annotated[int, Field(ge=1)], ...] = (10, 8, 4, 4, 4)
    conv_stride: tuple[Annotated[int, Field(ge=1)], ...] = (5, 4, 4, 2, 2)
    """The product is the hop in samples (320 = 20 ms)."""
    feat_extract_norm: Literal["group", "layer"] = "layer"

    @model_validator(mode="after")
    def _shapes(self) -> UntrainedBackbone:
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError("conv_dim, conv_kernel and conv_stride differ in length; give each one value per layer")
        return self


class Config(TrainableFrontEnd):
    """A self-supervised speech model of `transformers`.

    With `auto` it is what `config.json` of the weights says: any speech model with the parts of wav2vec 2.0, such as
    UniSpeech-SAT, or one of another family.
    """

    architecture: Literal["wav2vec2", "wavlm", "hubert", "data2vec", "auto"]
    untrained: UntrainedBackbone | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""

    @model_validator(mode="after")
    def _architecture(self) -> Config:
        if self.architecture == "auto" and self.weights is None:
            raise ValueError(
                "architecture `auto` needs `weights`; name them, or name the architecture of the untrained model"
            )
        projections = [name for name in (self.lora and self.lora.modules) or () if name.endswith("_proj")]
        if projections and self.architecture == "wavlm":
            raise ValueError(
                f"WavLM's attention ignores adapters in {', '.join(projections)}; use intermediate_dense and output_dense"
            )
        return self


def load(config: Config, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Load a backbone, set up as a study wants it; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.transformer import load_configured

    return load_configured(config, models_dir, source, lambda: _build(config))


def _build(config: Config) -> SpeechBackbone:
    assert config.untrained is not None  # SpeechSettings requires weights otherwise
    return build_untrained(config.architecture, config.untrained)


def load_stand_in(config: Config) -> SpeechBackbone | None:
    """A backbone of the usual dimensions with random weights, whose speed is that of the weights named; None for `auto`."""
    from transformers import AutoConfig, AutoModel

    from emoadapt.layers.heads import seeded
    from emoadapt.layers.speech import SpeechBackbone

    if config.architecture == "auto" or config.weights is None:
        return None
    shape = _LARGE if "large" in config.weights.lower() else {}
    with seeded(0):
        model = AutoModel.from_config(AutoConfig.for_model(_name_type(config.architecture), **shape))
    origin = f"stand-in for {config.weights}"
    backbone = SpeechBackbone(model, "speech_transformer", normalise=False, origin=origin, trained=False)
    backbone.configure(config)
    return backbone


def _name_type(architecture: str) -> str:
    return _RENAMED.get(architecture, architecture)


def build_untrained(architecture: str, dimensions: UntrainedBackbone) -> SpeechBackbone:
    """Build a randomly initialised backbone; the same dimensions and seed give the same weights.

    Raises:
        ModelError: data2vec with a group-norm CNN, which does not exist.
    """
    from transformers import AutoConfig, AutoModel

    from emoadapt.layers.heads import seeded
    from emoadapt.layers.speech import SpeechBackbone

    values = dimensions.model_dump()
    dropout = values.pop("dropout")
    positions = {"num_conv_pos_embeddings": dimensions.conv_pos_kernel}
    if architecture == "data2vec":
        if dimensions.feat_extract_norm != "layer":
            raise ModelError(
                "a data2vec CNN has layer norm only; set feat_extract_norm: layer, or choose another architecture"
            )
        positions = {"conv_pos_kernel_size": dimensions.conv_pos_kernel}
        values.pop("feat_extract_norm")
    config = AutoConfig.for_model(
        _name_type(architecture),
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
        "speech_transformer",
        normalise=dimensions.feat_extract_norm == "layer",
        origin=f"randomly initialised (seed {dimensions.seed})",
        trained=False,
    )


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load a folder in Hugging Face format; arguments and errors as those of `base.load_folder`."""
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, PreTrainedConfig

    from emoadapt.layers.speech import SpeechBackbone
    from emoadapt.layers.transformer import quiet_transformers
    from emoadapt.weights.tensors import list_left_out

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
        if architecture not in (None, "auto") and config.model_type != _name_type(architecture):
            raise ModelError(
                f"{origin} is a {config.model_type} model, the configuration says {architecture}; change `architecture` or "
                "`weights`"
            )
        with quiet_transformers():
            model, report = AutoModel.from_pretrained(
                folder, local_files_only=True, weights_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise ModelError(
            f"{origin} cannot be loaded from {folder} ({str(error).splitlines()[0]}); that must be a folder with config.json and "
            "model.safetensors or pytorch_model.bin; one of results/models is damaged: delete it and run again"
        ) from error
    if missing := set(report["missing_keys"]) - _UNUSED:
        raise ModelError(
            f"{origin} lacks {len(missing)} weights of a {config.model_type} model, e.g. {min(missing)}; fetch it again"
        )
    if "masked_spec_embed" in report["missing_keys"]:
        model.masked_spec_embed = None
    left_out = list_left_out(report["unexpected_keys"], model, origin)
    known = config.model_type in MODEL_TYPES
    _check_parts(model, origin, known)
    normalise = _read_normalise(folder, origin)
    backbone = SpeechBackbone(model, "speech_transformer", normalise=normalise, origin=origin, trained=trained)
    backbone.notes = [*list_notes(folder), *([f"Not used of the weights: {', '.join(left_out)}."] if left_out else [])]
    if not known:
        _check_padding(backbone)
    return backbone.restore(folder)


def list_notes(folder: Path) -> list[str]:
    """Sentences on what is assumed of a folder that does not say it.

    Args:
        folder: in Hugging Face format.

    Raises:
        ModelError: a file in it is damaged.
    """
    if _read_extractor(folder) is not None:
        return []
    way = (
        "scaled to zero mean and unit variance"
        if _guess_normalise(_read_json(folder / "config.json"))
        else "not scaled"
    )
    return [f"Its preprocessor_config.json is missing: clips are {way}, as for the published models of this kind."]


def _check_parts(model: Any, origin: str, known: bool) -> None:
    """A model must be cut into the parts of wav2vec 2.0; of the four families only what follows the last layer is open.

    Raises:
        ModelError: one is missing.
    """
    from emoadapt.layers.speech import SHAPE

    lacking: list[str] = []
    for part in () if known else _PARTS:
        found = model
        for name in part.split("."):
            found = getattr(found, name, None)
        lacking += [part] if found is None else []
    lacking += [f"config.{name}" for name in SHAPE if not known and not hasattr(model.config, name)]
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
    """Test an unknown family with noise.

    Raises:
        ModelError: the embedding of a clip depends on the longer clip beside it, or cannot be computed.
    """
    import torch

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
            f"{backbone.origin} is a {model_type} model, whose embedding of a clip depends on padding; choose another model"
        )


def _read_normalise(folder: Path, origin: str) -> bool:
    """The checkpoint's `do_normalize`; without one, what is assumed.

    Raises:
        ModelError: the checkpoint is for audio of another sampling rate, which would sound too fast or too slow to it.
    """
    if (extractor := _read_extractor(folder)) is None:
        return _guess_normalise(_read_json(folder / "config.json"))
    if (rate := extractor.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
        raise ModelError(
            f"{origin} reads audio at {rate} Hz, as its preprocessor_config.json says; audio has {SAMPLE_RATE} Hz here, choose another"
        )
    # The default of `Wav2Vec2FeatureExtractor`.
    return bool(extractor.get("do_normalize", True))


def _read_extractor(folder: Path) -> dict[str, Any] | None:
    """The checkpoint's preprocessing, from where `transformers` reads it; None if it has none."""
    nested = _read_json(folder / "processor_config.json")
    for name in ("feature_extractor", "audio_processor"):
        if name in nested:
            return nested[name]
    return _read_json(folder / "preprocessor_config.json") or None


def _read_json(file: Path) -> dict[str, Any]:
    """What a file says; nothing if it is missing.

    Raises:
        ModelError: it cannot be read. Another default would then be taken for what it says.
    """
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{file} cannot be read ({error}); fetch it again") from None


def _guess_normalise(config: Mapping[str, Any]) -> bool:
    """Whether clips are scaled, where nothing says so: as for the published models, of which only WavLM base and base+ do without."""
    return (config.get("model_type"), config.get("feat_extract_norm", "group")) != ("wavlm", "group")

"""The audio branch of AV-HuBERT: filter banks, fusion, transformer.

Shi et al. 2022, "Learning audio-visual speech representation by masked multimodal cluster prediction", Sec. 3. The names and
numbers are those of the authors' code, https://github.com/facebookresearch/av_hubert (`hubert.py`, `hubert_dataset.py`), where
audio without video is given zeros in place of the video features. The transformer is that of `transformers`' HuBERT, which
computes the same as fairseq's.

Nothing of the front end learns: what is cached as "CNN output" are the stacked log filter banks, 25 frames a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.models.hubert.modeling_hubert import (
    HubertEncoder,
    HubertEncoderStableLayerNorm,
    HubertPreTrainedModel,
)

from emoadapt.errors import ModelError
from emoadapt.layers.fairseq import read_fairseq
from emoadapt.layers.heads import seeded
from emoadapt.layers.speech import SpeechBackbone, Wav2Vec2Parts
from emoadapt.layers.transformer import load_pretrained
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.layers.settings import UntrainedConvolved

WINDOW, STEP, N_FFT = 400, 160, 512
"""Samples at 16 kHz: 25 ms and 10 ms, without a window function, and the length of the Fourier transform."""
BANDS = 26
STACK = 4
"""Frames of the filter bank that make one of the transformer: 25 a second, the rate of the video."""
PRE_EMPHASIS = 0.97
INT16 = 32768.0
"""The authors read int16; where a band is silent, the scale decides how far it lies below the others."""

PREFIXES = ("encoder.w2v_model.", "w2v_encoder.w2v_model.")
"""Before the names of a model that was fine-tuned, with a decoder and with CTC."""
UNUSED = re.compile(r"(feature_extractor_video|final_proj|target_glu)\.|(label_embs_concat|mask_emb)$")
"""Weights that audio does not meet: the video's, and those of pre-training. `mask_emb` stands for filter banks that are masked."""
RENAMED = (
    (r"feature_extractor_audio\.proj\.", "feature_projection.audio."),
    (r"post_extract_proj\.", "feature_projection.projection."),
    (r"layer_norm\.", "feature_projection.layer_norm."),
    (r"encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"encoder\.pos_conv\.0\.bias$", "encoder.pos_conv_embed.conv.bias"),
    (r"(encoder\.layers\.\d+)\.self_attn\.", r"\1.attention."),
    (r"(encoder\.layers\.\d+)\.self_attn_layer_norm\.", r"\1.layer_norm."),
    (r"(encoder\.layers\.\d+)\.fc1\.", r"\1.feed_forward.intermediate_dense."),
    (r"(encoder\.layers\.\d+)\.fc2\.", r"\1.feed_forward.output_dense."),
)
"""Beginning of a name in the authors' checkpoint -> in ours."""
PUBLISHED = {
    "modality_fuse": "concat",
    "sub_encoder_layers": 0,
    "audio_feat_dim": BANDS * STACK,
    "stack_order_audio": STACK,
}
"""Options of the published models, of which only these values are read."""
_POSITIONS = "encoder.pos_conv_embed.conv.parametrizations.weight.original1"
_FEED_FORWARD = "encoder.layers.0.feed_forward.intermediate_dense.weight"
"""Weights that the dimensions are read from."""


# --- front end --------------------------------------------------------------------------------------


def log_filter_bank(signal: Tensor) -> Tensor:
    """Logarithmic energies of 26 mel bands: `logfbank` of python_speech_features 0.6 with its defaults, at 16 kHz.

    Args:
        signal: (n_samples,) in [-1, 1].

    Returns:
        (n, 26) float32 on the CPU; the last window is filled up with zeros. In float64 until the end, as there.
    """
    samples = signal.detach().cpu().double() * INT16
    emphasised = torch.cat([samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1]])
    length = (_count_windows(len(samples)) - 1) * STEP + WINDOW
    windows = nn.functional.pad(emphasised, (0, length - len(samples))).unfold(0, WINDOW, STEP)
    power = torch.fft.rfft(windows, N_FFT).abs().square() / N_FFT
    energies = power @ _mel_filters().T
    return torch.where(energies == 0, torch.finfo(torch.float64).eps, energies).log().float()


def stack_frames(features: Tensor) -> Tensor:
    """(n, dimension) -> (ceil(n / 4), 4 * dimension): neighbours side by side, the last group filled up with zeros."""
    padded = nn.functional.pad(features, (0, 0, 0, -len(features) % STACK))
    return padded.reshape(-1, STACK * features.shape[1])


def _count_windows(n_samples: int) -> int:
    return 1 + max(0, -(-(n_samples - WINDOW) // STEP))


@cache
def _mel_filters() -> Tensor:
    """(26, 257) float64 triangles between whole bins of the Fourier transform, 0 to 8 kHz."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), BANDS + 2)
    edges = np.floor((N_FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(N_FFT // 2 + 1)
    rising = np.where((low <= bins) & (bins < middle), (bins - low) / (middle - low), 0.0)
    falling = np.where((middle <= bins) & (bins < high), (high - bins) / (high - middle), 0.0)
    return torch.from_numpy(rising + falling)


# --- model ------------------------------------------------------------------------------------------


class AvHubertConfig(PreTrainedConfig):
    """Dimensions; the defaults are those of the published base models. Names as in `transformers`' `HubertConfig`."""

    model_type = "av_hubert"

    audio_dimension: int = BANDS * STACK
    normalize: bool = True
    """Layer normalisation of every stacked frame over its 104 values."""
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    feat_extract_activation: str = "gelu"
    """Of the positional convolution."""
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    feat_proj_dropout: float = 0.1
    layerdrop: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    conv_pos_batch_norm: bool = False
    do_stable_layer_norm: bool = True
    """Layer norm before attention and feed-forward part (`layer_norm_first`)."""


class AudioFusion(nn.Module):
    """Projection of audio frames, and their fusion with video features that are zeros.

    Args:
        config: dimensions.
    """

    def __init__(self, config: AvHubertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.audio = nn.Linear(config.audio_dimension, width)
        self.layer_norm = nn.LayerNorm(2 * width, eps=config.layer_norm_eps)
        self.projection = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, n_frames, audio_dimension) -> (batch, n_frames, width)."""
        audio = self.audio(frames)
        both = torch.cat([audio, torch.zeros_like(audio)], dim=-1)
        return self.dropout(self.projection(self.layer_norm(both)))


class AvHubertModel(HubertPreTrainedModel):
    """What of AV-HuBERT learns from audio: fusion and transformer.

    Args:
        config: dimensions.
    """

    config_class = AvHubertConfig
    base_model_prefix = "av_hubert"

    def __init__(self, config: AvHubertConfig) -> None:
        super().__init__(config)
        self.feature_projection = AudioFusion(config)
        self.encoder = HubertEncoderStableLayerNorm(config) if config.do_stable_layer_norm else HubertEncoder(config)
        self.post_init()


class AvHubertParts(Wav2Vec2Parts):
    """Log filter banks, without weights, in place of a CNN encoder."""

    obstacle = "its log filter banks are computed outside of the network"
    receptive_field = 1
    """The windows that a short clip lacks are zeros (`log_filter_bank`)."""

    @property
    def front_end(self) -> list[nn.Module]:
        """None: nothing of it learns."""
        return []

    @property
    def dimension(self) -> int:
        """Values of a stacked frame."""
        return int(self.model.config.audio_dimension)

    def count_frames(self, n_samples: int) -> int:
        """Number of stacked frames."""
        return -(-_count_windows(n_samples) // STACK)

    def encode_signals(self, signals: Sequence[Tensor]) -> Tensor:
        """Stacked log filter banks, (batch, n_frames, 104)."""
        frames = [stack_frames(log_filter_bank(signal)) for signal in signals]
        if self.model.config.normalize:
            frames = [nn.functional.layer_norm(clip, clip.shape[1:]) for clip in frames]
        return pad_sequence(frames, batch_first=True).to(signals[0].device)

    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """None: `transformers` has no such model."""


def _wrap(model: AvHubertModel, *, origin: str, trained: bool) -> SpeechBackbone:
    """The model behind the interface of all backbones. It normalises frames, not audio."""
    return SpeechBackbone(model, "av_hubert", normalise=False, origin=origin, trained=trained, parts=AvHubertParts)


# --- loading ----------------------------------------------------------------------------------------


def build_untrained_av_hubert(dimensions: UntrainedConvolved) -> SpeechBackbone:
    """Build a randomly initialised model; the same dimensions and seed give the same weights."""
    config = AvHubertConfig(
        hidden_size=dimensions.hidden_size,
        num_hidden_layers=dimensions.layers,
        num_attention_heads=dimensions.heads,
        intermediate_size=dimensions.intermediate_size,
        num_conv_pos_embeddings=dimensions.conv_pos_kernel,
        num_conv_pos_embedding_groups=dimensions.conv_pos_groups,
        hidden_dropout=dimensions.dropout,
        attention_dropout=dimensions.dropout,
        activation_dropout=dimensions.dropout,
        feat_proj_dropout=0.0,
    )
    with seeded(dimensions.seed):
        model = AvHubertModel(config)
    return _wrap(model, origin=f"randomly initialised (seed {dimensions.seed})", trained=False)


def load_saved(folder: Path, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load a folder that `SpeechBackbone.save` wrote.

    Raises:
        ModelError: it is incomplete.
    """
    model, _ = load_pretrained(AvHubertModel, folder, origin=origin, what="an av_hubert model")
    return _wrap(model, origin=origin, trained=trained).restore(folder)


def load_checkpoint(file: Path, *, origin: str) -> SpeechBackbone:
    """Load a checkpoint that the authors published, pre-trained or fine-tuned, without running code from it.

    Args:
        file: `.pt` file of fairseq.
        origin: name of the weights.

    Raises:
        ModelError: it is no checkpoint of AV-HuBERT, of another build than the published ones, or incomplete.
    """
    sections, state = read_fairseq(file)
    weights = _select_audio(state)
    config = _read_config(sections, weights, origin)
    # Without memory for weights that are replaced at once, and without a draw from anybody's generator.
    with torch.device("meta"), seeded(0):
        model = AvHubertModel(config)
    expected = {name: value.shape for name, value in model.state_dict().items()}
    _compare(expected, {name: value.shape for name, value in weights.items()}, origin)
    # Copies: what was read is a map of the file
    model.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in weights.items()}, assign=True)
    return _wrap(model, origin=origin, trained=True)


def _select_audio(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that audio meets, by our names; what is not known keeps its name."""
    prefix = next((prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in state)), "")
    weights = {}
    for name, value in state.items():
        inner = name.removeprefix(prefix)
        if name.startswith(prefix) and not UNUSED.match(inner):
            found = (re.sub(f"^{old}", new, inner) for old, new in RENAMED if re.match(old, inner))
            weights[next(found, inner)] = value
    return weights


def _read_config(sections: Mapping[str, Any], weights: Mapping[str, Tensor], origin: str) -> AvHubertConfig:
    """Dimensions, from the checkpoint's configuration and the shapes of its weights.

    Raises:
        ModelError: the configuration is not that of an AV-HuBERT, or one that the published models do not have.
    """
    model, task = _find_options(sections, origin)
    heads, activation = int(model["encoder_attention_heads"]), model.get("activation_fn", "gelu")
    shapes = [weights[name].shape for name in (_POSITIONS, _FEED_FORWARD) if name in weights]
    if [len(shape) for shape in shapes] != [3, 2] or shapes[0][0] % heads or activation not in ACT2FN:
        raise ModelError(
            f"{origin} is not the audio branch of an AV-HuBERT: it lacks {_POSITIONS} or {_FEED_FORWARD}, or has {heads} heads and "
            f"the activation {activation}, which do not fit; fetch it again"
        )
    (width, in_group, length), (intermediate, _) = shapes
    return AvHubertConfig(
        normalize=bool(task["normalize"]),
        hidden_size=width,
        num_hidden_layers=len({match[1] for name in weights if (match := re.match(r"encoder\.layers\.(\d+)\.", name))}),
        num_attention_heads=heads,
        intermediate_size=intermediate,
        hidden_act=activation,
        hidden_dropout=float(model.get("dropout", 0.1)),
        attention_dropout=float(model.get("attention_dropout", 0.1)),
        activation_dropout=float(model.get("activation_dropout", 0.0)),
        feat_proj_dropout=float(model.get("dropout_input", 0.0)),
        num_conv_pos_embeddings=length,
        num_conv_pos_embedding_groups=width // in_group,
        do_stable_layer_norm=bool(model["layer_norm_first"]),
    )


def _find_options(sections: Mapping[str, Any], origin: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Options of the model and of its pre-training task.

    Raises:
        ModelError: they lack what decides numbers, or name a build that the published models do not have.
    """
    # A fine-tuned model keeps the configuration of the one it began as.
    inner = (sections.get("model") or {}).get("w2v_args") or sections
    model, task = inner.get("model") or {}, inner.get("task") or sections.get("task") or {}
    lacking = [key for key in ("encoder_attention_heads", "layer_norm_first") if key not in model]
    lacking += ["normalize"] if "normalize" not in task else []
    if lacking:
        raise ModelError(
            f"{origin} does not say {' and '.join(lacking)} in its configuration, so it is no checkpoint of AV-HuBERT, or one "
            "that was stripped; fetch the published one"
        )
    found = {key: {**task, **model}.get(key, value) for key, value in PUBLISHED.items()}
    if other := [f"{key} {found[key]} (read is {value})" for key, value in PUBLISHED.items() if found[key] != value]:
        raise ModelError(
            f"{origin} is an AV-HuBERT of another build, with {', '.join(other)}; use a published checkpoint"
        )
    return model, task


def _compare(expected: Mapping[str, torch.Size], found: Mapping[str, torch.Size], origin: str) -> None:
    """Refuse weights that are not exactly those of the model.

    Raises:
        ModelError: names what is missing, what is not known, and what has another shape.
    """
    both = expected.keys() & found.keys()
    problems = {
        "lacks": sorted(expected.keys() - found.keys()),
        "has unknown": sorted(found.keys() - expected.keys()),
        "has other shapes of": sorted(name for name in both if expected[name] != found[name]),
    }
    said = [
        f"{verb} {len(names)} weight(s): {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for verb, names in problems.items()
        if names
    ]
    if said:
        raise ModelError(f"{origin} is not the audio branch of an AV-HuBERT: it {'; it '.join(said)}; fetch it again")

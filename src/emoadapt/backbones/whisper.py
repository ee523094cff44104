"""Encoder of Whisper (Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision").

Clips keep their natural length. The library pads each to 30 s, most of which is then silence; here the positions are cut to a clip's
frames, and attention sees these alone. `pad: {seconds: 30}` gives what the library gives. A clip of more than 30 s goes through the
transformer in windows of equal length, none longer than 30 s, whose frames are pooled together.

In front are the log-mel spectrogram, whose floor lies 8 decades below the loudest band of the clip, and two convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emoadapt.errors import ModelError
from emoadapt.layers.parts import SpeechParts
from emoadapt.layers.settings import TrainableFrontEnd, UntrainedTransformer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoadapt.layers.speech import SpeechBackbone

MODEL_TYPES = ("whisper",)
CHECKPOINTS = (".pt",)
LOADED_BY = "emoadapt"
NOTICE = ""

WINDOW, STEP = 400, 160
"""Samples of the spectrogram's window and between two: 25 ms and 10 ms. A frame of the transformer spans two steps."""

_SIZES = {
    "tiny": (384, 4, 6),
    "base": (512, 6, 8),
    "small": (768, 12, 12),
    "medium": (1024, 24, 16),
    "large": (1280, 32, 20),
    "turbo": (1280, 32, 20),
}
"""Size in a model's name -> width, layers and heads of its encoder."""

_RENAMED = {
    "blocks": "layers",
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "attn_ln": "self_attn_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
    "ln_post": "layer_norm",
    "positional_embedding": "embed_positions.weight",
}
"""Part of a name in OpenAI's checkpoints -> in those of `transformers`."""


class UntrainedWhisper(UntrainedTransformer):
    """Dimensions of a seeded, randomly initialised encoder."""

    mel_bands: Literal[80, 128] = 80
    """Bands of the spectrogram: 128 in large-v3 and turbo, 80 in all others."""


class Config(TrainableFrontEnd):
    """The encoder of Whisper, on clips of natural length. Its `cnn` is the two convolutions."""

    architecture: Literal["whisper"]
    weights: str | None = None
    """Hub id (`openai/whisper-*`), folder, `.pt` file of OpenAI, or its registered name (`whisper/small`). Exactly one of `weights`
    and `untrained` is given."""
    untrained: UntrainedWhisper | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""


class WhisperParts(SpeechParts):
    """Log-mel spectrogram and two convolutions; positions, layers, and the layer norm after the last of them."""

    receptive_field = WINDOW

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.filters = make_filters(model.config.num_mel_bins)

    @property
    def encoder(self) -> Any:
        """The model itself."""
        return self.model

    @property
    def front_end(self) -> list[nn.Module]:
        """The two convolutions."""
        return [self.model.conv1, self.model.conv2]

    @property
    def dimension(self) -> int:
        """Channels of the second convolution."""
        return int(self.model.config.d_model)

    @property
    def most_frames(self) -> int:
        """Frames that have a position: 30 s."""
        return int(self.model.config.max_source_positions)

    @property
    def longest(self) -> int:
        """Samples of a clip that is one window."""
        return (2 * self.most_frames + 1) * STEP - 1

    def count_frames(self, n_samples: int) -> int:
        """One for each two steps of the spectrogram, which has one for each whole step."""
        return (n_samples // STEP + 1) // 2

    def encode_signals(self, signals: Sequence[Tensor]) -> Tensor:
        """See `SpeechParts`; the spectrogram of each clip is computed alone, as its floor depends on its loudest band."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        from emoadapt.poolings.base import mask_frames

        # In full precision also where a training is not: the floor is 8 decades down.
        with torch.autocast(signals[0].device.type, enabled=False):
            mels = [log_mel(signal[None], self.filters)[0] for signal in signals]
        lengths = torch.tensor([len(mel) for mel in mels], device=signals[0].device)
        padded = pad_sequence(mels, batch_first=True)
        return self._convolve(padded, mask_frames(lengths, padded.shape[1])[..., None])

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Add positions, which begin anew in each window."""
        import torch
        from torch.nn.functional import dropout
        from torch.nn.utils.rnn import pad_sequence

        from emoadapt.layers.windows import cut_windows

        n_frames, positions = frames.shape[1], self.model.embed_positions.weight
        if n_frames <= self.most_frames:
            added = positions[:n_frames]
        else:
            windows = [cut_windows(int(length), self.most_frames) for length in lengths]
            places = [torch.cat([torch.arange(size) for size in sizes]) for sizes in windows]
            added = positions[pad_sequence(places, batch_first=True).to(frames.device)]
        return dropout(frames + added, self.model.config.dropout, self.model.training)

    def transform(self, hidden: Tensor, lengths: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`; windows of longer clips are on their own, and put together again."""
        from transformers.masking_utils import create_bidirectional_mask

        from emoadapt.layers.windows import cut_windows, join_windows, split_windows
        from emoadapt.poolings.base import mask_frames

        longer = hidden.shape[1] > self.most_frames
        cuts = [cut_windows(int(length), self.most_frames) for length in lengths] if longer else []
        if cuts:
            hidden, lengths = split_windows(hidden, cuts)
        valid = mask_frames(lengths.to(hidden.device), hidden.shape[1])
        mask = create_bidirectional_mask(config=self.model.config, inputs_embeds=hidden, attention_mask=valid)
        states = self._run_layers(hidden, mask, every)
        return [join_windows(state, cuts) for state in states] if cuts else states

    def trace(self, audio: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`."""
        frames = self._convolve(log_mel(audio, self.filters), None)
        return self._run_layers(frames + self.model.embed_positions.weight[: frames.shape[1]], None, every)

    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """Write the configuration of `WhisperFeatureExtractor`, which pads to 30 s."""
        from transformers import WhisperFeatureExtractor

        WhisperFeatureExtractor(feature_size=self.model.config.num_mel_bins).save_pretrained(folder)

    def save_model(self, model: Any, folder: Path) -> None:
        """Write the encoder under the names that it has in `WhisperModel`, which then has a decoder without layers."""
        state = {f"encoder.{name}": value for name, value in model.state_dict().items()}
        model.save_pretrained(folder, state_dict=state, save_original_format=False)

    def _convolve(self, mel: Tensor, valid: Tensor | None) -> Tensor:
        """(batch, n_steps, bands), mask (batch, n_steps, 1) or None -> (batch, n_frames, dimension)."""
        from torch.nn.functional import gelu, pad

        from emoadapt.layers.convolution import convolve

        hidden = gelu(convolve(pad(mel, (0, 0, 1, 1)), self.model.conv1))
        # The second convolution reads one step beyond the end of a clip: zeros, as if it were alone.
        hidden = hidden if valid is None else hidden * valid
        return gelu(convolve(pad(hidden, (0, 0, 1, 1)), self.model.conv2))

    def _run_layers(self, hidden: Tensor, mask: Any, every: bool) -> list[Tensor]:
        """States of all layers; the last is normalised, as in `hidden_states` of `transformers`."""
        states = [hidden]
        for layer in self.model.layers:
            hidden = layer(hidden, mask)
            states = [*states, hidden] if every else [hidden]
        return [*states[:-1], self.model.layer_norm(hidden)]


def log_mel(audio: Tensor, filters: Tensor) -> Tensor:
    """Whisper's log-mel spectrogram: `log_mel_spectrogram` of openai-whisper, `WhisperFeatureExtractor` of `transformers`.

    Args:
        audio: (batch, n_samples) float32 in [-1, 1], 16 kHz, more than 200 samples, equally long and unpadded.
        filters: from `make_filters`.

    Returns:
        (batch, n_samples // 160, bands) float32.
    """
    import torch

    window = torch.hann_window(WINDOW, device=audio.device)
    spectrum = torch.stft(audio, WINDOW, STEP, window=window, return_complex=True)[..., :-1]
    logarithm = (filters.to(audio.device) @ spectrum.abs().square()).clamp_min(1e-10).log10()
    floor = logarithm.amax(dim=(1, 2), keepdim=True) - 8.0
    return ((torch.maximum(logarithm, floor) + 4.0) / 4.0).transpose(1, 2)


def make_filters(bands: int) -> Tensor:
    """Whisper's filters: (bands, 201) float32, on the mel scale from 0 to 8 kHz."""
    import torch
    from transformers import WhisperFeatureExtractor

    return torch.from_numpy(WhisperFeatureExtractor(feature_size=bands).mel_filters.T).float().contiguous()


def load(config: Config, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Load a backbone, set up as a study wants it; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.transformer import load_configured

    return load_configured(config, models_dir, source, lambda: _build(config))


def load_stand_in(config: Config) -> SpeechBackbone | None:
    """A backbone of the size that the weights' name says, with random weights; None if it says none."""
    name = (config.weights or "").lower()
    size = next((size for size in _SIZES if size in name), None)
    if size is None:
        return None
    width, layers, heads = _SIZES[size]
    shape = {"hidden_size": width, "layers": layers, "heads": heads, "intermediate_size": 4 * width, "dropout": 0.0}
    backbone = _build(config.model_copy(update={"untrained": UntrainedWhisper.model_validate(shape)}))
    backbone.configure(config)
    return backbone


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load a folder in Hugging Face format, or OpenAI's `.pt` file; arguments and errors as those of `base.load_folder`."""
    if folder.is_file():
        return _load_checkpoint(folder, origin)

    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from emoadapt.layers.speech import PADDING
    from emoadapt.layers.transformer import load_pretrained
    from emoadapt.weights.tensors import list_left_out

    # Of models with a decoder or a head the encoder alone.
    names = {r"^(model\.)?encoder\.": ""}
    model, unexpected = load_pretrained(
        WhisperEncoder, folder, origin=origin, what="a Whisper encoder", key_mapping=names
    )
    if "WhisperForAudioClassification" in (model.config.architectures or ()):
        # Its classifier was trained on such clips.
        setattr(model.config, PADDING, {"seconds": 30.0, "mode": "silence"})
    left_out = {name.removeprefix("model.") for name in unexpected}
    backbone = _wrap(model, origin, trained).restore(folder)
    if parts := list_left_out(left_out, model, origin):
        backbone.notes = [f"Not used of the weights: {', '.join(parts)}."]
    return backbone


def _build(config: Config) -> SpeechBackbone:
    assert config.untrained is not None  # SpeechSettings requires weights otherwise
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from emoadapt.layers.heads import seeded

    shape = config.untrained
    dimensions = WhisperConfig(
        d_model=shape.hidden_size,
        encoder_layers=shape.layers,
        encoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.intermediate_size,
        num_mel_bins=shape.mel_bands,
        dropout=shape.dropout,
        attention_dropout=shape.dropout,
        activation_dropout=shape.dropout,
    )
    with seeded(shape.seed):
        return _wrap(WhisperEncoder(dimensions), f"randomly initialised (seed {shape.seed})", trained=False)


def _wrap(model: Any, origin: str, trained: bool) -> SpeechBackbone:
    """The model behind the interface of all speech backbones."""
    from emoadapt.layers.speech import SpeechBackbone

    # What is saved has no decoder; `WhisperModel` would make one at random.
    model.config.decoder_layers = 0
    # Sines and cosines; `from_pretrained` would release them.
    model.embed_positions.requires_grad_(False)
    return SpeechBackbone(model, "whisper", normalise=False, origin=origin, trained=trained, parts=WhisperParts)


def _load_checkpoint(file: Path, origin: str) -> SpeechBackbone:
    """Load a checkpoint as openai-whisper saves it, without running code from it.

    Raises:
        ModelError: it is none, or is incomplete.
    """
    from pickle import UnpicklingError

    import torch
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        dims, state = found["dims"], found["model_state_dict"]
        width = int(dims["n_audio_state"])
        config = WhisperConfig(
            d_model=width,
            encoder_layers=int(dims["n_audio_layer"]),
            encoder_attention_heads=int(dims["n_audio_head"]),
            encoder_ffn_dim=4 * width,
            num_mel_bins=int(dims["n_mels"]),
            max_source_positions=int(dims["n_audio_ctx"]),
        )
        # Without memory for weights that are replaced at once, and without a draw from anybody's generator.
        with torch.device("meta"):
            model = WhisperEncoder(config)
        # Copies: what was read is a map of the file.
        weights = {name: value.to(torch.float32, copy=True) for name, value in _rename(state)}
        model.load_state_dict(weights, assign=True)
    except (UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{origin} is not a Whisper checkpoint ({reason}); it must hold `dims` and `model_state_dict`, as openai-whisper saves "
            "them; name the architecture that it has, or fetch it again"
        ) from None
    return _wrap(model, origin, trained=True)


def _rename(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The weights of the encoder, by the names of `transformers`."""
    parts = re.compile(rf"\b({'|'.join(map(re.escape, _RENAMED))})(?=\.|$)")
    for name, value in state.items():
        if name.startswith("encoder."):
            yield parts.sub(lambda found: _RENAMED[found[0]], name.removeprefix("encoder.")), value

"""Audio Spectrogram Transformer (Gong, Chung & Glass 2021).

A clip's log-mel spectrogram is cut into overlapping patches of 16 bands and 160 ms, every 10 bands and 100 ms: 12 patches for each step
in time. In front are the spectrogram and the projection of the patches; each patch is a frame of the transformer.

Clips keep their natural length. The library fills each up to 1,024 frames of the spectrogram, 10.24 s, with zeros, which are then
read as sound; here the positions are cut to a clip's steps, so that a time keeps the position that the weights know it by. Clips of
10.24 s or more therefore give what the library gives, up to their end. A longer clip goes through the transformer in windows
of equal length, none longer than that, whose frames are pooled together. The two special tokens take part in attention, and are left
out of what is pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emoadapt.errors import ModelError
from emoadapt.layers.parts import SpeechParts
from emoadapt.layers.settings import TrainableFrontEnd, UntrainedTransformer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoadapt.layers.speech import SpeechBackbone

MODEL_TYPES = ("audio-spectrogram-transformer",)
LOADED_BY = "emoadapt"
NOTICE = ""

WINDOW, STEP, FFT = 400, 160, 512
"""Samples of the spectrogram's window and between two, 25 ms and 10 ms, and of the Fourier transform."""
PRE_EMPHASIS = 0.97
FLOOR = 1.192092955078125e-07
"""Smallest value before the logarithm, as in Kaldi."""
MEAN, STD = -4.2677393, 4.5689974
"""Of AudioSet's log-mel values; a value is scaled by twice the standard deviation."""
SPECIAL = 2
"""Tokens before the patches: class and distillation."""


class UntrainedAst(UntrainedTransformer):
    """Dimensions of a seeded, randomly initialised model; spectrogram and patches are those of the published ones."""


class Config(TrainableFrontEnd):
    """The Audio Spectrogram Transformer, on clips of natural length. Its `cnn` is the projection of the patches."""

    architecture: Literal["ast"]
    weights: str | None = None
    """Hub id (`MIT/ast-finetuned-audioset-10-10-0.4593`), or folder relative to `models_dir`; of a classifier the encoder alone.
    Exactly one of `weights` and `untrained` is given."""
    untrained: UntrainedAst | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""


class AstParts(SpeechParts):
    """Log-mel spectrogram and projection of the patches; positions, special tokens, layers, and the layer norm after the last."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.filters = make_filters(model.config.num_mel_bins)
        self.patch, self.stride = model.config.patch_size, model.config.time_stride
        self._rows, self.most_steps = model.embeddings.get_shape(model.config)

    @property
    def encoder(self) -> Any:
        """The model itself."""
        return self.model

    @property
    def front_end(self) -> list[nn.Module]:
        """The projection of the patches."""
        return [self.model.embeddings.patch_embeddings]

    @property
    def dimension(self) -> int:
        """Values of a projected patch."""
        return int(self.model.config.hidden_size)

    @property
    def rows(self) -> int:
        """Patches of each step."""
        return int(self._rows)

    @property
    def receptive_field(self) -> int:
        """Samples of one step of patches."""
        return WINDOW + (self.patch - 1) * STEP

    @property
    def longest(self) -> int:
        """Samples of a clip that is one window."""
        return WINDOW + (self.patch - 1 + self.most_steps * self.stride) * STEP - 1

    @property
    def most_frames(self) -> int:
        """Patches that have a position: 10.24 s."""
        return self.rows * self.most_steps

    def count_frames(self, n_samples: int) -> int:
        """All patches of each whole step."""
        return self.rows * (((n_samples - WINDOW) // STEP + 1 - self.patch) // self.stride + 1)

    def encode_signals(self, signals: Sequence[Tensor]) -> Tensor:
        """See `SpeechParts`; patches follow each other in time, those of one step from the lowest band up."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        with torch.autocast(signals[0].device.type, enabled=False):
            mels = [log_mel(signal[None], self.filters)[0] for signal in signals]
        return self._project_patches(pad_sequence(mels, batch_first=True))

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Add positions, which begin anew in each window."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        n_frames, positions = frames.shape[1], self._list_positions()
        if n_frames <= self.most_frames:
            return self.model.embeddings.dropout(frames + positions[:n_frames])
        places = [torch.cat([torch.arange(size) for size in cut]) for cut in self._cut(lengths)]
        return self.model.embeddings.dropout(
            frames + positions[pad_sequence(places, batch_first=True).to(frames.device)]
        )

    def transform(self, hidden: Tensor, lengths: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`; the last of `every` state is taken before the layer norm that follows it, as in `transformers`."""
        from transformers.masking_utils import create_bidirectional_mask

        from emoadapt.layers.windows import join_windows, split_windows
        from emoadapt.poolings.base import mask_frames

        cuts = self._cut(lengths) if hidden.shape[1] > self.most_frames else []
        if cuts:
            hidden, lengths = split_windows(hidden, cuts)
        hidden = self._add_special(hidden)
        valid = mask_frames(lengths.to(hidden.device) + SPECIAL, hidden.shape[1])
        mask = create_bidirectional_mask(config=self.model.config, inputs_embeds=hidden, attention_mask=valid)
        states = self._run_layers(hidden, mask, every)
        return [join_windows(state, cuts) for state in states] if cuts else states

    def trace(self, audio: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`."""
        frames = self._project_patches(log_mel(audio, self.filters))
        hidden = frames + self._list_positions()[: frames.shape[1]]
        return self._run_layers(self._add_special(hidden), None, every)

    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """Write the configuration of `ASTFeatureExtractor`, which fills clips up to 10.24 s."""
        from transformers import ASTFeatureExtractor

        config = self.model.config
        ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length).save_pretrained(folder)

    def _project_patches(self, mel: Tensor) -> Tensor:
        """(batch, n_steps, bands) -> (batch, n_frames, dimension)."""
        projected = self.model.embeddings.patch_embeddings.projection(mel.transpose(1, 2)[:, None])
        return projected.permute(0, 3, 2, 1).flatten(1, 2)

    def _list_positions(self) -> Tensor:
        """Positions of patches in our order, (most_frames, dimension); the model's are by band first."""
        positions = self.model.embeddings.position_embeddings[0, SPECIAL:]
        return positions.unflatten(0, (self.rows, self.most_steps)).transpose(0, 1).flatten(0, 1)

    def _add_special(self, hidden: Tensor) -> Tensor:
        """Put the special tokens, with their positions, before a clip's patches."""
        import torch

        parts = self.model.embeddings
        tokens = torch.cat([parts.cls_token, parts.distillation_token], dim=1) + parts.position_embeddings[:, :SPECIAL]
        return torch.cat([parts.dropout(tokens.expand(hidden.shape[0], -1, -1)), hidden], dim=1)

    def _run_layers(self, hidden: Tensor, mask: Any, every: bool) -> list[Tensor]:
        """States of the patches: all layers', or the last one's, normalised."""
        states = [hidden]
        for layer in self.model.layers:
            hidden = layer(hidden, mask)
            states = [*states, hidden] if every else [self.model.layernorm(hidden)]
        return [state[:, SPECIAL:] for state in states]

    def _cut(self, lengths: Tensor) -> list[list[int]]:
        """Patches of the windows of each clip: whole steps."""
        from emoadapt.layers.windows import cut_windows

        steps = [int(length) // self.rows for length in lengths]
        return [[self.rows * size for size in cut_windows(count, self.most_steps)] for count in steps]


def log_mel(audio: Tensor, filters: Tensor) -> Tensor:
    """Kaldi's log-mel spectrogram, scaled as AST reads it: what `ASTFeatureExtractor` of `transformers` makes, unpadded.

    Args:
        audio: (batch, n_samples) float32 in [-1, 1], 16 kHz, 400 samples or more, equally long.
        filters: from `make_filters`.

    Returns:
        (batch, (n_samples - 400) // 160 + 1, bands) float32.
    """
    import torch
    from torch.nn.functional import pad

    frames = audio.unfold(-1, WINDOW, STEP)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    frames = frames - PRE_EMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    window = torch.hann_window(WINDOW, periodic=False, device=audio.device)
    spectrum = torch.fft.rfft(pad(frames * window, (0, FFT - WINDOW)))
    mel = (spectrum.real.square() + spectrum.imag.square()) @ filters.to(audio.device)
    return (mel.clamp_min(FLOOR).log() - MEAN) / (2 * STD)


def make_filters(bands: int) -> Tensor:
    """Kaldi's filters: (257, bands) float32, on its mel scale from 20 Hz to 8 kHz."""
    import warnings

    import torch
    from transformers.audio_utils import mel_filter_bank

    scale = {"mel_scale": "kaldi", "triangularize_in_mel_space": True, "norm": None}
    with warnings.catch_warnings():
        # The lowest filters are narrower than a line of the spectrum; some are empty in Kaldi too.
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        filters = mel_filter_bank(FFT // 2 + 1, bands, 20.0, 8000.0, 16_000, **scale)
    return torch.from_numpy(filters).float()


def load(config: Config, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Load a backbone, set up as a study wants it; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.transformer import load_configured

    return load_configured(config, models_dir, source, lambda: _build(config))


def load_stand_in(config: Config) -> SpeechBackbone | None:
    """A backbone of the published size with random weights."""
    shape = {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 3072, "dropout": 0.0}
    backbone = _build(config.model_copy(update={"untrained": UntrainedAst.model_validate(shape)}))
    backbone.configure(config)
    return backbone


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load a folder in Hugging Face format; of a classifier the encoder alone.

    Arguments and errors are those of `base.load_folder`.
    """
    from transformers import ASTModel

    from emoadapt.layers.transformer import load_pretrained
    from emoadapt.weights.tensors import list_left_out

    model, unexpected = load_pretrained(ASTModel, folder, origin=origin, what="an AST model")
    _check_preprocessing(folder, origin)
    parts = list_left_out(unexpected, model, origin)
    backbone = _wrap(model, origin, trained).restore(folder)
    if parts:
        backbone.notes = [f"Not used of the weights: {', '.join(parts)}."]
    return backbone


def _check_preprocessing(folder: Path, origin: str) -> None:
    """Refuse weights that were trained on a spectrogram of another scale, as those of Speech Commands were.

    Raises:
        ModelError: `preprocessor_config.json` says so, or cannot be read.
    """
    import json

    file = folder / "preprocessor_config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        found = {key: said.get(key, default) for key, default in _PREPROCESSING.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{file} cannot be read ({error}); fetch {origin} again") from error
    if other := [f"{key}: {value}" for key, value in found.items() if value != _PREPROCESSING[key]]:
        raise ModelError(
            f"{origin} was trained on spectrograms with {', '.join(other)}; only those scaled by AudioSet's values can be used"
        )


_PREPROCESSING = {"mean": MEAN, "std": STD, "do_normalize": True, "sampling_rate": 16_000}


def _build(config: Config) -> SpeechBackbone:
    assert config.untrained is not None  # SpeechSettings requires weights otherwise
    from torch.nn.init import trunc_normal_
    from transformers import ASTConfig, ASTModel

    from emoadapt.layers.heads import seeded

    shape = config.untrained
    dimensions = ASTConfig(
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
    )
    with seeded(shape.seed):
        model = ASTModel(dimensions)
        # `transformers` begins with zeros, so that an untrained model could not tell times and bands apart.
        for name in ("position_embeddings", "cls_token", "distillation_token"):
            trunc_normal_(getattr(model.embeddings, name), std=dimensions.initializer_range)
        return _wrap(model, f"randomly initialised (seed {shape.seed})", trained=False)


def _wrap(model: Any, origin: str, trained: bool) -> SpeechBackbone:
    """The model behind the interface of all speech backbones."""
    from emoadapt.layers.speech import SpeechBackbone

    return SpeechBackbone(model, "ast", normalise=False, origin=origin, trained=trained, parts=AstParts)

"""Self-supervised speech backbones: wav2vec 2.0, WavLM, HuBERT and data2vec-audio behind one interface.

The pooled embedding of a clip is the same alone and in a padded batch. `transformers` does not promise that:
group-norm CNN encoders average over the padding, and data2vec's stacked positional convolutions carry values into the padding and
back. So group-norm CNNs see one clip at a time, and padded frames are zeroed between positional convolutions.

LayerDrop is switched off and SpecAugment is never applied: either would draw random numbers whose count depends on
the batch, and original and adapted models of a pair would no longer see the same dropout.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from emoadapt.errors import ModelError
from emoadapt.models.cards import write_card
from emoadapt.models.convolution import encode_signals
from emoadapt.models.heads import seeded
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.config import Backbone, UntrainedBackbone

# WavLM's attention adds a float position bias to the boolean padding mask; torch warns on every layer of every step.
warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask is deprecated")

MODEL_TYPES = {"wav2vec2": "wav2vec2", "wavlm": "wavlm", "hubert": "hubert", "data2vec": "data2vec-audio"}
"""Architecture of a study -> `model_type` of `transformers`."""

_UNUSED = {"masked_spec_embed"}
"""Parameters of SpecAugment, which is not applied: checkpoints may lack them."""


class SpeechBackbone(nn.Module):
    """A speech model cut into its CNN encoder and its transformer.

    Args:
        model: one of the four `transformers` models, without a head.
        normalise: whether each utterance is scaled to zero mean and unit variance first.
        origin: where the weights come from, for the model card.
        trained: False for random weights.
    """

    def __init__(self, model: Any, *, normalise: bool, origin: str, trained: bool) -> None:
        super().__init__()
        if getattr(model.config, "conv_pos_batch_norm", False):
            raise ModelError(
                f"{origin}: a positional convolution with batch norm lets padding leak in; use another checkpoint"
            )
        model.config.layerdrop = 0.0
        self.model = model
        self.normalise = normalise
        self.origin = origin
        self.trained = trained
        self.cnn_trainable = True

    @property
    def width(self) -> int:
        """Dimension of the last layer."""
        return int(self.model.config.hidden_size)

    @property
    def cnn_dimension(self) -> int:
        """Channels of the CNN encoder's last layer."""
        return int(self.model.config.conv_dim[-1])

    @property
    def group_norm(self) -> bool:
        """Whether the CNN normalises over time, so that padding would change its output."""
        return getattr(self.model.config, "feat_extract_norm", "layer") == "group"

    @property
    def receptive_field(self) -> int:
        """Samples that one CNN frame sees; shorter clips are padded with zeros to this length."""
        samples = 1
        for kernel, stride in zip(
            reversed(self.model.config.conv_kernel), reversed(self.model.config.conv_stride), strict=True
        ):
            samples = (samples - 1) * stride + kernel
        return samples

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def count_frames(self, n_samples: int) -> int:
        """Number of CNN frames of a clip of `n_samples` samples."""
        frames = max(n_samples, self.receptive_field)
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True):
            frames = (frames - kernel) // stride + 1
        return frames

    def set_cnn_trainable(self, trainable: bool) -> None:
        """Freeze or release the CNN encoder; a frozen one runs without recording gradients."""
        for parameter in self.model.feature_extractor.parameters():
            parameter.requires_grad = trainable
        # transformers asks for the input's gradient otherwise, and would record the frozen encoder's whole graph
        self.model.feature_extractor._requires_grad = trainable
        self.cnn_trainable = trainable

    def encode_cnn(self, audio: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the CNN encoder.

        Args:
            audio: (n_samples,) float tensors in [-1, 1], 16 kHz.

        Returns:
            Frames (batch, n_frames, cnn_dimension), zero beyond a clip's end, and the clips' frame counts (batch,).
        """
        signals = [self._prepare(clip) for clip in audio]
        counts = [self.count_frames(len(signal)) for signal in signals]
        with torch.set_grad_enabled(self.cnn_trainable and torch.is_grad_enabled()):
            if self.group_norm:
                frames = pad_sequence([self._convolve(signal[None])[0] for signal in signals], batch_first=True)
            else:
                frames = self._convolve(pad_sequence(signals, batch_first=True))[:, : max(counts)]
        lengths = torch.tensor(counts, device=self.device)
        return frames * _valid(lengths, frames.shape[1])[..., None], lengths

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Run feature projection and transformer.

        Args:
            frames: (batch, n_frames, cnn_dimension) output of `encode_cnn`, or its cached copy.
            lengths: (batch,) valid frames.

        Returns:
            Last layer, (batch, n_frames, width); frames beyond a clip's end hold no meaning.
        """
        projected = self.model.feature_projection(frames)
        hidden = projected[0] if isinstance(projected, tuple) else projected
        # Boolean, because transformers inverts it with `~`: of an integer mask that selects other rows, silently.
        valid = _valid(lengths, frames.shape[1])
        with self._zero_between_positions(valid):
            return self.model.encoder(hidden, attention_mask=valid).last_hidden_state

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Mean over valid frames: (batch, n_frames, width), (batch,) -> (batch, width) float32."""
        valid = _valid(lengths, hidden.shape[1])[..., None]
        return torch.where(valid, hidden.float(), 0.0).sum(dim=1) / lengths[:, None]

    def forward(self, audio: Sequence[Tensor]) -> Tensor:
        """Pooled embeddings (batch, width) of (n_samples,) float tensors."""
        frames, lengths = self.encode_cnn(audio)
        return self.pool(self.encode(frames, lengths), lengths)

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write a folder that `AutoModel.from_pretrained` loads: weights, configuration, preprocessing, model card.

        Args:
            folder: made if needed.
            card: facts for the model card, name -> value or list of values; `title` is its heading.
        """
        from transformers import Wav2Vec2FeatureExtractor

        folder.mkdir(parents=True, exist_ok=True)
        with _quiet_transformers():
            self.model.save_pretrained(folder)
        Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLE_RATE, do_normalize=self.normalise, return_attention_mask=not self.group_norm
        ).save_pretrained(folder)
        write_card(folder, card, origin=self.origin, trained=self.trained)

    def _prepare(self, clip: Tensor) -> Tensor:
        signal = clip.to(self.device, torch.float32)
        if self.normalise:
            # Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm
            signal = (signal - signal.mean()) / torch.sqrt(signal.var(correction=0) + 1e-7)
        return nn.functional.pad(signal, (0, max(0, self.receptive_field - len(signal))))

    def _convolve(self, signals: Tensor) -> Tensor:
        if self.device.type == "cpu":
            return encode_signals(self.model.feature_extractor, signals)
        # cuDNN may use TF32 for convolutions in float32, matrix products may not.
        return self.model.feature_extractor(signals).transpose(1, 2)

    @contextmanager
    def _zero_between_positions(self, valid: Tensor) -> Iterator[None]:
        """Zero the padding after each of data2vec's positional convolutions, as a clip on its own has it."""
        layers = getattr(self.model.encoder.pos_conv_embed, "layers", ())
        handles = [layer.register_forward_hook(lambda _, __, output: output * valid[:, None]) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def load_backbone(config: Backbone, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Load a backbone.

    Args:
        config: architecture, and weights or the dimensions of an untrained model.
        models_dir: folder of weights; a name that is no folder in it is a hub id.
        source: folder of an adapted model of that backbone, loaded instead.

    Raises:
        ModelError: weights are missing, incomplete, or of another architecture.
    """
    origin = config.weights or f"randomly initialised (seed {config.untrained.seed if config.untrained else 0})"
    trained = config.weights is not None
    if source is not None:
        return load_folder(source, config.architecture, origin=origin, trained=trained)
    if config.untrained is not None:
        return build_untrained(config.architecture, config.untrained)
    assert config.weights is not None  # Backbone requires one of the two
    local = models_dir / config.weights
    if local.is_dir():
        return load_folder(local, config.architecture, origin=origin, trained=True)
    return load_folder(config.weights, config.architecture, revision=config.revision, origin=origin, trained=True)


def build_untrained(architecture: str, dimensions: UntrainedBackbone) -> SpeechBackbone:
    """Build a randomly initialised backbone; the same dimensions and seed give the same weights.

    Raises:
        ModelError: data2vec with a group-norm CNN, which does not exist.
    """
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


def load_folder(
    source: Path | str, architecture: str | None = None, *, revision: str | None = None, origin: str, trained: bool
) -> SpeechBackbone:
    """Load a backbone from a folder in Hugging Face format, or a hub id.

    Raises:
        ModelError: it is missing, incomplete, or of another architecture.
    """
    from transformers import AutoConfig, AutoModel, PreTrainedConfig

    names = {model_type: name for name, model_type in MODEL_TYPES.items()}
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, revision=revision)
        if config.model_type not in names or architecture not in (None, names[config.model_type]):
            found = names.get(config.model_type, config.model_type)
            raise ModelError(
                f"{origin} is a {found} model, the configuration says {architecture}; change `architecture` or `weights`"
            )
        with _quiet_transformers():
            model, report = AutoModel.from_pretrained(
                source, revision=revision, dtype=torch.float32, output_loading_info=True
            )
        normalise = _read_normalise(source, revision, config)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{origin} cannot be loaded ({str(error).splitlines()[0]}); give a hub id that can be reached, "
            "or a folder with config.json and model.safetensors under `models_dir`"
        ) from error
    if missing := set(report["missing_keys"]) - _UNUSED:
        raise ModelError(
            f"{origin} lacks {len(missing)} weights of a {config.model_type} model, e.g. {min(missing)}; fetch it again"
        )
    return SpeechBackbone(model, normalise=normalise, origin=origin, trained=trained)


def _read_normalise(source: Path | str, revision: str | None, config: Any) -> bool:
    """The checkpoint's `do_normalize`; without one, what its family was trained with (True for layer-norm CNNs)."""
    from transformers import Wav2Vec2FeatureExtractor

    try:
        return bool(Wav2Vec2FeatureExtractor.from_pretrained(source, revision=revision).do_normalize)
    except OSError:
        return getattr(config, "feat_extract_norm", "layer") == "layer"


def _valid(lengths: Tensor, n_frames: int) -> Tensor:
    """(batch, n_frames) boolean: True for frames of the clip."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without progress bars and reports of unused pre-training heads; missing weights are checked by the caller."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

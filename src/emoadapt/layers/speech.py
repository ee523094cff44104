"""Speech models, split into a front end and a transformer.

The pooled embedding of a clip is the same alone and in a padded batch. `transformers` does not promise that:
group-norm CNN encoders average over the padding, and data2vec's stacked positional convolutions carry values into the padding and
back, as the convolutions of conformer layers do. So group-norm CNNs see one clip at a time, and padded frames are zeroed before
convolutions over time. A conformer's batch norm keeps the statistics of its weights, as it would see the padding.

LayerDrop is switched off, and SpecAugment is not that of `transformers`: either would draw random numbers whose count
depends on the batch, and original and adapted models of a pair would no longer see the same dropout.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from emoadapt.errors import ModelError
from emoadapt.layers.adapters import merge_adapters
from emoadapt.layers.augmentation import mask_spans
from emoadapt.layers.convolution import encode_signals
from emoadapt.layers.parts import SpeechParts
from emoadapt.layers.transformer import TransformerBackbone, quiet_transformers
from emoadapt.machine.torch_device import send
from emoadapt.poolings.base import mask_frames
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch
    from emoadapt.layers.settings import SpecAugment, SpeechSettings

# WavLM's attention adds a float position bias to the boolean padding mask; torch warns on every layer of every step.
warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask is deprecated")

PADDING = "emoadapt_padding"
"""Key of `config.json` that keeps how short clips are lengthened: `{"seconds": 1.0, "mode": "silence"}`."""

SHAPE = ("hidden_size", "conv_dim", "conv_kernel", "conv_stride", "conv_bias", "feat_extract_norm")
"""What a model's configuration must say; the last two have only the CNN encoders that `encode_signals` knows."""


class Wav2Vec2Parts(SpeechParts):
    """A CNN encoder, a feature projection and a transformer: wav2vec 2.0 and all models with its parts."""

    @property
    def front_end(self) -> list[nn.Module]:
        """The CNN encoder."""
        return [self.model.feature_extractor]

    @property
    def dimension(self) -> int:
        """Channels of the CNN encoder's last layer."""
        return int(self.model.config.conv_dim[-1])

    @property
    def group_norm(self) -> bool:
        """Whether the CNN normalises over time, so that padding would change its output."""
        return getattr(self.model.config, "feat_extract_norm", "layer") == "group"

    @property
    def receptive_field(self) -> int:
        """Samples that one CNN frame sees."""
        samples = 1
        for kernel, stride in zip(
            reversed(self.model.config.conv_kernel), reversed(self.model.config.conv_stride), strict=True
        ):
            samples = (samples - 1) * stride + kernel
        return samples

    def count_frames(self, n_samples: int) -> int:
        """Number of CNN frames."""
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True):
            n_samples = (n_samples - kernel) // stride + 1
        return n_samples

    def encode_signals(self, signals: Sequence[Tensor]) -> Tensor:
        """See `SpeechParts`; a CNN with group norm sees one clip at a time."""
        if self.group_norm:
            return pad_sequence([self._convolve(signal[None])[0] for signal in signals], batch_first=True)
        return self._convolve(pad_sequence(list(signals), batch_first=True))

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The feature projection."""
        projected = self.model.feature_projection(frames)
        return projected[0] if isinstance(projected, tuple) else projected

    def transform(self, hidden: Tensor, lengths: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`; of a large model the last of `every` state is taken before the layer norm that follows it."""
        # Boolean, because transformers inverts it with `~`: of an integer mask that selects other rows, silently.
        valid = mask_frames(lengths, hidden.shape[1])
        with self._zero_padding(valid), self._collect_layers(self.encoder.layers if every else ()) as states:
            last = self.encoder(hidden, attention_mask=valid).last_hidden_state
        return states if every else [last]

    def trace(self, audio: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`."""
        found = self.model(audio, output_hidden_states=every)
        return found.hidden_states if every else [found.last_hidden_state]

    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """Write the configuration of `Wav2Vec2FeatureExtractor`."""
        from transformers import Wav2Vec2FeatureExtractor

        Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLE_RATE, do_normalize=normalise, return_attention_mask=not self.group_norm
        ).save_pretrained(folder)

    def _convolve(self, signals: Tensor) -> Tensor:
        if signals.device.type == "cpu":
            return encode_signals(self.model.feature_extractor, signals)
        # cuDNN may use TF32 for convolutions in float32, matrix products may not.
        return self.model.feature_extractor(signals).transpose(1, 2)

    @contextmanager
    def _collect_layers(self, layers: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
        """The input of the first of these layers and the output of each: `hidden_states` of `transformers`."""
        states: list[Tensor] = []

        def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
            states.extend(inputs[:1] if not states else [])
            states.append(output[0] if isinstance(output, tuple) else output)

        handles = [layer.register_forward_hook(note) for layer in layers]
        try:
            yield states
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _zero_padding(self, valid: Tensor) -> Iterator[None]:
        """Zero the padding where convolutions over time read it, as a clip on its own has it.

        That is after each of data2vec's positional convolutions, and before the depthwise one of a conformer's layer.
        """
        positions = getattr(getattr(self.encoder, "pos_conv_embed", None), "layers", ())
        handles = [layer.register_forward_hook(lambda _, __, output: output * valid[:, None]) for layer in positions]
        for layer in self.encoder.layers:
            if (inner := getattr(getattr(layer, "conv_module", None), "depthwise_conv", None)) is not None:
                handles.append(inner.register_forward_pre_hook(lambda _, inputs: (inputs[0] * valid[:, None],)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class SpeechBackbone(TransformerBackbone):
    """A speech model cut into a front end and a transformer.

    Args:
        model: one of the `transformers` models, without a head.
        family: plug-in that it is of, which declares its licence and what loads its folders.
        normalise: whether each utterance is scaled to zero mean and unit variance first.
        origin: where the weights come from, for the model card.
        trained: False for random weights.
        parts: how the model is cut.
    """

    def __init__(
        self,
        model: Any,
        family: str,
        *,
        normalise: bool,
        origin: str,
        trained: bool,
        parts: type[SpeechParts] = Wav2Vec2Parts,
    ) -> None:
        super().__init__(model, family, origin=origin, trained=trained)
        if getattr(model.config, "conv_pos_batch_norm", False):
            raise ModelError(
                f"{origin}: its positional convolution has batch norm, so embeddings would depend on padding; choose another checkpoint"
            )
        if hasattr(model.config, "layerdrop"):
            model.config.layerdrop = 0.0
        self.parts = parts(model)
        self.normalise = normalise
        self.cnn_trainable = bool(self.parts.front_end)
        self.spec_augment: SpecAugment | None = None

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer's layers."""
        return self.parts.encoder.layers

    @property
    def cnn_dimension(self) -> int:
        """Values of a frame of the front end."""
        return self.parts.dimension

    @property
    def receptive_field(self) -> int:
        """Samples that shorter clips are filled up with zeros to."""
        return self.parts.receptive_field

    @property
    def padding(self) -> dict[str, Any]:
        """How short clips are lengthened, as `config.Padding`; empty = they keep their length."""
        return getattr(self.model.config, PADDING, None) or {}

    @property
    def shortest(self) -> int:
        """Samples that shorter clips are lengthened to; 0 = none are."""
        return round(self.padding.get("seconds", 0) * SAMPLE_RATE)

    def count_frames(self, n_samples: int) -> int:
        """Number of front-end frames of a clip of `n_samples` samples."""
        return self.parts.count_frames(max(n_samples, self.receptive_field, self.shortest))

    def find_step(self, role: str) -> float:
        """Seconds from frame to frame; see `Embedder`."""
        return 10 / (self.parts.count_frames(20 * SAMPLE_RATE) - self.parts.count_frames(10 * SAMPLE_RATE))

    def count_rows(self, role: str) -> int:
        """See `Embedder`; AST has a patch for each band."""
        return self.parts.rows

    def set_cnn_trainable(self, trainable: bool) -> None:
        """Freeze or release the front end; a frozen one runs without recording gradients, and one without weights stays frozen."""
        for module in self.parts.front_end:
            for parameter in module.parameters():
                parameter.requires_grad = trainable
            # transformers asks for the input's gradient otherwise, and would record the frozen encoder's whole graph
            if hasattr(module, "_requires_grad"):
                module._requires_grad = trainable
        self.cnn_trainable = trainable and bool(self.parts.front_end)

    def configure(self, config: SpeechSettings) -> None:
        """Set up what a study wants beyond the model: as for all transformers, and SpecAugment and padding.

        Raises:
            ModelError: the model has fewer layers than are to be trained, or adapters cannot be added or do nothing.
        """
        self.spec_augment = config.spec_augment
        found = config.pad.model_dump() if config.pad else {}
        if found != self.padding:
            setattr(self.model.config, PADDING, found)
        super().configure(config)
        self.set_cnn_trainable(self.cnn_trainable)

    def run_once(self) -> None:
        """Embed a quarter of a second."""
        self([torch.zeros(self.shortest + SAMPLE_RATE // 4, device=self.device)])

    def train(self, mode: bool = True) -> Self:
        """Training mode, without batch norm, or evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self

    def lengthen(self, signal: Tensor) -> Tensor:
        """A clip, (n_samples,), with what it lacks to `shortest`: zeros, or itself again."""
        lacking = self.shortest - len(signal)
        if lacking <= 0:
            return signal
        if self.padding["mode"] == "repeat":
            return signal.repeat(-(-self.shortest // len(signal)))[: self.shortest]
        return nn.functional.pad(signal, (0, lacking))

    def encode_cnn(self, audio: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the front end.

        Args:
            audio: (n_samples,) float tensors in [-1, 1], 16 kHz.

        Returns:
            Frames (batch, n_frames, cnn_dimension), zero beyond a clip's end, and the clips' frame counts (batch,).
        """
        signals = [self._prepare(clip) for clip in audio]
        counts = [self.parts.count_frames(len(signal)) for signal in signals]
        with torch.set_grad_enabled(self.cnn_trainable and torch.is_grad_enabled()):
            frames = self.parts.encode_signals(signals)[:, : max(counts)]
        lengths = send(torch.tensor(counts), self.device)
        return frames * mask_frames(lengths, frames.shape[1])[..., None], lengths

    def run_front_end(self, batch: Batch | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Front end's frames (batch, n_frames, cnn_dimension) of audio, or its cached output, and frame counts (batch,).

        Args:
            batch: with the stream `audio` or `frontend`; or (n_samples,) float tensors in [-1, 1], 16 kHz.
        """
        if isinstance(batch, Sequence):
            return self.encode_cnn(batch)
        if "frontend" in batch.streams:
            return batch.streams["frontend"].float(), batch.lengths["frontend"]
        return self.encode_cnn(batch.streams["audio"])

    def encode_layers(
        self, frames: Tensor, lengths: Tensor, draws: Sequence[Sequence[int]] = (), *, every: bool = True
    ) -> Sequence[Tensor]:
        """Run what follows the front end: projection or positions, and the transformer. SpecAugment's masks are drawn in training."""
        hidden = self.parts.project(frames, lengths)
        if self.training and self.spec_augment is not None and draws:
            stand_in = getattr(self.model, "masked_spec_embed", None)
            hidden = mask_spans(hidden, lengths, draws, self.spec_augment, stand_in)
        return self.parts.transform(hidden, lengths, every=every)

    def forward(self, audio: Sequence[Tensor], draws: Sequence[Sequence[int]] = ()) -> Tensor:
        """Pooled embeddings (batch, width) of (n_samples,) float tensors; `draws` as in `encode`."""
        frames, lengths = self.encode_cnn(audio)
        return self.pool(self.encode(frames, lengths, draws), lengths)

    def save(self, folder: Path, card: Mapping[str, Any], model: Any = None) -> None:
        """Write a folder that `AutoModel.from_pretrained` loads: weights, configuration, preprocessing, model card.

        A model that `transformers` does not have is for `load_folder` alone, and has no preprocessing.

        Args:
            folder: made if needed.
            card: facts for the model card, name -> value or list of values; `title` is its heading.
            model: a model of `transformers` around this backbone, written instead of the backbone alone.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with quiet_transformers():
            self.parts.save_model(merge_adapters(self.model if model is None else model), folder)
        self.save_beside(folder)
        self.parts.save_preprocessing(folder, normalise=self.normalise)
        self.write_card(folder, card, padding=self.padding)

    def _prepare(self, clip: Tensor) -> Tensor:
        signal = send(clip.to(torch.float32), self.device)
        if self.normalise:
            # Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm
            signal = (signal - signal.mean()) / torch.sqrt(signal.var(correction=0) + 1e-7)
        signal = self.lengthen(signal)
        return nn.functional.pad(signal, (0, max(0, self.receptive_field - len(signal))))

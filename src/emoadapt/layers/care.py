"""The network of CARE (Dutta & Ganapathy 2025, Sec. III-B): common layers, an acoustic and a semantic encoder.

The width of each layer has two halves. In the common layers both halves are equal. In the others the first half is the output of the
acoustic encoder, the second that of the semantic encoder. The last layer of the acoustic encoder is what a probe reads as the last layer of
the speech model: of Whisper after the layer norm that follows it, of a large model of wav2vec 2.0's kind (`do_stable_layer_norm`) before it.

Padding does not change the output of a clip: frames beyond its end are set to zero before a convolution over time reads them. The
authors' code pools over the padding and counts it in the loss.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import pad

from emoadapt.backbones.base import load_folder
from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.parts import SpeechParts
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.layers.transformer import TransformerBackbone
from emoadapt.poolings.base import mask_frames

if TYPE_CHECKING:
    from emoadapt.backbones.care import Config
    from emoadapt.layers.text import TextBackbone

FAMILY = "care"
MODEL_TYPE = "emoadapt-care"
KERNEL, STRIDE = 5, 3
"""Kernel and stride, in frames, of both convolutions of the semantic encoder."""
ENDS_WITH = KERNEL + 1 - STRIDE
"""Frames that a transposed convolution adds to `STRIDE` times its input: kernel + output padding (1) - stride."""
CALLED_ALONE = ("bert", "roberta", "xlm-roberta", "electra", "distilbert")
"""Types of text encoders whose layers need only an input and a mask; layers of MPNet share a position bias."""
WEIGHTS = "semantic.safetensors"
"""File of a model folder with the semantic encoder."""


def count_reduced(lengths: Tensor) -> Tensor:
    """Number of frames (batch,) after the first convolution, for clips of `lengths` frames (batch,); at least 1."""
    return ((lengths - KERNEL).div(STRIDE, rounding_mode="floor") + 1).clamp_min(1)


class SemanticLayer(nn.Module):
    """A layer of a text encoder between two convolutions over time (Sec. III-B.1), without non-linearity.

    The first has stride 3 and no padding. The second is a transposed one, of stride 3 and output padding 1; its output is filled with
    zeros, or cut, to the length of the input (authors' code).

    Args:
        layer: layer of a text encoder.
        config: configuration of the text encoder.
        width: width of the frames that go in and come out.
        adapters: whether the layer stands between two convolutions.
    """

    def __init__(self, layer: nn.Module, config: Any, width: int, *, adapters: bool) -> None:
        super().__init__()
        self.layer, self.config = layer, config
        inner = int(config.hidden_size)
        self.down = nn.Conv1d(width, inner, KERNEL, STRIDE) if adapters else None
        self.up = nn.ConvTranspose1d(inner, width, KERNEL, STRIDE, output_padding=1) if adapters else None

    def forward(self, frames: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, n_frames, width) -> the same shape.

        Args:
            frames: frames of clips; those beyond a clip's end are ignored.
            lengths: (batch,) number of valid frames; None: all are valid, and there are at least 5.
        """
        if self.down is None or self.up is None:
            return self._attend(frames, lengths)
        n_frames = frames.shape[1]
        hidden, reduced = _zero(frames, lengths), None
        if lengths is not None:
            reduced = count_reduced(lengths)
            hidden = pad(hidden, (0, 0, 0, max(0, KERNEL - n_frames)))
        hidden = self.down(hidden.transpose(1, 2)).transpose(1, 2)
        hidden = _zero(self._attend(hidden, reduced), reduced)
        hidden = self.up(hidden.transpose(1, 2)).transpose(1, 2)
        hidden = hidden if reduced is None else _zero(hidden, STRIDE * reduced + ENDS_WITH)
        # The longest input that so many frames are made of has one more than come out.
        return pad(hidden, (0, 0, 0, 1))[:, :n_frames]

    def _attend(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        from transformers.masking_utils import create_bidirectional_mask

        if lengths is None:
            return _first(self.layer(hidden, None))
        valid = mask_frames(lengths, hidden.shape[1])
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=hidden, attention_mask=valid)
        return _first(self.layer(hidden, mask))


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _zero(frames: Tensor, lengths: Tensor | None) -> Tensor:
    """Set the frames beyond the ends of clips to zero; not by a product, since they may not be finite."""
    return frames if lengths is None else torch.where(mask_frames(lengths, frames.shape[1])[..., None], frames, 0.0)


class CareModel(nn.Module):
    """The weights of CARE.

    Args:
        speech: model with the common layers and the acoustic encoder.
        semantic: layers of the semantic encoder.
        inner: front end and transformer of the speech model.
        config: `common`, `hidden_size` of both halves together, and what `SpeechBackbone` keeps there.
    """

    def __init__(self, speech: Any, semantic: nn.ModuleList, inner: SpeechParts, config: SimpleNamespace) -> None:
        super().__init__()
        self.speech, self.semantic, self.inner, self.config = speech, semantic, inner, config

    @property
    def masked_spec_embed(self) -> Tensor | None:
        """What stands for a masked frame."""
        return getattr(self.speech, "masked_spec_embed", None)


class CareParts(SpeechParts):
    """The parts of the speech model, and the semantic encoder."""

    def __init__(self, model: CareModel) -> None:
        super().__init__(model)
        self.inner = model.inner

    @property
    def obstacle(self) -> str | None:  # type: ignore[override]
        """That of the speech model."""
        return self.inner.obstacle

    @property
    def encoder(self) -> Any:
        """Layers: the common ones, then each of the acoustic encoder with the one of the semantic encoder beside it."""
        layers, common = list(self.inner.encoder.layers), self.model.config.common
        pairs = zip(layers[common:], self.model.semantic, strict=True)
        return SimpleNamespace(layers=nn.ModuleList([*layers[:common], *(nn.ModuleList(pair) for pair in pairs)]))

    @property
    def receptive_field(self) -> int:
        """That of the speech model."""
        return self.inner.receptive_field

    @property
    def shortest(self) -> int:
        """Samples of five frames, which the first convolution reads."""
        n_samples = self.inner.receptive_field
        while self.inner.count_frames(n_samples) < KERNEL:
            n_samples += 1
        return n_samples

    @property
    def longest(self) -> int | None:
        """That of the speech model."""
        return self.inner.longest

    @property
    def dimension(self) -> int:
        """That of the speech model."""
        return self.inner.dimension

    @property
    def front_end(self) -> Sequence[nn.Module]:
        """That of the speech model."""
        return self.inner.front_end

    def count_frames(self, n_samples: int) -> int:
        """As the speech model."""
        return self.inner.count_frames(n_samples)

    def encode_signals(self, signals: Sequence[Tensor]) -> Tensor:
        """As the speech model."""
        return self.inner.encode_signals(signals)

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """As the speech model."""
        return self.inner.project(frames, lengths)

    def transform(self, hidden: Tensor, lengths: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`; both halves of each layer, side by side."""
        return self._branch(self.inner.transform(hidden, lengths, every=True), lengths, every)

    def trace(self, audio: Tensor, *, every: bool) -> Sequence[Tensor]:
        """See `SpeechParts`."""
        return self._branch(self.inner.trace(audio, every=True), None, every)

    def save_preprocessing(self, folder: Path, *, normalise: bool) -> None:
        """None: the speech model has its own, in its own folder."""

    def _branch(self, states: Sequence[Tensor], lengths: Tensor | None, every: bool) -> list[Tensor]:
        common = self.model.config.common
        hidden, semantic = states[common], []
        for layer in self.model.semantic:
            hidden = layer(hidden, lengths)
            semantic.append(hidden)
        pairs = list(zip(states[common + 1 :], semantic, strict=True))
        if not every:
            return [torch.cat(pairs[-1], dim=-1)]
        return [
            *(torch.cat([state, state], dim=-1) for state in states[: common + 1]),
            *(torch.cat(p, -1) for p in pairs),
        ]


class CareBackbone(SpeechBackbone):
    """CARE as a backbone: its embedding is the mean over time of the last layers of both encoders, concatenated.

    Args:
        speech: speech model whose layers are the common ones and those of the acoustic encoder.
        semantic: layers of the semantic encoder.
        config: see `CareModel`.
        origin: where the weights come from.
        trained: False if a part of it has random weights.

    Attributes:
        fresh: whether the convolutions have random weights.
    """

    branches = ("acoustic", "semantic")

    def __init__(
        self, speech: SpeechBackbone, semantic: nn.ModuleList, config: SimpleNamespace, *, origin: str, trained: bool
    ) -> None:
        model = CareModel(speech.model, semantic, speech.parts, config)
        super().__init__(
            model, FAMILY, normalise=speech.normalise, origin=origin, trained=trained, parts=CareParts
        )  # fmt: skip
        # In a list, or its model would be registered twice.
        self._speech = [speech]
        self.cnn_trainable = speech.cnn_trainable
        self.notes = [f"speech: {note}" for note in speech.notes]
        self.held: frozenset[str] = frozenset()
        self.fresh = False
        speech.layers[config.common].register_forward_pre_hook(self._cut_gradient, with_kwargs=True)

    @property
    def speech(self) -> SpeechBackbone:
        """The speech model, as a backbone of its own."""
        return self._speech[0]

    @property
    def padding(self) -> dict[str, Any]:
        """That of the speech model."""
        return self.speech.padding

    @property
    def notice(self) -> str:
        """What the licence of the speech model's family asks."""
        return self.speech.notice

    def configure(self, config: Config) -> None:  # type: ignore[override]
        """Set up gradients, frozen parts and pooling as the study says.

        Of a pretrained speech model the layers are trained; projection, positions and norms around them are frozen (authors' code). The
        text layers are frozen unless `text_layers` says otherwise.

        Raises:
            ModelError: adapters are asked for, or more layers than there are.
        """
        if getattr(config, "lora", None) is not None:
            raise ModelError(f"{self.origin}: CARE has no adapters of low rank; remove `lora`, or use `train_layers`")
        self.model.config.acoustic_gradient = config.acoustic_gradient
        self.spec_augment = getattr(config.parts["speech"], "spec_augment", None)
        front_end = self.cnn_trainable
        if config.parts["speech"].provenance == "pretrained":
            self.model.speech.requires_grad_(False)
            self.speech.layers.requires_grad_(True)
        TransformerBackbone.configure(self, config)  # type: ignore[arg-type]
        if config.text_layers == "frozen":
            self.held = frozenset(["text"])
            for layer in self.model.semantic:
                layer.layer.requires_grad_(False)
        self.set_cnn_trainable(front_end)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; frozen text layers have no dropout."""
        super().train(mode)
        if getattr(self, "held", None):
            for layer in self.model.semantic:
                layer.layer.eval()
        return self

    def redraw(self, seed: int) -> bool:
        """See `Embedder`: pooling, and the convolutions that are trained; what kept layers were computed with stays as it is."""
        pooled, convolutions = super().redraw(seed), self._list_fresh()
        with seeded(seed):
            for convolution in convolutions:
                convolution.reset_parameters()
        return pooled or bool(convolutions)

    def compile_layers(self) -> None:
        """Compile the layers of the speech model."""
        self.speech.compile_layers()

    def save(self, folder: Path, card: Mapping[str, Any], model: Any = None) -> None:
        """Write a folder that `load_saved` loads: the speech model in a folder of its own, the semantic encoder beside it.

        Args:
            folder: made if needed.
            card: facts for the model card, name -> value or list of values; `title` is its heading.
            model: none; `transformers` has no model around CARE.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.speech.save(folder / "speech", {"title": f"{card.get('title', folder.name)}, speech model"})
        self.model.semantic[0].config.save_pretrained(folder / "text")
        save_file(
            {name: value.contiguous() for name, value in self.model.semantic.state_dict().items()}, folder / WEIGHTS
        )
        (folder / "config.json").write_text(json.dumps(vars(self.model.config)) + "\n", encoding="utf-8")
        self.save_beside(folder)
        self.write_card(folder, card, padding=self.padding)

    def _list_fresh(self) -> list[nn.Conv1d | nn.ConvTranspose1d]:
        """Convolutions with random weights, in the order in which they were drawn, without those that are frozen."""
        found = [
            convolution
            for layer in self.model.semantic
            for convolution in (layer.down, layer.up)
            if convolution is not None
        ]
        return [convolution for convolution in found if self.fresh and convolution.weight.requires_grad]

    def _cut_gradient(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Detach the inputs of the acoustic encoder, WavLM's shared position bias included, if it alone is to be trained."""
        if self.model.config.acoustic_gradient == "joint":
            return args, kwargs
        detached = [value.detach() if isinstance(value, Tensor) else value for value in (*args, *kwargs.values())]
        return tuple(detached[: len(args)]), dict(zip(kwargs, detached[len(args) :], strict=True))


def build(
    speech: SpeechBackbone,
    text: TextBackbone,
    *,
    common: int | None,
    branch: int | None,
    adapters: bool,
    random: Collection[str],
    seed: int,
) -> CareBackbone:
    """Put a speech model and the last layers of a text encoder together.

    Args:
        speech: speech model. It is changed in place: layers that are not used are removed.
        text: text encoder.
        common: number of layers that both encoders read; None: half of the speech model's.
        branch: number of layers of each encoder; None: all that follow the common ones.
        adapters: whether each text layer stands between two convolutions.
        random: models whose layers begin with random weights: `speech`, `text`.
        seed: seed of the random layers and of the convolutions.

    Raises:
        ModelError: a model has too few layers, has another width, or is of a kind that cannot be used.
    """
    _refuse_kinds(speech, text)
    n_speech = len(speech.layers)
    common = n_speech // 2 if common is None else common
    branch = n_speech - common if branch is None else branch
    _refuse_sizes(speech, text, common, branch, adapters=adapters)
    if "speech" in random:
        _redraw_layers(speech, seed)
    _shorten(speech, common + branch)
    text_config = deepcopy(text.model.config)
    text_config.num_hidden_layers = branch
    layers = list(text.layers)[len(text.layers) - branch :]
    if "text" in random:
        with seeded(seed):
            layers = list(_wrap_text(type(text.model)(text_config)).layers)
    width = speech.hidden_width
    with seeded(seed):
        semantic = nn.ModuleList(SemanticLayer(layer, text_config, width, adapters=adapters) for layer in layers)
    config = SimpleNamespace(
        model_type=MODEL_TYPE, hidden_size=2 * width, common=common, adapters=adapters, acoustic_gradient="joint"
    )
    trained = speech.trained and text.trained and not random
    backbone = CareBackbone(speech, semantic, config, origin=_name_origin(speech, text), trained=trained)
    backbone.fresh = True
    return backbone


def _name_origin(speech: SpeechBackbone, text: TextBackbone) -> str:
    return f"{speech.origin} + {text.origin}"


def _refuse_kinds(speech: SpeechBackbone, text: TextBackbone) -> None:
    """Refuse models of a kind that cannot be used."""
    kind = text.model.config.model_type
    if kind not in CALLED_ALONE:
        raise ModelError(
            f"{text.origin} is a {kind} model, whose layers cannot run alone; name one of {', '.join(CALLED_ALONE)}"
        )
    if getattr(speech.parts, "rows", 1) != 1:
        raise ModelError(
            f"{speech.origin} has several frames of one time, and CARE needs one; name another speech model"
        )


def _refuse_sizes(speech: SpeechBackbone, text: TextBackbone, common: int, branch: int, *, adapters: bool) -> None:
    """Refuse more layers than there are, and widths that do not fit."""
    origin, n_speech, n_text = _name_origin(speech, text), len(speech.layers), len(text.layers)
    if common < 1 or branch < 1 or common + branch > n_speech or branch > n_text:
        raise ModelError(
            f"CARE of {origin}: common {common} and branch {branch} need {common + branch} speech and {branch} text layers, and there are "
            f"{n_speech} and {n_text}; give smaller numbers"
        )
    width, inner = speech.hidden_width, int(text.model.config.hidden_size)
    if not adapters and width != inner:
        raise ModelError(
            f"CARE of {origin}: frames of {width} and of {inner} values meet; without `adapters` both must be equally wide"
        )


def _redraw_layers(speech: SpeechBackbone, seed: int) -> None:
    """Draw random weights for the layers of a speech model; its front end keeps its own."""
    with seeded(seed):
        fresh = type(speech.model)(speech.model.config)
    kept = type(speech.parts)(fresh).encoder.layers
    speech.layers.load_state_dict(kept.state_dict())


def _shorten(speech: SpeechBackbone, number: int) -> None:
    """Take the layers of a speech model out that follow the first `number`."""
    n_speech = len(speech.layers)
    if number < n_speech:
        del speech.layers[number:]
        speech.model.config.num_hidden_layers = number
    if len(speech.layers) != number:
        raise ModelError(
            f"{speech.origin}: layers of this model cannot be left out; let common and branch add up to {n_speech}"
        )


def _wrap_text(model: Any) -> TextBackbone:
    from emoadapt.layers.text import TextBackbone

    return TextBackbone(model, "text_transformer", origin="", trained=False)


def load_saved(folder: Path, *, origin: str, trained: bool) -> CareBackbone:
    """Load a folder that `CareBackbone.save` wrote.

    Raises:
        ModelError: a file of it is missing or damaged.
    """
    from transformers import AutoConfig, AutoModel

    try:
        config = SimpleNamespace(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        text_config = AutoConfig.from_pretrained(folder / "text", local_files_only=True)
        speech = load_folder(folder / "speech", origin=f"{origin}, speech model", trained=trained)
        with torch.device("meta"), seeded(0):
            layers = _wrap_text(AutoModel.from_config(text_config)).layers
            width = config.hidden_size // 2
            semantic = nn.ModuleList(
                SemanticLayer(layer, text_config, width, adapters=config.adapters) for layer in layers
            )
        semantic.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{origin} cannot be loaded from {folder} ({reason}); copy the whole folder again") from error
    return CareBackbone(speech, semantic, config, origin=origin, trained=trained).restore(folder)

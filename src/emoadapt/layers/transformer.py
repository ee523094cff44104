"""Transformers as backbones: layers, pooling, frozen parts, adapters, and their folders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from emoadapt.backbones.base import load_folder
from emoadapt.errors import ModelError
from emoadapt.layers.adapters import add_adapters, list_adapted, redraw_adapters
from emoadapt.layers.trainable import TrainableBackbone
from emoadapt.plugins import read_declaration
from emoadapt.poolings.base import load_pooling
from emoadapt.weights.cards import write_card
from emoadapt.weights.registry import resolve

if TYPE_CHECKING:
    from emoadapt.layers.settings import LayerSettings, TransformerSettings

LAYER_WEIGHTS = "layer_weights.safetensors"
"""File of a model folder whose embedding is a weighted mean of layers."""

POOLING = "emoadapt_pooling"
"""Key of `config.json` that keeps how frames are pooled, where that is not the mean."""

EMBEDDING = "emoadapt_embedding"
"""Key of `config.json` that keeps the dimension of a linear layer after the pooling, where there is one."""

POOLING_WEIGHTS = "pooling.safetensors"
"""File of a model folder whose pooling has parameters."""


class TransformerBackbone(TrainableBackbone):
    """A transformer of `transformers`, whose layers are read and pooled.

    Args:
        model: one of the `transformers` models, without a head.
        family: plug-in that it is of, which declares its licence and what loads its folders.
        origin: where the weights come from, for the model card.
        trained: False for random weights.

    Attributes:
        frozen: whether nothing before the pooling is trained; the transformer then has no dropout.
        learning_rate_factor: of the model's own weights.
        notes: sentences on what was assumed, or left out, when the weights were loaded.
    """

    def __init__(self, model: Any, family: str, *, origin: str, trained: bool) -> None:
        super().__init__()
        self.model = model
        self.family = family
        self.origin = origin
        self.trained = trained
        self.notes: list[str] = []
        self.register_parameter("layer_weights", None)
        self.frozen = False
        self.learning_rate_factor = 1.0
        choice, embedding = getattr(model.config, POOLING, "mean"), getattr(model.config, EMBEDDING, None)
        self.pooling = load_pooling(choice, self.hidden_width, embedding)

    @abstractmethod
    def run_once(self) -> None:
        """Embed anything short, so that each layer is called."""

    @property
    def width(self) -> int:
        """Dimension of the pooled embedding."""
        return self.pooling.width

    @property
    def hidden_width(self) -> int:
        """Dimension of the transformer's layers."""
        return int(self.model.config.hidden_size)

    @property
    def library(self) -> Literal["transformers", "emoadapt"]:
        """What computes the embedding from a folder that `save` writes."""
        return read_declaration("backbones", self.family, "LOADED_BY") if self.pooling.title == "mean" else "emoadapt"

    @property
    def notice(self) -> str:
        """What the licence of its family asks every copy of trained weights to say; empty: nothing."""
        return read_declaration("backbones", self.family, "NOTICE")

    def configure(self, config: LayerSettings) -> None:
        """Set up what a study wants beyond the model: layers, pooling, adapters, frozen layers.

        Raises:
            ModelError: the model has fewer layers than are to be trained, or adapters cannot be added or do nothing.
        """
        layers = self.layers
        if config.layers == "weighted" and self.layer_weights is None:
            self.layer_weights = nn.Parameter(torch.zeros(len(layers) + 1))
        if (config.pooling, config.embedding) != (self.pooling.choice, self.pooling.embedding):
            self.set_pooling(config.pooling, config.embedding)
        self.learning_rate_factor = config.learning_rate_factor
        if getattr(config, "lora", None) is not None:
            add_adapters(self.model, config.lora, self.model.config.model_type)
            self._check_adapters()
        if config.train_layers != "all":
            if config.train_layers > len(layers):
                raise ModelError(
                    f"{self.origin} has {len(layers)} layers, train_layers is {config.train_layers}; set it to `all` or less"
                )
            self.model.requires_grad_(False)
            layers[len(layers) - config.train_layers :].requires_grad_(True)
            self.frozen = config.train_layers == 0

    def set_pooling(self, choice: str | dict[str, Any], embedding: int | None = None) -> None:
        """Replace the pooling by a new one; arguments as of `load_pooling`."""
        self.pooling = load_pooling(choice, self.hidden_width, embedding)
        for key, value, usual in ((POOLING, choice, "mean"), (EMBEDDING, embedding, None)):
            if value != usual:
                setattr(self.model.config, key, value)
            elif hasattr(self.model.config, key):
                delattr(self.model.config, key)

    def train(self, mode: bool = True) -> Self:
        """Training mode, except for a frozen transformer, or evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def list_factors(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Factor of the learning rate of the model's own weights, if it is not 1."""
        own = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [(self.learning_rate_factor, own)] if own and self.learning_rate_factor != 1 else []

    def redraw(self, seed: int) -> bool:
        """See `Embedder`: the pooling and the adapters."""
        return any([self.pooling.redraw(seed), redraw_adapters(self.model, seed)])

    def restore(self, folder: Path) -> Self:
        """Read what `save_beside` keeps beside the model: weights of the layers and of the pooling."""
        from safetensors.torch import load_file

        if (file := folder / LAYER_WEIGHTS).is_file():
            self.layer_weights = nn.Parameter(load_file(file)["layer_weights"])
        if (file := folder / POOLING_WEIGHTS).is_file():
            self.pooling.restore(load_file(file))
        return self

    def save_beside(self, folder: Path) -> None:
        """Write what `restore` reads."""
        from safetensors.torch import save_file

        if self.layer_weights is not None:
            save_file({"layer_weights": self.layer_weights.detach()}, folder / LAYER_WEIGHTS)
        if state := self.pooling.state_dict():
            save_file({name: value.contiguous() for name, value in state.items()}, folder / POOLING_WEIGHTS)

    def write_card(self, folder: Path, card: Mapping[str, Any], **more: Any) -> None:
        """Write the model card of a folder that `save` writes.

        Args:
            folder: the folder.
            card: facts, name -> value or list of values; `title` is the heading.
            more: further arguments of `weights.cards.write_card`.
        """
        write_card(
            folder,
            card,
            origin=self.origin,
            trained=self.trained,
            weighted=self.layer_weights is not None,
            library=self.library,
            notice=self.notice,
            pooling=self.pooling.title,
            notes=self.notes,
            **more,
        )

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool valid frames: (batch, n_frames, hidden_width), (batch,) -> (batch, width) float32."""
        return self.pooling(hidden, lengths)

    def _check_adapters(self) -> None:
        """See that the layers with an adapter are called: attention may read their weights alone, as WavLM's does.

        Raises:
            ModelError: one is not, so that its adapter would do nothing and learn nothing.
        """
        adapted = list_adapted(self.model)
        called: set[str] = set()
        handles = [
            module.register_forward_pre_hook(lambda *_, name=name: called.add(name)) for name, module in adapted.items()
        ]
        training = self.training
        try:
            with torch.no_grad():
                self.eval().run_once()
        finally:
            self.train(training)
            for handle in handles:
                handle.remove()
        if missed := sorted({name.rsplit(".", 1)[-1] for name in adapted.keys() - called}):
            raise ModelError(
                f"{self.origin} is a {self.model.config.model_type} model, which ignores adapters in {', '.join(missed)}; name "
                "others under `lora: modules`, e.g. intermediate_dense and output_dense"
            )


def load_pretrained(kind: Any, folder: Path, *, origin: str, what: str, **options: Any) -> tuple[Any, set[str]]:
    """Load a model of `transformers` in float32, and see that no weight of it is missing.

    Args:
        kind: class of the model.
        folder: in Hugging Face format.
        origin: where the weights come from, for messages.
        what: the model in words, with its article.
        options: further arguments of `from_pretrained`.

    Returns:
        The model, and the names of weights in the folder that it does not have.

    Raises:
        ModelError: the folder cannot be read, or weights are missing.
    """
    try:
        with quiet_transformers():
            model, report = kind.from_pretrained(
                folder,
                local_files_only=True,
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise ModelError(
            f"{origin} cannot be loaded from {folder} ({str(error).splitlines()[0]}); that must be a folder with config.json and "
            "model.safetensors or pytorch_model.bin; one of results/models is damaged: delete it and run again"
        ) from error
    if missing := set(report["missing_keys"]):
        raise ModelError(
            f"{origin} lacks {len(missing)} weights of {what}, e.g. {min(missing)}; fetch or copy it again"
        )
    return model, set(report["unexpected_keys"])


@contextmanager
def quiet_transformers() -> Iterator[None]:
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


_Transformer = TypeVar("_Transformer", bound=TransformerBackbone)


def load_configured(
    config: TransformerSettings, models_dir: Path, source: Path | None, build: Callable[[], _Transformer]
) -> _Transformer:
    """Load a backbone from a folder, or build it, and set it up as a study wants it.

    Args:
        config: of the backbone.
        models_dir: folder of weights.
        source: folder of an adapted model of that backbone, loaded instead.
        build: makes an untrained one.
    """
    if source is None and config.weights is None:
        backbone = build()
    else:
        found = source or resolve(config.weights or "", models_dir, config.revision)
        backbone = load_folder(found, config.architecture, origin=config.origin, trained=config.weights is not None)
    backbone.configure(config)
    return backbone

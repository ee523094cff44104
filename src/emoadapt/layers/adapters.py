"""Low-rank adapters (Hu et al. 2022, "LoRA"), by the library `peft`."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from torch import nn

from emoadapt.errors import ModelError, explain_missing_library
from emoadapt.layers.heads import seeded

if TYPE_CHECKING:
    from emoadapt.layers.settings import Lora

CONDITIONAL_LIBRARIES = ("peft",)

ATTENTION = ("q_proj", "v_proj")
"""Layers that get an adapter unless others are named."""

FEED_FORWARD = ("intermediate_dense", "output_dense")
"""The same for WavLM, whose attention reads its projections' weights and never calls them: an adapter there does nothing."""

OTHERS = {
    "wavlm": FEED_FORWARD,
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), ("query", "value")),
    "distilbert": ("q_lin", "v_lin"),
    "mpnet": ("q", "v"),
}
"""Model type -> layers that get an adapter, where they are not `ATTENTION`."""


def add_adapters(model: nn.Module, settings: Lora, model_type: str) -> None:
    """Put adapters into a model's layers, in place; all that was there before is frozen.

    They begin as no change.

    Raises:
        ModelError: `peft` is not installed, or the model lacks the layers.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ModelError(f"adapters (`lora`): {explain_missing_library(error) or error}") from error
    model.requires_grad_(False)
    modules = settings.modules or OTHERS.get(model_type, ATTENTION)
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=list(modules)
    )
    try:
        with seeded(0):
            inject_adapter_in_model(config, model)
    except ValueError as error:
        raise ModelError(
            f"a {model_type} model has no layers called {', '.join(modules)}; name others under `lora: modules`"
        ) from error
    adapted = {name.rsplit(".", 1)[-1] for name in list_adapted(model)}
    if lacking := [name for name in modules if name not in adapted]:
        raise ModelError(
            f"a {model_type} model has no layers called {', '.join(lacking)}; leave them out under `lora: modules`"
        )


def list_adapted(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of a model that have an adapter, by their names in it."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def redraw_adapters(model: nn.Module, seed: int) -> bool:
    """Draw new initial weights for all adapters of a model, in place.

    Args:
        model: model with or without adapters.
        seed: seed of the weights.

    Returns:
        Whether it has adapters.
    """
    adapted = list_adapted(model)
    with seeded(seed):
        for layer in adapted.values():
            for name in layer.lora_A:
                layer.reset_lora_parameters(name, init_lora_weights=True)
    return bool(adapted)


def merge_adapters(model: nn.Module) -> nn.Module:
    """A copy of a model with its adapters merged into its weights; the model itself if it has none."""
    names = list_adapted(model)
    if not names:
        return model
    copy = deepcopy(model)
    for name in names:
        layer = copy.get_submodule(name)
        layer.merge(safe_merge=True)
        copy.set_submodule(name, layer.get_base_layer())
    return copy

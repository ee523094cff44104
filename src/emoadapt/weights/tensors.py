"""Tensors of a checkpoint that a model has no place for; `transformers` drops them with a warning at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emoadapt.errors import ModelError, show


def list_left_out(unexpected: Iterable[str], model: Any, origin: str) -> list[str]:
    """Modules of a checkpoint that are not loaded, such as the head of its pre-training: `["lm_head", "quantizer"]`.

    Args:
        unexpected: names of tensors, `unexpected_keys` of `from_pretrained`.
        model: of `transformers`, or what remains of one.
        origin: where the weights come from, for the message.

    Raises:
        ModelError: some lie in a part that the model has. Its `config.json` then describes another model, for example one of fewer
            layers, whose embeddings would be computed without them.
    """
    prefix, base = f"{model.base_model_prefix}.", model.base_model
    parts = {name.split(".")[0] for name, _ in (*base.named_children(), *base.named_parameters())}
    names = [name.removeprefix(prefix) for name in unexpected]
    if own := sorted(name for name in names if name.split(".")[0] in parts):
        raise ModelError(
            f"{origin} holds {len(own)} tensors that its config.json has no place for ({show(own, 2)}); the two are not of one model: "
            "fetch both again"
        )
    return sorted({name.split(".")[0] for name in names})

"""Text encoders of `transformers`, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.errors import ModelError
from emoadapt.weights.registry import resolve

if TYPE_CHECKING:
    from emoadapt.features.base import Context
    from emoadapt.transcription.sections import EncoderSection
    from emoadapt.transcription.tokens import Tokeniser


def load_layer(config: EncoderSection, context: Context, feature: str) -> tuple[Tokeniser, Any, int]:
    """Load the text encoder of a feature that reads one of its layers.

    Args:
        config: the feature's section.
        context: of the job.
        feature: its name, for messages.

    Returns:
        The tokenizer, the model on the job's device, and the number of the layer, 0 for the input of the first one.

    Raises:
        ModelError: the encoder cannot be had, or has fewer layers.
    """
    import torch

    from emoadapt.transcription.tokens import Tokeniser

    torch.set_num_threads(context.threads)
    folder, user = resolve(config.model, context.models_dir), f"features.{feature}.model"
    tokenise = Tokeniser(folder, user)
    model, _ = load_encoder(folder, user)
    layers = int(model.config.num_hidden_layers)
    layer = layers if config.layer == "last" else config.layer
    if layer > layers:
        raise ModelError(
            f"features.{feature}.layer: {config.model} has {layers} layers, {layer} is asked for; choose 0 to {layers}"
        )
    return tokenise, model.to(torch.device(context.device)), layer


def load_encoder(folder: Path, user: str) -> tuple[Any, list[str]]:
    """Load a text encoder without its pooler, which reads the first token alone.

    Args:
        folder: in Hugging Face format; weights of a head are left out.
        user: what needs it, for messages.

    Returns:
        A model of `transformers` in float32 and evaluation mode, and the parts of the checkpoint that are left out.

    Raises:
        ModelError: it cannot be loaded, or lacks weights.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    from emoadapt.weights.tensors import list_left_out

    try:
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{user}: the text encoder in {folder} cannot be loaded ({reason}); that must be a folder with config.json and "
            "model.safetensors or pytorch_model.bin: fetch the model again"
        ) from None
    pooler = {name for name in report["missing_keys"] if name.startswith("pooler.")}
    if missing := sorted({*report["missing_keys"]} - pooler):
        # transformers fills them in at random and only warns.
        raise ModelError(f"{user}: {folder} lacks {len(missing)} weights, such as {missing[0]}; fetch the model again")
    left_out = list_left_out(report["unexpected_keys"], model, str(folder))
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
        left_out += [] if pooler else ["pooler"]
    return model.eval(), left_out

"""The emotion classifier that a backbone and a head make, and its folder.

A folder is in Hugging Face format. With the `hf` head it is a whole classification model of `transformers`
(`Wav2Vec2ForSequenceClassification` and its sisters), which needs nothing of ours. With the `mlp` head, which `transformers`
does not have, it is the backbone, and `head.safetensors` and `classes.json` stand beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.models.backbones import MODEL_TYPES, SpeechBackbone, load_folder
from emoadapt.models.heads import Head, ProjectedHead, TwoLayerHead, seeded


class EmotionClassifier(nn.Module):
    """A fine-tuned backbone with its head.

    Args:
        backbone: speech backbone.
        head: on its pooled embedding.
        classes: in the order of the logits.
    """

    def __init__(self, backbone: SpeechBackbone, head: Head, classes: Sequence[str]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = tuple(classes)

    def forward(self, audio: Sequence[Tensor]) -> Tensor:
        """Logits (batch, n_classes) of (n_samples,) float tensors in [-1, 1], 16 kHz."""
        return self.head(self.backbone(audio)).float()

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write the folder, with its model card; see the module."""
        from safetensors.torch import save_file

        if isinstance(self.head, ProjectedHead):
            self.backbone.save(folder, {**card, "classes": self.classes, "head": "hf"}, self._assemble(self.head))
            return
        self.backbone.save(folder, {**card, "classes": self.classes, "head": "mlp"})
        save_file(
            {name: value.contiguous() for name, value in self.head.state_dict().items()}, folder / "head.safetensors"
        )
        # Not as `id2label`: a pipeline would set these names against a head of its own, with random weights.
        (folder / "classes.json").write_text(
            json.dumps(list(self.classes), ensure_ascii=False) + "\n", encoding="utf-8"
        )

    def _assemble(self, head: ProjectedHead) -> Any:
        """The classification model of `transformers` that has these very weights."""
        from transformers import AutoModelForAudioClassification

        config = deepcopy(self.backbone.model.config)
        config.id2label = dict(enumerate(self.classes))
        config.label2id = {name: index for index, name in enumerate(self.classes)}
        config.classifier_proj_size = head.projector.out_features
        config.use_weighted_layer_sum = self.backbone.layer_weights is not None
        config.problem_type = "single_label_classification"
        # Without memory for weights that are replaced at once, and without a draw from anybody's generator.
        with torch.device("meta"), seeded(0):
            model = AutoModelForAudioClassification.from_config(config)
        setattr(model, model.base_model_prefix, self.backbone.model)
        model.projector, model.classifier = head.projector, head.classifier
        if config.use_weighted_layer_sum:
            model.layer_weights = self.backbone.layer_weights
        return model


def load_classifier(folder: Path) -> EmotionClassifier:
    """Load what `EmotionClassifier.save` wrote, in evaluation mode.

    A folder of anybody's `Wav2Vec2ForSequenceClassification` or one of its sisters does as well.

    Raises:
        ModelError: the folder has no head (a Stage-1 model), one of another kind, or cannot be read.
    """
    from safetensors import SafetensorError

    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} has no config.json, so it is no model folder; name one of `results/runs/.../models/`"
        )
    layers: nn.Parameter | None = None
    try:
        if (folder / "head.safetensors").is_file():
            head, classes = _read_two_layers(folder)
        else:
            head, classes, layers = _read_projected(folder)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        found = " ".join(str(error).split())
        raise ModelError(f"the head of {folder} cannot be read ({found}); copy the whole folder again") from error
    backbone = load_folder(folder, origin=str(folder), trained=True)
    if layers is not None:
        backbone.layer_weights = layers
    return EmotionClassifier(backbone, head, classes).eval()


def _read_two_layers(folder: Path) -> tuple[Head, list[str]]:
    from safetensors.torch import load_file

    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "head.safetensors")
    hidden, width = weights["hidden.weight"].shape
    head = TwoLayerHead(width, hidden, len(classes), seed=0)
    head.load_state_dict(weights)
    return head, classes


def _read_projected(folder: Path) -> tuple[Head, list[str], nn.Parameter | None]:
    """Head and classes, and the weights of the layers, where they are weighted."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        raise ModelError(
            f"{folder} has neither head.safetensors nor a classification model of transformers, so it is no emotion "
            "classifier; name the folder of a fine-tuned run (kept with `keep_models: best` or `all`)"
        )
    if config.model_type not in MODEL_TYPES.values():
        raise ModelError(f"{folder} is a {config.model_type} model; only {', '.join(MODEL_TYPES.values())} can be used")
    if config.problem_type not in (None, "single_label_classification"):
        raise ModelError(
            f"{folder} is a model for {config.problem_type}; only models that choose one label for a clip can be used"
        )
    names = [f"{layer}.{kind}" for layer in ("projector", "classifier") for kind in ("weight", "bias")]
    weights = _read_tensors(folder, [*names, *(["layer_weights"] if config.use_weighted_layer_sum else [])])
    layers = weights.pop("layer_weights", None)
    classes = [config.id2label[index] for index in range(len(config.id2label))]
    projection, width = weights["projector.weight"].shape
    head = ProjectedHead(width, projection, len(classes), seed=0)
    head.load_state_dict(weights)
    return head, classes, None if layers is None else nn.Parameter(layers)


def _read_tensors(folder: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Some of a model's weights, float32, from the file that `transformers` would take."""
    from safetensors import safe_open

    if (folder / "model.safetensors").is_file():
        with safe_open(folder / "model.safetensors", "pt") as file:
            return {name: file.get_tensor(name).float() for name in names}
    # Reads tensors only, so that the file cannot run code.
    weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return {name: weights[name].float() for name in names}

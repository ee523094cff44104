"""The emotion classifier that a backbone and a head make, and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.models.backbones import SpeechBackbone, load_folder
from emoadapt.models.heads import TwoLayerHead


class EmotionClassifier(nn.Module):
    """A fine-tuned backbone with its head.

    Args:
        backbone: speech backbone.
        head: on its pooled embedding.
        classes: in the order of the logits.
    """

    def __init__(self, backbone: SpeechBackbone, head: TwoLayerHead, classes: Sequence[str]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = tuple(classes)

    def forward(self, audio: Sequence[Tensor]) -> Tensor:
        """Logits (batch, n_classes) float32 of (n_samples,) float tensors in [-1, 1], 16 kHz."""
        return self.head(self.backbone(audio)).float()

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write the backbone in Hugging Face format with `head.safetensors` and `classes.json` beside it."""
        from safetensors.torch import save_file

        self.backbone.save(folder, {**card, "classes": self.classes})
        save_file(
            {name: value.contiguous() for name, value in self.head.state_dict().items()}, folder / "head.safetensors"
        )
        (folder / "classes.json").write_text(
            json.dumps(list(self.classes), ensure_ascii=False) + "\n", encoding="utf-8"
        )


def load_classifier(folder: Path) -> EmotionClassifier:
    """Load what `EmotionClassifier.save` wrote, in evaluation mode.

    Raises:
        ModelError: the folder has no head (a Stage-1 model) or cannot be read.
    """
    from safetensors.torch import load_file

    if not (folder / "head.safetensors").is_file() or not (folder / "classes.json").is_file():
        raise ModelError(
            f"{folder} has no head.safetensors and classes.json, so it is no emotion classifier; "
            "name the folder of a fine-tuned run (kept with `keep_models: best` or `all`)"
        )
    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "head.safetensors")
    hidden, width = weights["hidden.weight"].shape
    head = TwoLayerHead(width, hidden, len(classes), seed=0)
    head.load_state_dict(weights)
    return EmotionClassifier(load_folder(folder, origin=str(folder), trained=True), head, classes).eval()

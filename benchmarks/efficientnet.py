"""An EfficientNet-B2 of the right size and without training, as an ONNX classifier like HSEmotion's.

The library's own initialisation makes activations vanish: it scales by 0.02 in every batch norm too. One of Kaiming's kind with
calibrated batch norms carries something, but is chaotic: a change of one grey level turns its embedding, and one unusual
clip outweighs all others, because swish expands contrasts from layer to layer. Trained networks are smooth. So is this one:

* batch norms hold the statistics of real face crops, and scale by `GAIN`, at which swish works as the ReLU that Kaiming
  initialisation is made for; in residual branches by a fraction of it, as is usual (Goyal et al. 2017, who begin with 0);
* filters with an extent in space are a constant and a slope in each direction;
* squeeze-and-excitation begins near its middle.

A shift of its crops by one pixel then changes the centred embedding about as little (cosine 0.997 to 0.999) as that of the
small trained network beside which `faces.py` uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from transformers import EfficientNetConfig, EfficientNetModel

SIDE, DIMENSION, CLASSES = 260, 1408, 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GAIN, BRANCH, GATE, LEVEL = 4.0, 0.2, 0.1, 2.0
"""Scale of batch norms; that of the last one of a residual branch against it; scale of squeeze-and-excitation's weights;
constant part of a filter against its slopes."""


class Classifier(nn.Module):
    """EfficientNet-B2 with a linear classifier of eight classes."""

    def __init__(self) -> None:
        super().__init__()
        config = EfficientNetConfig(
            width_coefficient=1.1, depth_coefficient=1.2, image_size=SIDE, hidden_dim=DIMENSION, dropout_rate=0.3
        )
        self.body = EfficientNetModel(config)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(DIMENSION, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, 260, 260) -> logits (n, 8)."""
        maps = self.body(images).last_hidden_state
        return self.classifier(self.dropout(maps.mean((2, 3))))


def make_network(crops: Sequence[np.ndarray], seed: int = 0) -> Path:
    """Write the network, or find the one written before for the same crops.

    Args:
        crops: (H, W, 3) uint8 RGB, faces on which the batch norms are calibrated.
        seed: of the weights.

    Returns:
        An ONNX file in a temporary folder, input (batch, 3, 260, 260), output (batch, 8).
    """
    digest = hashlib.sha256(Path(__file__).read_bytes() + b"".join(crop.tobytes() for crop in crops))
    file = (
        Path(tempfile.gettempdir()) / "emoadapt_benchmarks" / f"efficientnet_b2_{seed}_{digest.hexdigest()[:12]}.onnx"
    )
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        _export(_build(crops, seed), part)
        part.replace(file)
    return file


def _build(crops: Sequence[np.ndarray], seed: int) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    network = Classifier()
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            scale = GATE if "squeeze_excite" in name else 1.0
            nn.init.normal_(module.weight, std=scale * math.sqrt(2 / module.weight[0].numel()), generator=generator)
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
            # Their scale does not matter, a batch norm follows.
            module.weight.data.copy_(_draw_filters(module.weight.shape, generator))
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            nn.init.constant_(module.weight, GAIN)
            # The statistics are those of the one batch that follows.
            module.momentum = None
    for block in network.body.encoder.blocks:
        if block.projection.apply_dropout:
            nn.init.constant_(block.projection.project_bn.weight, GAIN * BRANCH)
    network.train()
    for dropout in (module for module in network.modules() if isinstance(module, nn.Dropout)):
        dropout.eval()
    pixels = np.stack([cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops])
    images = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    with torch.no_grad():
        network(torch.from_numpy(images.astype(np.float32)))
    return network.eval()


def _draw_filters(shape: torch.Size, generator: torch.Generator) -> Tensor:
    level, right, down = torch.randn(3, *shape[:2], 1, 1, generator=generator)
    place = torch.linspace(-1, 1, shape[-1])
    return LEVEL * level + right * place + down * place[:, None]


def _export(network: Classifier, file: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, SIDE, SIDE),),
            file,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )

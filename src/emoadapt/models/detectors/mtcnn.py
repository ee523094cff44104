"""MTCNN: a cascade of three small networks over an image pyramid, the detector of Goncalves & Busso (2025).

Paper: K. Zhang, Z. Zhang, Z. Li and Y. Qiao, "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 23, 2016. Weights: the state dicts of facenet-pytorch, whose parameter names
the networks here carry; with these weights the boxes are those of facenet-pytorch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emoadapt.config import FacesConfig
from emoadapt.errors import ModelError
from emoadapt.models.detectors import Face
from emoadapt.models.registry import resolve

MIN_FACE = 20
"""Pixels; side of the smallest face looked for, the authors' own."""
PYRAMID_FACTOR = 0.709
"""About the square root of a half: each level has half the pixels of the one before."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Smallest face probability after P-, R- and O-Net; `min_score` replaces the last."""
LEVEL_NMS, PYRAMID_NMS, REFINED_NMS, FINAL_NMS = 0.5, 0.7, 0.7, 0.7
CELL, STRIDE = 12, 2
"""Pixels that one output of P-Net sees, and the step between two outputs."""


class PNet(nn.Module):
    """Proposals: fully convolutional, one output for each 12 x 12 window."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, h, w) -> face probability (n, h', w'), box regression (n, h', w', 4)."""
        x = functional.max_pool2d(self.prelu1(self.conv1(images)), 2, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1)[:, 1], self.conv4_2(x).permute(0, 2, 3, 1)


class RNet(nn.Module):
    """Refinement of 24 x 24 crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, 24, 24) -> face probability (n,), box regression (n, 4)."""
        x = functional.max_pool2d(self.prelu1(self.conv1(images)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu4(self.dense4(_flatten(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x).softmax(1)[:, 1], self.dense5_2(x)


class ONet(nn.Module):
    """Decision on 48 x 48 crops. The weights hold landmarks too (`dense6_3`), which are not needed here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, 48, 48) -> face probability (n,), box regression (n, 4)."""
        x = functional.max_pool2d(self.prelu1(self.conv1(images)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu5(self.dense5(_flatten(self.prelu4(self.conv4(x)))))
        return self.dense6_1(x).softmax(1)[:, 1], self.dense6_2(x)


def _flatten(x: Tensor) -> Tensor:
    # The dense layers come from column-major MATLAB: their inputs run over width, height, channels.
    return x.permute(0, 3, 2, 1).flatten(1)


def load(config: FacesConfig, models_dir: Path, device: str, threads: int) -> MtcnnDetector:
    """Load MTCNN from the configured folder or the registry's."""
    torch.set_num_threads(threads)
    folder = resolve(config.weights or "mtcnn", models_dir)
    return MtcnnDetector(folder, THRESHOLDS[2] if config.min_score is None else config.min_score, device)


class MtcnnDetector:
    """The cascade.

    Args:
        folder: folder of `pnet.pt`, `rnet.pt` and `onet.pt`.
        min_score: smallest face probability of O-Net.
        device: `cpu` or `cuda`.
        min_face: pixels, side of the smallest face looked for.

    Raises:
        ModelError: a file is missing or holds another network.
    """

    def __init__(
        self, folder: Path, min_score: float = THRESHOLDS[2], device: str = "cpu", min_face: int = MIN_FACE
    ) -> None:
        self._pnet = _load_network(PNet(), folder / "pnet.pt", device)
        self._rnet = _load_network(RNet(), folder / "rnet.pt", device)
        self._onet = _load_network(ONet(), folder / "onet.pt", device)
        self._min_score = min_score
        self._device = device
        self._min_face = min_face

    @torch.inference_mode()
    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each frame (H, W, 3) uint8 RGB; neighbours of equal size share a pyramid."""
        faces: list[list[Face]] = []
        for _, group in itertools.groupby(frames, key=lambda frame: frame.shape):
            batch = torch.from_numpy(np.stack(list(group))).to(self._device).permute(0, 3, 1, 2)
            for frame, proposals in zip(batch, self._propose(batch), strict=True):
                faces.append(self._refine(frame, proposals))
        return faces

    def close(self) -> None:
        """Nothing to give back."""

    def _propose(self, batch: Tensor) -> list[np.ndarray]:
        """Square boxes (n, 4) of each frame (n_frames, 3, h, w) that P-Net takes for faces."""
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in batch]
        height, width = batch.shape[2:]
        pixels = batch.float()
        for scale in list_scales(height, width, self._min_face):
            size = (int(height * scale + 1), int(width * scale + 1))
            scores, shifts = self._pnet(normalise(functional.interpolate(pixels, size, mode="area")))
            for index, (frame_scores, frame_shifts) in enumerate(zip(scores, shifts, strict=True)):
                rows, columns = torch.nonzero(frame_scores >= THRESHOLDS[0], as_tuple=True)
                corners = torch.stack([columns, rows, columns, rows], 1).cpu().numpy() * STRIDE
                boxes = np.floor((corners + np.array([1, 1, CELL, CELL])) / scale)
                values = frame_scores[rows, columns].cpu().numpy()
                kept = suppress(boxes, values, LEVEL_NMS)
                moved = shift(boxes, frame_shifts[rows, columns].cpu().numpy(), boxes[:, 2:] - boxes[:, :2])
                found[index].append((np.hstack([boxes, moved])[kept], values[kept]))
        return [_merge_levels(levels) for levels in found]

    def _refine(self, frame: Tensor, boxes: np.ndarray) -> list[Face]:
        """What R-Net and O-Net make of a frame's (3, h, w) proposals (n, 4)."""
        if not len(boxes):
            return []
        integral = integrate(frame)
        boxes, values = _judge(self._rnet, integral, boxes, 24, THRESHOLDS[1])
        kept = suppress(boxes[:, :4], values, REFINED_NMS)
        boxes, values = _judge(self._onet, integral, make_square(boxes[kept, 4:]), 48, self._min_score)
        boxes = boxes[:, 4:]
        kept = suppress(boxes, values, FINAL_NMS, smaller=True)
        return [Face((x0, y0, x1, y1), float(values[i])) for i in kept for x0, y0, x1, y1 in [boxes[i].tolist()]]


def list_scales(height: int, width: int, min_face: int) -> list[float]:
    """Scales of the pyramid: P-Net's cell is `min_face` pixels wide at the first, about the frame at the last."""
    scales, scale = [], CELL / min_face
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale *= PYRAMID_FACTOR
    return scales


def normalise(pixels: Tensor) -> Tensor:
    """0 to 255 -> about -1 to 1, as the networks were trained."""
    return (pixels - 127.5) / 128


def integrate(frame: Tensor) -> Tensor:
    """Integral image (3, h + 1, w + 1) of a uint8 frame (3, h, w)."""
    return functional.pad(frame.long().cumsum(1).cumsum(2), (1, 0, 1, 0))


def clip_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whole pixels that boxes (n, 4) cover inside of a frame: first and one past the last column and row, (n, 4) int64.

    Boxes count pixels from 1 and include the last one, as in the authors' MATLAB, with which the weights were made.
    """
    whole = np.trunc(boxes).astype(np.int64)
    return np.hstack([np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], [width, height])])


def average_boxes(integral: Tensor, boxes: np.ndarray, size: int) -> Tensor:
    """Shrink (or enlarge) boxes to size x size cells, each the mean of all pixels that it touches.

    The same as adaptive average pooling of one crop after the other, for all at once.

    Args:
        integral: (3, h + 1, w + 1), from `integrate`.
        boxes: (n, 4) from `clip_boxes`, none empty.
        size: cells on each side.

    Returns:
        (n, 3, size, size) float32.
    """
    corners = torch.from_numpy(boxes).to(integral.device)
    cells = torch.arange(size, device=integral.device)
    origins, spans = corners[:, :2, None], (corners[:, 2:] - corners[:, :2])[:, :, None]
    first = origins + spans * cells // size
    last = origins - (-spans * (cells + 1) // size)
    left, top, right, bottom = first[:, 0, None, :], first[:, 1, :, None], last[:, 0, None, :], last[:, 1, :, None]
    sums = integral[:, bottom, right] - integral[:, top, right] - integral[:, bottom, left] + integral[:, top, left]
    return (sums / ((bottom - top) * (right - left))).transpose(0, 1).float()


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, *, smaller: bool = False) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: (n, 4) x0 y0 x1 y1.
        scores: (n,).
        threshold: largest overlap of two boxes that are both kept.
        smaller: overlap is intersection over the smaller box instead of over the union.

    Returns:
        Indices of the boxes kept, best first.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        common = np.clip(sides, 0, None).prod(1)
        whole = np.minimum(areas[best], areas[order]) if smaller else areas[best] + areas[order] - common
        order = order[common <= threshold * whole]
    return np.array(kept, np.int64)


def shift(boxes: np.ndarray, shifts: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) moved by a network's regression (n, 4): each corner, in units of the box's sides (n, 2)."""
    return boxes + shifts * np.tile(sides, 2)


def make_square(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) widened on the shorter side about their centres."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.hstack([centres - half, centres + half])


def _merge_levels(levels: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Square boxes of one frame from (boxes and moved boxes (n, 8), scores (n,)) of each level."""
    if not levels:
        return np.empty((0, 4))
    boxes = np.concatenate([level for level, _ in levels])
    kept = suppress(boxes[:, :4], np.concatenate([scores for _, scores in levels]), PYRAMID_NMS)
    return make_square(boxes[kept, 4:])


def _judge(
    network: nn.Module, integral: Tensor, boxes: np.ndarray, size: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that pass a network, before and after its regression (n, 8), and their probabilities (n,)."""
    inside = clip_boxes(boxes, integral.shape[1] - 1, integral.shape[2] - 1)
    held = (inside[:, 2:] > inside[:, :2]).all(1)
    boxes, inside = boxes[held], inside[held]
    if not len(boxes):
        return np.empty((0, 8)), np.empty(0)
    scores, shifts = network(normalise(average_boxes(integral, inside, size)))
    values = scores.cpu().numpy()
    moved = shift(boxes, shifts.cpu().numpy(), boxes[:, 2:] - boxes[:, :2] + 1)
    passed = values > threshold
    return np.hstack([boxes, moved])[passed], values[passed]


def _load_network(network: nn.Module, file: Path, device: str) -> nn.Module:
    if not file.is_file():
        raise ModelError(f"MTCNN needs {file}, which is not there; its folder must hold pnet.pt, rnet.pt and onet.pt")
    try:
        network.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    except Exception as error:
        # torch has no common class for the ways in which a file is not the expected state dict.
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{file} is not MTCNN's {type(network).__name__}: {reason}; fetch it again") from None
    return network.to(device).eval()

"""MTCNN: a cascade of three networks, the detector of Goncalves & Busso (2025).

Paper: K. Zhang, Z. Zhang, Z. Li and Y. Qiao, "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 23, 2016. Weights: the state dicts of facenet-pytorch, whose parameter names
the networks here carry; with these weights the boxes are those of facenet-pytorch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emoadapt.detectors.base import Face
from emoadapt.errors import ModelError
from emoadapt.faces.opencv import load_opencv
from emoadapt.weights.registry import resolve

WEIGHTS = "mtcnn"
STATE = "pretrained"
GPU = True
HONOURS = ("min_face", "search")

MIN_FACE = 20
"""Pixels; side of the smallest face looked for, the authors' own."""
PYRAMID_FACTOR = 0.709
"""About the square root of a half: each level has half the pixels of the one before."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Smallest face probability after P-, R- and O-Net; `min_score` replaces the last."""
LEVEL_NMS, PYRAMID_NMS, REFINED_NMS, FINAL_NMS = 0.5, 0.7, 0.7, 0.7
CELL, STRIDE = 12, 2
"""Pixels that one output of P-Net sees, and the step between two outputs."""
JUDGED_AT_ONCE = 128
"""Candidates that go through R-Net or O-Net together: what the caches hold."""
NEAR_REACH = 0.9
"""How far from the middle of a known face its proposals are looked for, in sides of its box."""
NEAR_CELLS = (0.3, 1.8)
"""Sides of P-Net's cell, in sides of a known face's box, at which its proposals are looked for."""


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


def load(config: Any, models_dir: Path, device: str, threads: int) -> MtcnnDetector:
    """Load MTCNN from the configured folder or the registry's."""
    torch.set_num_threads(threads)
    folder = resolve(config.weights or WEIGHTS, models_dir)
    min_score = THRESHOLDS[2] if config.min_score is None else config.min_score
    return MtcnnDetector(folder, min_score, device, config.min_face or MIN_FACE, threads)


class Window(NamedTuple):
    """A stretch of a level, in cells of P-Net's output; `bottom` and `right` are one past the last."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Args:
        scale: of the level against the frame.
        height: pixels.
        width: pixels.
    """

    scale: float
    height: int
    width: int

    @property
    def whole(self) -> Window:
        """All cells: two of the pixels go to the first convolution, half to pooling, four to the other convolutions."""
        rows, columns = (math.ceil((pixels - 2) / 2) - 4 for pixels in (self.height, self.width))
        return Window(0, rows, 0, columns)

    @property
    def cell(self) -> float:
        """Pixels of the frame that are the side of what one cell sees."""
        return CELL / self.scale


@dataclass(frozen=True)
class Candidates:
    """What a network takes for faces.

    Args:
        frames: (n,) int64, index of the frame.
        boxes: (n, 4) float64, what the network looked at.
        moved: (n, 4) float64, where it says the face is.
        scores: (n,) float64.
    """

    frames: np.ndarray
    boxes: np.ndarray
    moved: np.ndarray
    scores: np.ndarray

    def take(self, index: np.ndarray) -> Candidates:
        """Some of them."""
        return Candidates(self.frames[index], self.boxes[index], self.moved[index], self.scores[index])

    @staticmethod
    def join(parts: Sequence[Candidates]) -> Candidates:
        """Those of all parts, of which there may be none."""
        none = Candidates(np.empty(0, np.int64), np.empty((0, 4)), np.empty((0, 4)), np.empty(0))
        whole = [none, *parts]
        return Candidates(
            np.concatenate([part.frames for part in whole]),
            np.concatenate([part.boxes for part in whole]),
            np.concatenate([part.moved for part in whole]),
            np.concatenate([part.scores for part in whole]),
        )


class MtcnnDetector:
    """The cascade.

    Args:
        folder: folder of `pnet.pt`, `rnet.pt` and `onet.pt`.
        min_score: smallest face probability of O-Net.
        device: `cpu` or `cuda`.
        min_face: pixels, side of the smallest face looked for.
        threads: threads OpenCV may use.

    Raises:
        ModelError: a file is missing or holds another network.
    """

    def __init__(
        self,
        folder: Path,
        min_score: float = THRESHOLDS[2],
        device: str = "cpu",
        min_face: int = MIN_FACE,
        threads: int = 1,
    ) -> None:
        self._cv2 = load_opencv(threads)
        self._pnet = _load_network(PNet(), folder / "pnet.pt", device)
        self._rnet = _load_network(RNet(), folder / "rnet.pt", device)
        self._onet = _load_network(ONet(), folder / "onet.pt", device)
        self._min_score = min_score
        self._device = device
        self._min_face = min_face

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each frame (H, W, 3) uint8 RGB; neighbours of equal size go through the networks together."""
        faces: list[list[Face]] = []
        for shape, group in itertools.groupby(frames, key=lambda frame: frame.shape):
            levels = list_levels(shape[0], shape[1], self._min_face)
            faces += self._search(list(group), [(level, level.whole) for level in levels])
        return faces

    def detect_near(self, frame: np.ndarray, known: Sequence[Face]) -> list[Face]:
        """Look only where faces of an earlier frame may have gone, for faces of about their sizes.

        The networks see the same pixels as in `detect`, so a face gets the same box wherever the proposals that lead
        to it are among those looked at. Other faces are seen by chance only.

        Args:
            frame: (H, W, 3) uint8 RGB.
            known: faces of the earlier frame, which has the same size.
        """
        levels = list_levels(*frame.shape[:2], self._min_face)
        return self._search([frame], list_near_windows(levels, known))[0]

    def close(self) -> None:
        """Nothing to give back."""

    @torch.inference_mode()
    def _search(self, frames: Sequence[np.ndarray], looks: Sequence[tuple[Level, Window]]) -> list[list[Face]]:
        """Faces of frames of one size, P-Net looking at these windows of these levels, the levels in order."""
        integrals = torch.from_numpy(np.stack([self._cv2.integral(frame) for frame in frames])).to(self._device)
        found = self._propose(integrals, looks)
        found = self._judge(self._rnet, integrals, found, 24, THRESHOLDS[1])
        found = self._judge(self._onet, integrals, self._thin(found, REFINED_NMS), 48, self._min_score)
        faces: list[list[Face]] = []
        for frame in range(len(frames)):
            mine = found.take(found.frames == frame)
            kept = mine.take(suppress_nested(mine.moved, mine.scores, FINAL_NMS))
            boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in kept.moved.tolist()]
            faces.append([Face(box, score) for box, score in zip(boxes, kept.scores.tolist(), strict=True)])
        return faces

    def _propose(self, integrals: Tensor, looks: Sequence[tuple[Level, Window]]) -> Candidates:
        """What P-Net finds in these windows of these levels of all frames."""
        levels = []
        for level, windows in itertools.groupby(looks, key=lambda look: look[0]):
            found = Candidates.join([self._look(integrals, level, window) for _, window in windows])
            levels.append(self._thin(found, LEVEL_NMS))
        return self._thin(Candidates.join(levels), PYRAMID_NMS)

    def _look(self, integrals: Tensor, level: Level, window: Window) -> Candidates:
        scores, shifts = self._pnet(shrink(integrals, level, window))
        places = torch.nonzero(scores >= THRESHOLDS[0])
        values, moves = (part[tuple(places.T)].cpu().numpy().astype(np.float64) for part in (scores, shifts))
        frames, rows, columns = places.cpu().numpy().T
        corners = np.stack([columns + window.left, rows + window.top] * 2, 1) * STRIDE
        boxes = np.floor((corners + np.array([1, 1, CELL, CELL])) / level.scale)
        return Candidates(frames, boxes, shift(boxes, moves, boxes[:, 2:] - boxes[:, :2]), values)

    def _judge(
        self, network: nn.Module, integrals: Tensor, found: Candidates, size: int, threshold: float
    ) -> Candidates:
        """What a network that sees size x size pixels makes of the squares about candidates."""
        boxes = make_square(found.moved)
        inside = clip_boxes(boxes, integrals.shape[1] - 1, integrals.shape[2] - 1)
        held = (inside[:, 2:] > inside[:, :2]).all(1)
        frames, boxes, inside = found.frames[held], boxes[held], inside[held]
        passed = []
        for start in range(0, len(boxes), JUDGED_AT_ONCE):
            part = slice(start, start + JUDGED_AT_ONCE)
            scores, shifts = network(average_boxes(integrals, frames[part], inside[part], size))
            values = scores.cpu().numpy().astype(np.float64)
            moved = shift(boxes[part], shifts.cpu().numpy(), boxes[part, 2:] - boxes[part, :2] + 1)
            passed.append(Candidates(frames[part], boxes[part], moved, values).take(values > threshold))
        return Candidates.join(passed)

    def _thin(self, found: Candidates, threshold: float) -> Candidates:
        """Non-maximum suppression in each frame by itself."""
        kept = []
        for frame in np.unique(found.frames):
            mine = np.flatnonzero(found.frames == frame)
            kept.append(mine[suppress(self._cv2, found.boxes[mine], found.scores[mine], threshold)])
        return found.take(np.concatenate(kept)) if kept else found


def list_levels(height: int, width: int, min_face: int) -> list[Level]:
    """The pyramid: P-Net's cell is `min_face` pixels wide at the first level, about the frame at the last."""
    levels, scale = [], CELL / min_face
    while min(height, width) * scale >= CELL:
        levels.append(Level(scale, int(height * scale + 1), int(width * scale + 1)))
        scale *= PYRAMID_FACTOR
    return levels


def list_near_windows(levels: Sequence[Level], known: Sequence[Face]) -> list[tuple[Level, Window]]:
    """For each level, the windows in which P-Net may find one of the known faces, which may have moved and grown."""
    looks = []
    for level, face in itertools.product(levels, known):
        x0, y0, x1, y1 = face.box
        side = max(x1 - x0, y1 - y0)
        if not NEAR_CELLS[0] * side <= level.cell <= NEAR_CELLS[1] * side:
            continue
        # The middle of what cell c sees is at (STRIDE c + 6.5) / scale: it sees pixels STRIDE c + 1 to STRIDE c + 12.
        reach = NEAR_REACH * side
        (left, right), (top, bottom) = (
            ((np.array([middle - reach, middle + reach]) * level.scale - (CELL + 1) / 2) / STRIDE).tolist()
            for middle in ((x0 + x1) / 2, (y0 + y1) / 2)
        )
        whole = level.whole
        window = Window(
            max(math.floor(top), 0), min(math.ceil(bottom) + 1, whole.bottom),
            max(math.floor(left), 0), min(math.ceil(right) + 1, whole.right),
        )  # fmt: skip
        if window.top < window.bottom and window.left < window.right:
            looks.append((level, window))
    return looks


def shrink(integrals: Tensor, level: Level, window: Window) -> Tensor:
    """What P-Net needs to see of a level for a window of its output: each pixel the mean of all pixels it touches.

    The same values as adaptive average pooling of the whole frame, at the places of the window.

    Args:
        integrals: (n, h + 1, w + 1, 3) int32, integral images of the frames.
        level: of the pyramid.
        window: in cells of P-Net's output.

    Returns:
        (n, 3, rows, columns) float32, as the networks were trained: about -1 to 1.
    """
    top, bottom = _edges(integrals.shape[1] - 1, level.height, window.top, window.bottom)
    left, right = _edges(integrals.shape[2] - 1, level.width, window.left, window.right)
    indices = [torch.from_numpy(edge).to(integrals.device) for edge in (top, bottom, left, right)]
    strips = integrals.index_select(1, indices[1]) - integrals.index_select(1, indices[0])
    sums = strips.index_select(2, indices[3]) - strips.index_select(2, indices[2])
    counts = (indices[1] - indices[0])[:, None] * (indices[3] - indices[2])
    return normalise(sums, counts[:, :, None])


def _edges(pixels: int, size: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last pixel of a frame behind each pixel of a level that cells first to last - 1 see."""
    places = np.arange(STRIDE * first, min(STRIDE * (last - 1) + CELL, size))
    return places * pixels // size, -(-(places + 1) * pixels // size)


def average_boxes(integrals: Tensor, frames: np.ndarray, boxes: np.ndarray, size: int) -> Tensor:
    """Shrink (or enlarge) boxes to size x size cells, each the mean of all pixels that it touches.

    The same as adaptive average pooling of one crop after the other, for all at once.

    Args:
        integrals: (n_frames, h + 1, w + 1, 3) int32, integral images.
        frames: (n,) int64, index of the frame of each box.
        boxes: (n, 4) from `clip_boxes`, none empty.
        size: cells on each side.

    Returns:
        (n, 3, size, size) float32, about -1 to 1.
    """
    origins, cells = boxes[:, :2, None], np.arange(size)
    spans = boxes[:, 2:, None] - origins
    edges = np.stack([origins + spans * cells // size, origins - (-spans * (cells + 1) // size)], 1)
    columns, rows = edges[:, :, 0], edges[:, :, 1]
    height, width = integrals.shape[1:3]
    # Places in the integral images laid out as one list: (n, top and bottom, left and right, size, size).
    begins = (frames[:, None, None] * height + rows) * width
    places = torch.from_numpy(begins[:, :, None, :, None] + columns[:, None, :, None, :]).to(integrals.device)
    corners = integrals.reshape(-1, 3).index_select(0, places.flatten()).reshape(*places.shape, 3)
    sums = corners[:, 1, 1] - corners[:, 0, 1] - corners[:, 1, 0] + corners[:, 0, 0]
    counts = (rows[:, 1] - rows[:, 0])[:, :, None] * (columns[:, 1] - columns[:, 0])[:, None, :]
    return normalise(sums, torch.from_numpy(counts).to(integrals.device)[..., None])


def normalise(sums: Tensor, counts: Tensor) -> Tensor:
    """Sums of pixels (n, h, w, 3) int32 over so many each -> (n, 3, h, w) float32, as the networks were trained."""
    return (sums * (1 / (128 * counts)) - 127.5 / 128).permute(0, 3, 1, 2)


def clip_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whole pixels that boxes (n, 4) cover inside of a frame: first and one past the last column and row, (n, 4) int64.

    Boxes count pixels from 1 and include the last one, as in the authors' MATLAB, with which the weights were made.
    """
    whole = np.trunc(boxes).astype(np.int64)
    return np.hstack([np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], [width, height])])


def suppress(cv2: Any, boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        cv2: OpenCV.
        boxes: (n, 4) x0 y0 x1 y1.
        scores: (n,), none negative.
        threshold: largest intersection over union of two boxes that are both kept.

    Returns:
        Indices of the boxes kept, best first.
    """
    corners_and_sides = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    return np.array(cv2.dnn.NMSBoxes(corners_and_sides, scores, 0.0, threshold), np.int64)


def suppress_nested(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """The same with intersection over the smaller box, for the few boxes at the end of the cascade."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        order = order[np.clip(sides, 0, None).prod(1) <= threshold * np.minimum(areas[best], areas[order])]
    return np.array(kept, np.int64)


def shift(boxes: np.ndarray, shifts: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) moved by a network's regression (n, 4): each corner, in units of the box's sides (n, 2)."""
    return boxes + shifts * np.tile(sides, 2)


def make_square(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) widened on the shorter side about their centres."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.hstack([centres - half, centres + half])


def _load_network(network: nn.Module, file: Path, device: str) -> nn.Module:
    if not file.is_file():
        raise ModelError(f"MTCNN needs {file}, which is missing; its folder must hold pnet.pt, rnet.pt and onet.pt")
    try:
        network.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    except Exception as error:
        # torch has no common class for the ways in which a file is not the expected state dict.
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{file} is not MTCNN's {type(network).__name__}: {reason}; fetch it again") from None
    # Channels last: three times as fast on a CPU, and the layout that frames come in.
    return network.to(device, memory_format=torch.channels_last).eval()

"""The face path as one would write it first, frame by frame: what `faces.py` measures against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

from emoadapt.detectors.mtcnn import (
    CELL,
    FINAL_NMS,
    LEVEL_NMS,
    MIN_FACE,
    PYRAMID_FACTOR,
    PYRAMID_NMS,
    REFINED_NMS,
    STRIDE,
    THRESHOLDS,
    ONet,
    PNet,
    RNet,
    clip_boxes,
    make_square,
    shift,
    suppress,
    suppress_nested,
)
from emoadapt.faces.cropping import crop_square
from emoadapt.faces.onnx_network import resize


class NaiveMtcnn:
    """The cascade as facenet-pytorch runs it: one frame, all levels, candidates cut out one by one; the same weights.

    Its non-maximum suppression is OpenCV's compiled one.
    """

    def __init__(self, folder: Path, min_score: float = THRESHOLDS[2]) -> None:
        self._min_score = min_score
        self._networks: list[nn.Module] = []
        for network, name in ((PNet(), "pnet"), (RNet(), "rnet"), (ONet(), "onet")):
            network.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
            self._networks.append(network.eval())

    @torch.inference_mode()
    def detect(self, frame: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) of a frame (H, W, 3) uint8 RGB."""
        pnet, rnet, onet = self._networks
        image = torch.from_numpy(np.stack([frame])).permute(0, 3, 1, 2).float()
        boxes, moved = self._propose(pnet, image)
        boxes, moved, scores = self._judge(rnet, image, make_square(moved), 24, THRESHOLDS[1])
        kept = suppress(cv2, boxes, scores, REFINED_NMS)
        boxes, moved, scores = self._judge(onet, image, make_square(moved[kept]), 48, self._min_score)
        return moved[suppress_nested(moved, scores, FINAL_NMS)]

    def _propose(self, pnet: nn.Module, image: Tensor) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[2:]
        found, scale = [(np.empty((0, 4)), np.empty((0, 4)), np.empty(0))], CELL / MIN_FACE
        while min(height, width) * scale >= CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            scores, shifts = pnet(_normalise(functional.interpolate(image, size, mode="area")))
            rows, columns = torch.nonzero(scores[0] >= THRESHOLDS[0], as_tuple=True)
            corners = torch.stack([columns, rows, columns, rows], 1).numpy() * STRIDE
            boxes = np.floor((corners + np.array([1, 1, CELL, CELL])) / scale)
            moved = shift(boxes, shifts[0, rows, columns].numpy(), boxes[:, 2:] - boxes[:, :2])
            values = scores[0, rows, columns].numpy().astype(np.float64)
            kept = suppress(cv2, boxes, values, LEVEL_NMS)
            found.append((boxes[kept], moved[kept], values[kept]))
            scale *= PYRAMID_FACTOR
        boxes, moved, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = suppress(cv2, boxes, values, PYRAMID_NMS)
        return boxes[kept], moved[kept]

    def _judge(
        self, network: nn.Module, image: Tensor, boxes: np.ndarray, size: int, threshold: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inside = clip_boxes(boxes, *image.shape[2:])
        held = (inside[:, 2:] > inside[:, :2]).all(1)
        boxes, inside = boxes[held], inside[held]
        if not len(boxes):
            return np.empty((0, 4)), np.empty((0, 4)), np.empty(0)
        crops = [
            functional.interpolate(image[0, :, y0:y1, x0:x1][None], (size, size), mode="area")
            for x0, y0, x1, y1 in inside.tolist()
        ]
        scores, shifts = network(_normalise(torch.cat(crops)))
        values = scores.numpy().astype(np.float64)
        moved = shift(boxes, shifts.numpy(), boxes[:, 2:] - boxes[:, :2] + 1)
        passed = values > threshold
        return boxes[passed], moved[passed], values[passed]


def _normalise(pixels: Tensor) -> Tensor:
    return (pixels - 127.5) * 0.0078125


class NaiveNetwork:
    """An ONNX classifier whose last layer is left out, one image at a time; pixels are prepared as by hsemotion-onnx.

    Args:
        file: ends in one Gemm.
        side: pixels of its square input.
        mean: per channel.
        std: per channel.
    """

    def __init__(self, file: Path, side: int, mean: Sequence[float], std: Sequence[float]) -> None:
        model = onnx.load(file)
        self._output = model.graph.node[-1].input[0]
        model.graph.output.append(onnx.ValueInfoProto(name=self._output))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.side, self._mean, self._std = side, mean, std

    def embed(self, image: np.ndarray) -> np.ndarray:
        """(dimension,) of a crop (side, side, 3) uint8 RGB."""
        x = image / 255
        for channel in range(3):
            x[..., channel] = (x[..., channel] - self._mean[channel]) / self._std[channel]
        pixels = x.transpose(2, 0, 1).astype(np.float32)[np.newaxis]
        return self._session.run([self._output], {self._session.get_inputs()[0].name: pixels})[0].ravel()


@dataclass(frozen=True)
class NaiveChain:
    """Video in, mean embedding out, one frame after the other."""

    detector: NaiveMtcnn
    network: NaiveNetwork

    def embed(self, clip: Path, seconds: float) -> tuple[np.ndarray, int, list[np.ndarray]]:
        """Mean embedding, number of frames, and crops of the beginning of a clip."""
        video = cv2.VideoCapture(str(clip))
        n_frames, vectors, crops = 0, [], []
        while n_frames < seconds * video.get(cv2.CAP_PROP_FPS) - 1e-3:
            read, image = video.read()
            if not read:
                break
            n_frames += 1
            frame = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            boxes = self.detector.detect(frame)
            if len(boxes):
                largest = max(boxes.tolist(), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
                crops.append(resize(cv2, crop_square(frame, largest, 0.0), self.network.side))
                vectors.append(self.network.embed(crops[-1]))
        return np.mean(vectors, axis=0, dtype=np.float64), n_frames, crops

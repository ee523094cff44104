"""Facial-expression embedding: one vector per face crop, averaged over the clip (Goncalves & Busso 2025, III-B)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emoadapt import schema
from emoadapt.config import FaceEmbeddingConfig
from emoadapt.errors import ClipError, DataError
from emoadapt.features.base import Context
from emoadapt.models.onnx_network import load_network
from emoadapt.models.opencv import load_opencv


class FaceEmbeddingExtractor:
    """Embeds face crops.

    Args:
        config: network and batch size.
        context: folder of weights, device, threads.

    Raises:
        ModelError: the network is missing or not as declared.
    """

    table = schema.FACE_EMBEDDING
    inputs = ("faces",)
    manifest_columns: tuple[str, ...] = ()
    chunk_size = 8

    def __init__(self, config: FaceEmbeddingConfig, context: Context) -> None:
        self._cv2 = load_opencv(context.threads)
        self._batch_size = config.batch_size
        self._network = load_network(config.network, context.models_dir, context.device, context.threads)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Mean embedding of each clip; batches reach over clips, most of which are shorter than one."""
        sums: list[np.ndarray | float] = [0.0] * len(rows)
        for batch in self._batch_crops(rows):
            for (index, _), vector in zip(batch, self._network.embed([image for _, image in batch]), strict=True):
                sums[index] = sums[index] + vector.astype(np.float64)
        return [self._finish(row, total) for row, total in zip(rows, sums, strict=True)]

    def _finish(self, row: dict[str, Any], total: np.ndarray | float) -> dict[str, Any]:
        n_frames = len(row["crops"])
        mean = np.asarray(total) / max(n_frames, 1)
        if not n_frames or not np.isfinite(mean).all():
            error = ClipError("no_embedding", f"the network gives no finite vector for {n_frames} face(s)")
            return {"status": error.status, "reason": str(error)}
        return {"face_embedding": mean.astype(np.float32).tolist(), "n_frames": n_frames}

    def _batch_crops(self, rows: Sequence[dict[str, Any]]) -> Iterator[list[tuple[int, np.ndarray]]]:
        """(index of the row, decoded crop) of all rows in batches."""
        batch: list[tuple[int, np.ndarray]] = []
        for index, row in enumerate(rows):
            for crop in row["crops"]:
                batch.append((index, self._decode(crop, row)))
                if len(batch) == self._batch_size:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _decode(self, crop: bytes, row: dict[str, Any]) -> np.ndarray:
        image = self._cv2.imdecode(np.frombuffer(crop, np.uint8), self._cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"a face crop of {row.get('utterance_id', 'a clip')} is not a JPEG; compute `faces` again")
        return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB)

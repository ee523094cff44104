"""Embedding of face crops, decoded and scaled while the network computes."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.errors import ClipError, DataError
from emoadapt.extraction.ahead import run_ahead
from emoadapt.faces.onnx_network import load_network
from emoadapt.faces.opencv import load_opencv

if TYPE_CHECKING:
    from emoadapt.features.base import Context

BATCHES_AHEAD = 2


class FaceEmbeddingExtractor:
    """Embeds face crops.

    Args:
        config: network and batch size.
        context: folder of weights, device, threads.

    Raises:
        ModelError: the network is missing or not as declared.
    """

    def __init__(self, config: Any, context: Context) -> None:
        self._beat = context.beat
        self._cv2 = load_opencv(context.threads)
        self._batch_size = config.batch_size
        self._network = load_network(config.network, context.models_dir, context.device, context.threads)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Mean embedding of each clip; batches reach over clips, most of which are shorter than one."""
        sums: list[np.ndarray | float] = [0.0] * len(rows)
        with closing(run_ahead(self._prepare(rows), BATCHES_AHEAD)) as batches:
            for owners, batch in batches:
                for index, vector in zip(owners, self._network.run(batch), strict=True):
                    sums[index] = sums[index] + vector.astype(np.float64)
                self._beat()
        return [self._finish(row, total) for row, total in zip(rows, sums, strict=True)]

    def _prepare(self, rows: Sequence[dict[str, Any]]) -> Generator[tuple[list[int], np.ndarray]]:
        """(indices of the rows, what the network is given) for the decoded crops of all rows, in batches."""
        crops = ((index, crop) for index, row in enumerate(rows) for crop in row["crops"])
        while batch := list(itertools.islice(crops, self._batch_size)):
            images = [self._decode(crop, rows[index]) for index, crop in batch]
            yield [index for index, _ in batch], self._network.prepare(images)

    def _finish(self, row: dict[str, Any], total: np.ndarray | float) -> dict[str, Any]:
        n_frames = len(row["crops"])
        mean = np.asarray(total) / max(n_frames, 1)
        if not n_frames or not np.isfinite(mean).all():
            error = ClipError("no_embedding", f"the network gives no finite vector for {n_frames} face(s)")
            return {"status": error.status, "reason": str(error)}
        return {"face_embedding": mean.astype(np.float32).tolist(), "n_frames": n_frames}

    def _decode(self, crop: bytes, row: dict[str, Any]) -> np.ndarray:
        image = self._cv2.imdecode(np.frombuffer(crop, np.uint8), self._cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"a face crop of {row.get('utterance_id', 'a clip')} is no picture; compute `faces` again")
        return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB)

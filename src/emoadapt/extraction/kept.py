"""Outputs of frozen backbones, computed once per clip and kept like features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.extraction.recipes import list_versions
from emoadapt.extraction.shards import extract_here
from emoadapt.features.base import Extraction, guard
from emoadapt.flow.rows import Counts, Recipe, compute_shard
from emoadapt.machine.torch_device import find_device
from emoadapt.weights.registry import identity

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from emoadapt.config import Study
    from emoadapt.layers.speech import SpeechBackbone

LIBRARIES = ("torch", "transformers")
"""Whose versions decide a row."""


def keep_shard(
    study: Study, kind: str, backbone: str, model: Path | None, audio: Path, output: Path, code: str, threads: int
) -> Counts:
    """Compute a kept output for a shard.

    Args:
        study: the study.
        kind: `frontend`, or `layers`.
        backbone: its name.
        model: folder of a Stage-1 model that it is computed with; None for the backbone as it is.
        audio: AUDIO shard.
        output: table to write, one of `schema.KEPT`.
        code: digest of the code that decides it.
        threads: threads the job may use.
    """
    from emoadapt.backbones.base import load_backbone

    config, extractor_class = study.backbones[backbone], EXTRACTORS[kind]
    weights = [(str(model.absolute()), None)] if model else config.list_weights()
    recipe = Recipe(
        f"{kind}.{backbone}",
        config.describe_kept(kind),
        code,
        " ".join(identity(name, study.weights_folder, revision) for name, revision in weights) or "untrained",
        list_versions(study, *LIBRARIES),
    )

    def build() -> _KeptExtractor:
        import torch

        torch.set_num_threads(threads)
        return extractor_class(load_backbone(config, study.weights_folder, model).to(find_device(study.device)))

    extraction = Extraction(extractor_class.table, ("audio",))
    return compute_shard(output, {"audio": audio}, extraction, lambda chunks: extract_here(build, chunks), recipe)


class _KeptExtractor:
    """Outputs of one backbone, clip by clip.

    Args:
        backbone: is run as it stands, on the device it is on.
    """

    table: ClassVar[pa.Schema]

    def __init__(self, backbone: SpeechBackbone) -> None:
        self.backbone = backbone.eval()

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The columns of `table` of each row's `audio`."""
        return [guard(self._extract, row) for row in rows]

    def _extract(self, row: dict[str, Any]) -> dict[str, Any]:
        import torch

        samples = np.frombuffer(row["audio"], dtype="<i2").astype(np.float32) / 32768
        with torch.inference_mode():
            return self.run(torch.from_numpy(samples))

    @abstractmethod
    def run(self, clip: torch.Tensor) -> dict[str, Any]:
        """The columns of a clip, (n_samples,)."""


class FrontEndExtractor(_KeptExtractor):
    """float16 frames of the front end."""

    table = schema.FRONTEND

    def run(self, clip: torch.Tensor) -> dict[str, Any]:
        """`frontend`, `n_frames` and `dimension`."""
        import torch

        frames, _ = self.backbone.encode_cnn([clip])
        halves = frames[0].to(torch.float16).cpu().numpy()
        if not np.isfinite(halves).all():
            raise ClipError(
                "frontend_overflow", f"front-end output of {float(frames.abs().max()):.3g} does not fit float16"
            )
        return {"frontend": halves.astype("<f2").tobytes(), "n_frames": len(halves), "dimension": halves.shape[1]}


class LayersExtractor(_KeptExtractor):
    """float32 mean over time of each layer."""

    table = schema.LAYERS

    def run(self, clip: torch.Tensor) -> dict[str, Any]:
        """`layers`, `n_frames` and `dimension`."""
        layers = self.backbone.embed_layers([clip])[0].float().cpu().numpy()
        if not np.isfinite(layers).all():
            raise ClipError("layers_not_finite", "a layer of the backbone is not finite")
        return {"layers": layers.astype("<f4").tobytes(), "n_frames": len(layers), "dimension": layers.shape[1]}


EXTRACTORS: dict[str, type[_KeptExtractor]] = {"frontend": FrontEndExtractor, "layers": LayersExtractor}
"""Kind of kept output -> its extractor."""

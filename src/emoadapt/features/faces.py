"""Square crops of one person's faces (Goncalves & Busso 2025, III-C)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from emoadapt import schema
from emoadapt.errors import ConfigError
from emoadapt.features.base import Context, Extractor, FeatureSection, Network
from emoadapt.plugins import check_plugin, collect_declarations, read_declaration, read_declarations

INPUTS = ("manifest",)
TERMS = None
READS_MEDIA = True
MODALITIES = ("video",)
CHUNK_ROWS = 8
JOB = {"memory_mb": 3000, "memory_mb_per_thread": 1000, "minutes": 720}

TABLE = schema.make_feature_table(
    schema.column("n_frames", pa.int32(), "video frames looked at"),
    schema.column("frame_seconds", pa.list_(pa.float32()), "(n_faces,) s, presentation time of each frame with a face"),
    schema.column(
        "boxes",
        pa.list_(pa.list_(pa.float32(), 4)),
        "(n_faces, 4) x0 y0 x1 y1 of the face kept, pixels of the frame",
    ),
    schema.column(
        "scores",
        pa.list_(pa.float32()),
        "(n_faces,) detector confidence, in the detector's own scale; of a carried box the smaller of its two detections'",
    ),
    schema.column(
        "detected",
        pa.list_(pa.bool_()),
        "(n_faces,) False where the box is carried over from the detections before and after",
    ),
    schema.column(
        "n_candidates",
        pa.list_(pa.int32()),
        "(n_faces,) faces seen in that frame; with `search: near` newcomers only where all was searched",
    ),
    schema.column("crops", pa.list_(pa.binary()), "(n_faces,) JPEG or PNG, square RGB crop of crop_size x crop_size"),
)

REQUIRED = ("WEIGHTS", "STATE", "GPU", "HONOURS")
"""What the module of a detector must declare, as literals; `emoadapt.detectors.base` says what it means."""


class Config(FeatureSection):
    """Face detection and cropping."""

    detector: str = "mtcnn"
    """A module of `emoadapt.detectors`. `mtcnn` is the paper's; `haar` needs no weights."""
    weights: str | None = None
    """File or folder of the detector's weights, relative to `models_dir`; null = the registry's name for it."""
    fps: Literal["native"] | Annotated[float, Field(gt=0)] = "native"
    """Frames per second to use. `native`: every frame (the paper)."""
    detect_every: int = Field(1, ge=1, le=25)
    """Detect faces in every n-th frame. Boxes are carried over the frames between if the detections before and after agree (each
    face overlaps its own by half); otherwise these frames are searched too."""
    search: Literal["full", "near"] = "full"
    """`full`: search whole frames. `near`: search near known faces and for their sizes; whole frames are still searched at the start,
    every 16th time, and where a face is doubtful or lost. The boxes equal those of `full`; new faces are found, and counted in
    `n_candidates`, only in whole frames. `near` needs MTCNN and saves time on CPUs; on GPUs the batches of `full` are faster."""
    several: Literal["follow", "largest"] = "follow"
    """Clips with several faces. `follow`: keep the person, tracked by place and size, whose faces have the largest total area.
    `largest`: keep the largest face of each frame. Both note the clip (`several_faces`)."""
    min_score: float | None = None
    """Smallest detector confidence; null = the detector's own default."""
    min_face: int | None = Field(None, ge=12, le=1000)
    """Side in pixels of the smallest face to detect. null: the detector's default (MTCNN 20, Haar 32). Larger is faster."""
    margin: float = Field(0.0, ge=0, le=1)
    """Widening of the square crop on each side, as a fraction of its side."""
    crop_size: int = Field(224, ge=32, le=512)
    """Side of the stored crop in pixels."""
    crop_format: Literal["jpeg", "png"] = "jpeg"
    """Format of stored crops: JPEG of quality 95, or PNG, which is lossless and four times as large."""
    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are set aside (`too_long`) without being decoded; a segment counts by its own length."""

    @field_validator("detector")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            declared = read_declarations("detectors", check_plugin("detectors", value))
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if lacking := [name for name in REQUIRED if name not in declared]:
            raise ValueError(f"face detector {value} does not declare {', '.join(lacking)}; see docs/add-a-detector.md")
        return value

    @model_validator(mode="after")
    def _honoured(self) -> Config:
        wanted = [*(["min_face"] if self.min_face is not None else []), *(["search"] if self.search == "near" else [])]
        for key in wanted:
            able = [name for name, keys in collect_declarations("detectors", "HONOURS").items() if key in keys]
            if self.detector not in able:
                raise ValueError(
                    f"{key}: {self.detector} has no such setting; leave the key out, or use {' or '.join(able)}"
                )
        return self

    def describe_network(self) -> Network:
        """The detector, with its usual weights or others."""
        weights = self.weights or self._read("WEIGHTS")
        state, stand_in = self._read("STATE"), self._read("STAND_IN")
        carried = weights is None and state == "pretrained"
        return Network("face detection", self.detector, state, weights, carried, stand_in=stand_in)

    def list_modules(self) -> tuple[str, ...]:
        """The detector's."""
        return (f"emoadapt.detectors.{self.detector}",)

    def needs_gpu(self) -> bool:
        """Whether the detector does."""
        return bool(self._read("GPU"))

    def runs_parallel(self) -> bool:
        """Yes."""
        return True

    def _read(self, constant: str) -> Any:
        """What the detector declares."""
        return read_declaration("detectors", self.detector, constant)


def load(config: Config, context: Context) -> Extractor:
    """Load the detector.

    Raises:
        ModelError: its weights or its library are missing.
    """
    from emoadapt.faces.cropping import FacesExtractor

    return FacesExtractor(config, context)

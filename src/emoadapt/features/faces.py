"""Square crops of one person's faces (Goncalves & Busso 2025, III-C)."""

from __future__ import annotations

from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.faces.sections import DetectorSection
from emoadapt.features.base import Context, Extractor

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


class Config(DetectorSection):
    """Face detection and cropping."""

    KIND, ROLE, OPTIONAL = "detectors", "face detection", ("min_face", "search")

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


def load(config: Config, context: Context) -> Extractor:
    """Load the detector.

    Raises:
        ModelError: its weights or its library are missing.
    """
    from emoadapt.faces.cropping import FacesExtractor

    return FacesExtractor(config, context)

"""Facial landmarks of each video frame, and measures of the expression.

There are 68 (Goncalves & Busso 2022, 3.2 and 3.3).
"""

from __future__ import annotations

from pathlib import Path
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
JOB = {"memory_mb": 2000, "memory_mb_per_thread": 1000, "minutes": 720}

TABLE = schema.make_feature_table(
    schema.column("n_frames", pa.int32(), "video frames looked at"),
    schema.column("frame_seconds", pa.list_(pa.float32()), "(n_faces,) s, presentation time of each frame with a face"),
    schema.column("n_candidates", pa.list_(pa.int32()), "(n_faces,) faces seen in that frame"),
    schema.column(
        "landmarks",
        pa.binary(),
        "(n_faces, 68, 2) float32 little-endian row-major, x and y in pixels of the frame as shown, in the order of 300-W (iBUG): jaw "
        "0-16, right brow 17-21, left brow 22-26, nose bridge 27-30, nostrils 31-35, right eye 36-41, left eye 42-47, mouth 48-67",
    ),
    schema.column(
        "yaw", pa.list_(pa.float32()), "(n_faces,) degrees by which the head is turned to a side; 0 = frontal"
    ),
    schema.column(
        "coefficients",
        pa.binary(),
        "(n_faces, n_coefficients) float32 little-endian row-major, what the detector measures of the expression: `mediapipe` "
        "blendshapes from 0 to 1; `openface_csv` 1 where an action unit is present, else 0",
    ),
    schema.column("coefficient_names", pa.list_(pa.string()), "(n_coefficients,) names, those of the detector"),
)


class Config(DetectorSection):
    """Facial landmarks and measures of the expression, of one person in a clip."""

    KIND, ROLE = "landmarkers", "face landmarks"
    OPTIONAL = ("weights", "folder", "fps", "max_faces", "min_score", "max_seconds")

    detector: str = "mediapipe"
    """A module of `emoadapt.landmarkers`. `mediapipe`: MediaPipe's face landmarker. `openface_csv`: read what OpenFace 2.0, the paper's tool,
    wrote in a run of yours."""
    weights: str | None = None
    """File of the detector's weights, relative to `models_dir`; null = the registry's name for it."""
    folder: str = "openface"
    """Folder of OpenFace's CSV files: `<folder>/<corpus>/<clip>.csv` or `<folder>/<clip>.csv` for the clip `<clip>.mp4`, with the subfolders
    that the clip has. A change of any file reads all of them again."""
    fps: Literal["native"] | Annotated[float, Field(gt=0)] = "native"
    """Frames per second to use. `native`: every frame (the paper)."""
    max_faces: int = Field(3, ge=1, le=20)
    """Faces to look for in a frame."""
    several: Literal["follow", "largest"] = "follow"
    """Clips with several faces: as `features.faces.several`."""
    min_score: float | None = Field(None, ge=0, le=1)
    """Smallest confidence of a face; null = the detector's own default."""
    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are set aside (`too_long`) without being decoded; a segment counts by its own length."""

    def find_files(self) -> tuple[Path, str] | None:
        """The CSV files."""
        return (Path(self.folder), "*.csv") if "folder" in (self._read("HONOURS") or ()) else None


def load(config: Config, context: Context) -> Extractor:
    """Load the detector.

    Raises:
        ModelError: its weights or its library are missing.
    """
    from emoadapt.faces.landmarks import LandmarksExtractor

    return LandmarksExtractor(config, context)

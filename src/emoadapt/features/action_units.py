"""Action units detected in a clip, and the emotion that they show by EMFACS (Goncalves & Busso 2022, 3.3).

They are read from the coefficients of `landmarks`: MediaPipe's blendshapes, or what OpenFace 2.0, the paper's tool, wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from emoadapt import schema
from emoadapt.features.base import Context, Extractor, FeatureSection, guard
from emoadapt.storage.notes import join_notes

INPUTS = ("landmarks",)
TERMS = None
CHUNK_ROWS = 64
JOB = {"memory_mb": 1500, "minutes": 60}

TABLE = schema.make_feature_table(
    schema.column(
        "action_units",
        pa.list_(pa.float32()),
        "(n_units,) share of the frames with a face in which each unit is detected",
    ),
    schema.column("units", pa.list_(pa.int32()), "(n_units,) numbers of the action units (FACS)"),
    schema.column(
        "emotion",
        pa.list_(pa.float32(), 5),
        "(5,) 1 for the emotion that the units show, else 0: happiness, sadness, surprise, anger, other",
    ),
    schema.column("emotion_label", pa.string(), "its name"),
)


class Config(FeatureSection):
    """Action units, and the emotion that they show."""

    thresholds: dict[int, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    """Smallest blendshape of a frame in which an action unit counts as detected, by its number; units that are not named keep the
    default (docs/extraction.md). OpenFace decides by itself."""
    cheek_raiser: Literal["squint_in_smile", "cheekSquint"] = "squint_in_smile"
    """Blendshapes that stand for AU6. `cheekSquint`: the one of that name, which MediaPipe leaves at 0, so that no clip shows happiness.
    `squint_in_smile`: the smaller of `eyeSquint` and `mouthSmile`: eyes that narrow in a smile. OpenFace measures AU6 by itself."""
    min_detected: float = Field(0.0, ge=0, lt=1)
    """An action unit is present in a clip if it is detected in a larger share of the frames with a face. 0: in any frame."""
    min_seen: float = Field(0.5, ge=0, le=1)
    """Smallest share of the frames that must show the face; other clips have no value (`face_seldom`)."""

    @field_validator("thresholds")
    @classmethod
    def _units(cls, value: dict[int, float]) -> dict[int, float]:
        from emoadapt.faces.action_units import THRESHOLDS

        if wrong := sorted(value.keys() - THRESHOLDS.keys()):
            raise ValueError(f"AU{wrong[0]} is not measured; choose from {', '.join(map(str, THRESHOLDS))}")
        return value


class ActionUnitsExtractor:
    """Detects the units of each clip."""

    def __init__(self, config: Config) -> None:
        from emoadapt.faces.action_units import THRESHOLDS

        self.config = config
        self.thresholds = THRESHOLDS | config.thresholds

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Units and emotion from each row's `coefficients`.

        A tie between emotions goes to the first one, with the note `tied`.
        """
        return [guard(self._detect, row) for row in rows]

    def _detect(self, row: dict[str, Any]) -> dict[str, Any]:
        from emoadapt.faces.action_units import EMOTIONS, detect_units, match_emotion
        from emoadapt.faces.traces import read_coefficients, refuse_seldom

        refuse_seldom(row, self.config.min_seen)
        detected = detect_units(
            row["coefficient_names"], read_coefficients(row), self.thresholds, self.config.cheek_raiser
        )
        shares = {unit: float(seen.mean()) for unit, seen in detected.items()}
        emotion, *others = match_emotion(shares, self.config.min_detected)
        tie = f"tied: {emotion}, {', '.join(others)}; the first is taken" if others else None
        return {
            "reason": join_notes([tie]),
            "action_units": [*shares.values()],
            "units": [*shares],
            "emotion": [float(name == emotion) for name in EMOTIONS],
            "emotion_label": emotion,
        }


def load(config: Config, context: Context) -> Extractor:
    """An extractor."""
    return ActionUnitsExtractor(config)

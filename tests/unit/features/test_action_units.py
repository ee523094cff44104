"""Action units from blendshapes and from OpenFace, and the emotions that they show, worked out by hand."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.errors import ModelError
from emoadapt.faces.action_units import BLENDSHAPES, EMFACS, EMOTIONS, THRESHOLDS, match_emotion
from emoadapt.features.action_units import TABLE, Config, load
from emoadapt.features.base import Context
from emoadapt.features.landmarks import Config as LandmarksConfig
from emoadapt.features.landmarks import load as load_landmarks


def detect(frames: list[dict[str, float]], n_frames: int | None = None, **keys: Any) -> dict[str, Any]:
    """The row of a clip whose frames have these coefficients, and 0 for others."""
    if any(name.startswith("AU") for frame in frames for name in frame):
        names = [f"AU{unit:02d}_c" for unit in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)]
    else:
        sides = [f"{shape}{side}" for shape in BLENDSHAPES.values() for side in ("Left", "Right")]
        names = ["_neutral", "browInnerUp", "jawOpen", "mouthPucker", "mouthShrugLower", *sides]
    values = np.array([[frame.get(name, 0.0) for name in names] for frame in frames], "<f4")
    row = {
        "coefficients": values.tobytes(), "coefficient_names": names, "n_frames": n_frames or len(frames),
        "frame_seconds": [0.1 * number for number in range(len(frames))],
    }  # fmt: skip
    (found,) = load(Config(**keys), Context(None)).extract([row])
    return found


def share(row: dict[str, Any], unit: int) -> float:
    return row["action_units"][row["units"].index(unit)]


@pytest.mark.parametrize(
    ("shares", "emotions"),
    [
        ({6: 0.1, 12: 0.1}, ("happiness",)),
        ({1: 0.2, 15: 0.1}, ("sadness",)),
        ({4: 0.2, 15: 0.1}, ("sadness",)),
        ({2: 0.2, 26: 0.1}, ("surprise",)),
        ({7: 0.2, 23: 0.1}, ("anger",)),
        # A list is empty, or no pair is of one emotion.
        ({}, ("other",)),
        ({6: 1.0}, ("other",)),
        ({12: 1.0, 15: 1.0, 23: 1.0, 26: 1.0}, ("other",)),
        ({6: 1.0, 15: 1.0}, ("other",)),
        ({9: 1.0, 10: 1.0, 14: 0.3}, ("other",)),
        # AU4 is of sadness and anger: .5 + .3 against .5 + .4.
        ({4: 0.5, 15: 0.3, 23: 0.4}, ("anger",)),
        # The best of each half counts, not the sum over longer lists: .6 + .3 against .3 + .5.
        ({6: 0.6, 12: 0.3, 1: 0.3, 2: 0.3, 5: 0.3, 26: 0.5}, ("happiness",)),
        ({4: 0.5, 15: 0.4, 23: 0.4}, ("sadness", "anger")),
        ({1: 0.25, 15: 0.5, 26: 0.5}, ("sadness", "surprise")),
    ],
)
def test_an_emotion_needs_a_unit_of_each_half(shares: dict[int, float], emotions: tuple[str, ...]) -> None:
    assert match_emotion(shares) == emotions


def test_a_unit_below_the_least_share_is_not_present() -> None:
    shares = {6: 0.9, 12: 0.05, 1: 0.2, 15: 0.1}
    assert match_emotion(shares) == ("happiness",) and match_emotion(shares, 0.05) == ("sadness",)
    assert match_emotion(shares, 0.1) == ("other",)


def test_the_table_of_emotions_is_that_of_the_paper() -> None:
    assert EMFACS == {
        "happiness": ((6,), (12,)), "sadness": ((1, 4), (15,)), "surprise": ((1, 2, 5), (26,)), "anger": ((4, 5, 7), (23,)),
    }  # fmt: skip
    assert EMOTIONS == ("happiness", "sadness", "surprise", "anger", "other")
    assert TABLE.field("emotion").type.list_size == 5 and BLENDSHAPES.keys() == THRESHOLDS.keys()


def test_shares_are_of_frames_with_left_and_right_averaged() -> None:
    smile = {"mouthSmileLeft": 0.3, "mouthSmileRight": 0.5}
    row = detect([smile, {"mouthSmileLeft": 0.7}, {"browInnerUp": 0.5}, {}])
    # .4 is at the threshold, .35 is not.
    assert share(row, 12) == 0.25 and share(row, 1) == 0.25 and sum(row["action_units"]) == 0.5
    assert row["emotion_label"] == "other" and row["emotion"] == [0, 0, 0, 0, 1] and row["reason"] is None
    assert share(detect([smile, {"mouthSmileLeft": 0.7}, {}, {}], thresholds={12: 0.35}), 12) == 0.5


def test_happiness_is_eyes_that_narrow_in_a_smile() -> None:
    """MediaPipe's own cheekSquint stays at 0, whatever the face does."""
    smile = {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}
    squint = {"eyeSquintLeft": 0.4, "eyeSquintRight": 0.4}
    assert detect([smile | squint, {}])["emotion_label"] == "happiness"
    assert detect([smile, squint])["emotion_label"] == "other"
    assert detect([smile | squint], cheek_raiser="cheekSquint")["emotion_label"] == "other"
    cheeks = {"cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}
    assert detect([smile | cheeks], cheek_raiser="cheekSquint")["emotion"] == [1, 0, 0, 0, 0]


def test_ties_are_noted_and_go_to_the_first() -> None:
    row = detect([{"browDownLeft": 1.0, "browDownRight": 1.0, "mouthFrownLeft": 1.0, "mouthPressLeft": 1.0}])
    assert row["emotion_label"] == "sadness" and row["reason"] == "tied: sadness, anger; the first is taken"


def test_what_openface_decided_is_taken_as_it_is() -> None:
    row = detect(
        [{"AU06_c": 1, "AU12_c": 1}, {"AU12_c": 1}, {"AU45_c": 1}, {}], thresholds={12: 1.0}, cheek_raiser="cheekSquint"
    )
    assert row["emotion_label"] == "happiness" and share(row, 12) == 0.5 and share(row, 6) == 0.25
    assert row["units"] == [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26], (
        "AU28 and AU45 are of neither half"
    )


def test_a_detector_that_measures_neither_is_named() -> None:
    row = {
        "coefficients": np.ones(1, "<f4").tobytes(),
        "coefficient_names": ["brightness"],
        "n_frames": 1,
        "frame_seconds": [0.0],
    }
    with pytest.raises(ModelError, match="the landmark detector measures no browInnerUp; choose one"):
        load(Config(), Context(None)).extract([row])


def test_a_face_that_is_seldom_seen_shows_no_emotion() -> None:
    assert detect([{"browInnerUp": 1.0}], 3) == {"status": "absent", "reason": "face_seldom: a face in 1 of 3 frames"}


def test_rows_fit_the_table_and_unknown_units_are_refused() -> None:
    row = {"utterance_id": "c/x", "key": "k", "status": "ok", **detect([{"browInnerUp": 1.0}])}
    assert pa.Table.from_pylist([row], schema=schema.feature_table("action_units")).num_rows == 1
    with pytest.raises(ValueError, match="AU45 is not measured; choose from 1, 2, 4"):
        Config(thresholds={45: 0.2})


needs_clips = pytest.mark.skipif(
    not os.environ.get("EMOADAPT_DATA") or not os.environ.get("EMOADAPT_MODELS") or find_spec("mediapipe") is None,
    reason="no real clips, weights or MediaPipe",
)


def follow(clip: str, **segment: float) -> dict[str, Any]:
    """Row of the landmarks of a real clip."""
    extractor = load_landmarks(LandmarksConfig(), Context(Path(os.environ["EMOADAPT_MODELS"])))
    path = Path(os.environ["EMOADAPT_DATA"], "clips", f"{clip}.mp4")
    (row,) = extractor.extract([{"path": path, "media": path.name, "utterance_id": f"clips/{clip}", **segment}])
    return row


@needs_clips
@pytest.mark.parametrize(
    ("clip", "emotion", "units"),
    [
        ("W040_level_3_happy_029", "happiness", {6, 12}),
        ("W023_level_2_surprised_010", "surprise", {1, 2, 5}),
        ("M030_sad_3_001", "sadness", {15}),
    ],
)
def test_actors_of_mead_show_what_they_play(clip: str, emotion: str, units: set[int]) -> None:
    (row,) = load(Config(), Context(None)).extract([follow(clip)])
    assert row["emotion_label"] == emotion and all(share(row, unit) > 0.5 for unit in units)


@needs_clips
def test_a_segment_of_a_real_clip_has_the_frames_of_the_whole() -> None:
    whole, part = follow("W023_level_2_surprised_010"), follow("W023_level_2_surprised_010", start=0.75, end=1.75)
    seconds = np.array(whole["frame_seconds"])
    chosen = (seconds >= 0.75) & (seconds < 1.75)
    expected, found = (np.frombuffer(row["landmarks"], "<f4").reshape(-1, 68, 2) for row in (whole, part))
    assert part["n_frames"] == chosen.sum() == 25 and part["frame_seconds"] == pytest.approx(seconds[chosen])
    np.testing.assert_allclose(found, expected[chosen], atol=1e-3)

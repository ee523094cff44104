"""Action units of the face (FACS), and the emotions that they show (EMFACS)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from emoadapt.errors import ModelError

BLENDSHAPES: dict[int, str] = {
    1: "browInnerUp", 2: "browOuterUp", 4: "browDown", 5: "eyeWide", 6: "cheekSquint", 7: "eyeSquint", 9: "noseSneer",
    10: "mouthUpperUp", 12: "mouthSmile", 14: "mouthDimple", 15: "mouthFrown", 17: "mouthShrugLower", 18: "mouthPucker",
    20: "mouthStretch", 23: "mouthPress", 24: "mouthPress", 25: "jawOpen", 26: "jawOpen",
}  # fmt: skip
"""Action unit -> blendshape of ARKit that stands for it; of one with a left and a right side the mean."""

THRESHOLDS: dict[int, float] = {
    1: 0.5, 2: 0.5, 4: 0.35, 5: 0.1, 6: 0.3, 7: 0.55, 9: 0.5, 10: 0.3, 12: 0.4, 14: 0.2, 15: 0.1, 17: 0.2, 18: 0.5, 20: 0.1,
    23: 0.25, 24: 0.25, 25: 0.1, 26: 0.25,
}  # fmt: skip
"""Action unit -> smallest coefficient of a frame in which it counts as detected. They are ours, since MediaPipe states
none: of 6,245 frames of 49 clips between 1 % (AU14) and 31 % (AU25) reach them, most often 3 to 10 %, but none AU9."""

EMFACS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "happiness": ((6,), (12,)),
    "sadness": ((1, 4), (15,)),
    "surprise": ((1, 2, 5), (26,)),
    "anger": ((4, 5, 7), (23,)),
}
"""Emotion -> its action units of the upper and of the lower face (G22, Table 1)."""

EMOTIONS = (*EMFACS, "other")
"""Order of the classes of the target."""


def detect_units(
    names: Sequence[str], coefficients: np.ndarray, thresholds: Mapping[int, float], cheek_raiser: str
) -> dict[int, np.ndarray]:
    """Action unit -> whether it is detected, (n_frames,) boolean.

    Args:
        names: of the coefficients: ARKit's blendshapes, or OpenFace's `AU01_c`, whose decision is taken as it is.
        coefficients: (n_frames, n_coefficients).
        thresholds: action unit -> smallest coefficient, of blendshapes.
        cheek_raiser: as `features.action_units.cheek_raiser`.

    Raises:
        ModelError: the coefficients are neither.
    """
    found = {name: coefficients[:, number] for number, name in enumerate(names)}
    if any(name.startswith("AU") for name in names):
        units = {int(name[2:4]): values > 0.5 for name, values in found.items()}
        return {unit: units[unit] for unit in sorted(units) if unit in BLENDSHAPES}
    if lacking := [shape for shape in BLENDSHAPES.values() if not {shape, f"{shape}Left"} & found.keys()]:
        raise ModelError(
            f"features.action_units: the landmark detector measures no {lacking[0]}; choose one that gives ARKit's blendshapes "
            "(mediapipe) or action units (openface_csv)"
        )
    strength = {unit: _read_shape(found, shape) for unit, shape in BLENDSHAPES.items()}
    if cheek_raiser == "squint_in_smile":
        strength[6] = np.minimum(strength[7], strength[12])
    return {unit: values >= thresholds[unit] for unit, values in strength.items()}


def _read_shape(found: Mapping[str, np.ndarray], shape: str) -> np.ndarray:
    if shape in found:
        return found[shape]
    return (found[f"{shape}Left"] + found[f"{shape}Right"]) / 2


def match_emotion(shares: Mapping[int, float], min_detected: float = 0.0) -> tuple[str, ...]:
    """Find the emotion whose action units were seen, by EMFACS (G22, 3.3).

    An emotion matches with one of its units of the upper face present and one of the lower face. Of several matches the one whose best
    pair, its most frequent unit of each half, was seen most often is taken.

    Args:
        shares: action unit -> share of the frames in which it is detected; a unit that is not measured counts as never seen.
        min_detected: a unit is present if its share is larger.

    Returns:
        One emotion; several if they are tied; `other` if none matches.
    """
    scores = {}
    for emotion, halves in EMFACS.items():
        best = [max(shares.get(unit, 0.0) for unit in units) for units in halves]
        if min(best) > min_detected:
            scores[emotion] = sum(best)
    most = max(scores.values(), default=0.0)
    return tuple(emotion for emotion, score in scores.items() if score == most) or ("other",)

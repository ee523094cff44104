"""A talking face: the portrait from scikit-image, warped by identity, expression and loudness.

Coordinates are (right, down) in pixels of the portrait's crop, `_CROP`; the landmarks were read off by eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from emoadapt.demo.plan import PlannedClip
from emoadapt.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FRAME_SIZE = 160
"""Width and height of a frame, pixels."""

FRAME_RATE = 5
"""Frames per second: a face for each syllable or so. Each one costs making, decoding and searching."""

_CROP = (slice(0, 212), slice(116, 336))
_CENTRE = (110.0, 108.0)
_SCALE = FRAME_SIZE / 192

# Control points: name -> (x, y, spread in x, spread in y); what a point moves fades as a Gaussian around it.
_POINTS = {
    "left_corner": (88.0, 140.4, 10.0, 9.0),
    "right_corner": (128.0, 141.6, 10.0, 9.0),
    "left_inner_brow": (96.0, 91.0, 8.0, 7.0),
    "right_inner_brow": (123.0, 92.0, 8.0, 7.0),
    "left_outer_brow": (76.0, 89.0, 9.0, 7.0),
    "right_outer_brow": (145.0, 94.0, 9.0, 7.0),
    "left_lid": (86.6, 97.5, 7.0, 4.0),
    "right_lid": (130.4, 99.5, 7.0, 4.0),
    "lower_lip": (108.0, 153.0, 17.0, 8.0),
    "chin": (111.0, 174.0, 26.0, 15.0),
    "left_cheek": (72.0, 135.0, 14.0, 24.0),
    "right_cheek": (152.0, 137.0, 14.0, 24.0),
    "nose": (109.0, 127.0, 10.0, 10.0),
    "left_eye": (86.6, 101.2, 14.0, 10.0),
    "right_eye": (130.4, 103.4, 14.0, 10.0),
}
_MOUTH = (108.0, 146.0)


@dataclass(frozen=True)
class Identity:
    """What makes a voice's face its own."""

    mirrored: bool
    stretch: tuple[float, float]
    """Horizontal and vertical."""
    tint: tuple[float, float, float]
    """Factors on red, green, blue."""
    gamma: float
    jaw: float
    """Pixels by which each cheek is moved outwards."""
    eyes: float
    """Pixels by which each eye is moved outwards."""
    nose: float
    """Pixels by which the nose is lowered."""


def draw_identity(voice: int) -> Identity:
    """Face that belongs to a voice, the same in every corpus."""
    random = Random(f"face of voice {voice}")
    return Identity(
        mirrored=bool(random.getrandbits(1)),
        stretch=(random.uniform(0.92, 1.08), random.uniform(0.94, 1.08)),
        tint=(random.uniform(0.85, 1.1), random.uniform(0.85, 1.05), random.uniform(0.75, 1.15)),
        gamma=random.uniform(0.8, 1.25),
        jaw=random.uniform(-3, 4),
        eyes=random.uniform(-2, 2.5),
        nose=random.uniform(-2, 3),
    )


def draw_frames(clip: PlannedClip, loudness: NDArray[np.floating]) -> Iterator[NDArray[np.uint8]]:
    """Frames of a planned clip.

    Args:
        clip: the plan.
        loudness: (n_frames,) in [0, 1], how far the mouth is open.

    Yields:
        (160, 160, 3) uint8 RGB, one per value of `loudness`.
    """
    identity = draw_identity(clip.voice)
    noise = np.random.default_rng(clip.seed)
    phase = noise.uniform(0, 2 * np.pi, 3)
    colours = np.array(identity.tint, np.float32) * clip.expression.brightness * 255
    for number, openness in enumerate(loudness):
        sway = 1.2 * np.sin(2 * np.pi * np.array([0.4, 0.55, 0.3]) * number / FRAME_RATE + phase)
        face = _warp_face(_find_displacements(clip, identity, float(openness)), float(openness))
        picture = cv2.warpAffine(
            face,
            _place_head(clip, identity, sway),
            (FRAME_SIZE, FRAME_SIZE),
            flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_REFLECT,
        )
        picture = picture**identity.gamma * colours + noise.normal(0, 2, (FRAME_SIZE, FRAME_SIZE, 1))
        yield np.clip(picture, 0, 255).astype(np.uint8)


def measure_loudness(samples: NDArray[np.floating], sample_rate: int) -> NDArray[np.floating]:
    """How far the mouth is open in each frame.

    Args:
        samples: (n_samples,) audio.
        sample_rate: Hz.

    Returns:
        (n_frames,) in [0, 1]: root mean square within a frame, relative to the clip's loud frames.
    """
    hop = sample_rate // FRAME_RATE
    frames = np.pad(samples, (0, -len(samples) % hop)).reshape(-1, hop)
    rms = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    return np.clip(rms / max(np.percentile(rms, 90), 1e-6), 0, 1)


def _find_displacements(clip: PlannedClip, identity: Identity, openness: float) -> dict[str, tuple[float, float]]:
    """Where each control point goes, (right, down)."""
    expression = clip.expression
    return {
        "left_corner": (-expression.width, expression.corners),
        "right_corner": (expression.width, expression.corners),
        "left_inner_brow": (expression.frown, expression.inner_brows),
        "right_inner_brow": (-expression.frown, expression.inner_brows),
        "left_outer_brow": (0.0, expression.outer_brows),
        "right_outer_brow": (0.0, expression.outer_brows),
        "left_lid": (0.0, expression.lids),
        "right_lid": (0.0, expression.lids),
        # The portrait smiles with its teeth shown: a mouth at rest is 5 pixels more closed than that.
        "lower_lip": (0.0, 10.0 * openness - 5.0 - 0.25 * expression.corners),
        "chin": (0.0, 5.0 * openness),
        "left_cheek": (-identity.jaw, 0.0),
        "right_cheek": (identity.jaw, 0.0),
        "nose": (0.0, identity.nose),
        "left_eye": (-identity.eyes, 0.0),
        "right_eye": (identity.eyes, 0.0),
    }


def _warp_face(displacements: dict[str, tuple[float, float]], openness: float) -> NDArray[Any]:
    """(212, 220, 3) float32 in [0, 1]."""
    portrait, across, down, weights, mouth = _prepare_portrait()
    moves = np.array([displacements[name] for name in _POINTS], np.float32)
    field = np.tensordot(moves, weights, axes=(0, 0))
    # The inside of an open mouth is dark; it is painted before the warp so that it stretches with the lips.
    painted = portrait * (1 - openness * mouth * np.array([0.45, 0.62, 0.6], np.float32))
    return cv2.remap(painted, across - field[0], down - field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _place_head(clip: PlannedClip, identity: Identity, sway: NDArray[np.floating]) -> NDArray[np.floating]:
    """(2, 3) affine matrix from the crop to the frame."""
    expression = clip.expression
    rotation = cv2.getRotationMatrix2D(_CENTRE, expression.roll + float(sway[2]), _SCALE * expression.zoom)
    shape = np.diag([*identity.stretch, 1.0])
    if identity.mirrored:
        shape[0, 0] *= -1
    to_origin = np.array([[1, 0, -_CENTRE[0]], [0, 1, -_CENTRE[1]], [0, 0, 1]])
    matrix = np.vstack([rotation, [0, 0, 1]]) @ np.linalg.inv(to_origin) @ shape @ to_origin
    matrix[:2, 2] += FRAME_SIZE / 2 - np.array(_CENTRE) + np.array(expression.shift) + sway[:2]
    return matrix[:2]


def _find_portrait() -> Path:
    """The file in scikit-image's wheel. Its own reader takes a second to import.

    Raises:
        ModelError: scikit-image is not installed, or lacks it.
    """
    found = find_spec("skimage")
    path = Path(found.origin if found and found.origin else "").with_name("data") / "astronaut.png"
    if not path.is_file():
        raise ModelError(f"{path}, the face of the demo corpus, is missing; run `pip install 'emoadapt[demo]'`")
    return path


@cache
def _prepare_portrait() -> tuple[NDArray[np.float32], ...]:
    """The crop in [0, 1], pixel coordinates (right, down), a weight map per control point, the mouth's inside."""
    picture: Any = cv2.imread(str(_find_portrait()), cv2.IMREAD_COLOR_RGB)
    portrait = picture[_CROP].astype(np.float32) / 255
    down, across = np.mgrid[: portrait.shape[0], : portrait.shape[1]].astype(np.float32)
    weights = np.stack(
        [np.exp(-(((across - x) / wide) ** 2 + ((down - y) / high) ** 2) / 2) for x, y, wide, high in _POINTS.values()]
    )
    # The teeth's lower edge is an arc that rises towards the corners.
    arc = down + ((across - _MOUTH[0]) / 20) ** 2 * 5
    mouth = np.exp(-((((across - _MOUTH[0]) / 14) ** 2) ** 2 + ((arc - _MOUTH[1]) / 4.0) ** 4))
    return portrait, across, down, weights.astype(np.float32), mouth[..., None].astype(np.float32)

"""Pictures as a player shows them, against layouts worked out by hand."""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from emoadapt.faces.contact_sheet import _draw_frame
from emoadapt.faces.cropping import FacesExtractor
from emoadapt.faces.embedding import FaceEmbeddingExtractor
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.features.base import Context
from emoadapt.features.face_embedding import Config as FaceEmbeddingConfig
from emoadapt.features.faces import Config as FacesConfig
from emoadapt.media import iterate_frames
from emoadapt.media.display import choose_size, choose_turn

COLOURS = {"R": (230, 20, 20), "G": (20, 230, 20), "B": (20, 20, 230), "W": (235, 235, 235)}
STORED = ("RG", "BW")
"""Corners of the stored picture, row by row."""
MATRICES = {
    # a, b, c, d of x' = a x + c y, y' = b x + d y, y downwards; and the corners as shown.
    "plain": ((1, 0, 0, 1), ("RG", "BW")),
    "mirrored": ((-1, 0, 0, 1), ("GR", "WB")),
    "upside down": ((1, 0, 0, -1), ("BW", "RG")),
    "half a turn": ((-1, 0, 0, -1), ("WB", "GR")),
    "transposed": ((0, 1, 1, 0), ("RB", "GW")),
    "clockwise": ((0, 1, -1, 0), ("BR", "WG")),
    "counter-clockwise": ((0, -1, 1, 0), ("GW", "RB")),
    "transposed about the other diagonal": ((0, -1, -1, 0), ("WG", "BR")),
}
LOSSLESS = {"qp": "0", "threads": "1"}


def write_film(path: Path, frames: list[np.ndarray], ratio: Fraction | None = None, codec: str = "libx264") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=LOSSLESS if codec == "libx264" else {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        stream.bit_rate = 8_000_000
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def set_matrix(path: Path, matrix: tuple[float, float, float, float]) -> Path:
    """Write a display matrix into the track header of an MP4 file."""
    a, b, c, d = (struct.pack(">i", round(value * 65536)) for value in matrix)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd")
    at += 8 + (20 if data[at + 4] == 0 else 32) + 16
    data[at : at + 36] = a + b + bytes(4) + c + d + bytes(12) + struct.pack(">i", 1 << 30)
    path.write_bytes(data)
    return path


def paint(corners: tuple[str, str] = STORED, width: int = 96, height: int = 64) -> np.ndarray:
    rows = [np.hstack([np.full((height // 2, width // 2, 3), COLOURS[c], np.uint8) for c in row]) for row in corners]
    return np.vstack(rows)


def read_corners(image: np.ndarray) -> tuple[str, ...]:
    height, width = image.shape[:2]

    def name(y: int, x: int) -> str:
        return min(COLOURS, key=lambda c: np.abs(image[y, x].astype(int) - COLOURS[c]).sum())

    return tuple("".join(name(y, x) for x in (8, width - 8)) for y in (8, height - 8))


def first(path: Path) -> np.ndarray:
    return next(iterate_frames(path))[1]


@pytest.mark.parametrize("name", MATRICES)
def test_each_display_matrix_is_followed(tmp_path: Path, name: str) -> None:
    """Symptom: clips of mirrored front cameras came out upside down."""
    matrix, corners = MATRICES[name]
    image = first(set_matrix(write_film(tmp_path / "a.mp4", [paint()] * 3), matrix))
    assert read_corners(image) == corners
    assert image.shape == ((96, 64, 3) if matrix[0] == 0 else (64, 96, 3))
    assert image.flags.c_contiguous


@pytest.mark.parametrize(
    ("mirrored", "degrees"), list(itertools.product([False, True], [-40, -10, 0, 10, 40, 85, 170, 260]))
)
def test_other_angles_go_to_the_nearest_quarter(mirrored: bool, degrees: int) -> None:
    """A rotation clockwise by the angle, after mirroring left to right."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    sign = -1 if mirrored else 1
    matrix = [round(65536 * value) for value in (sign * cos, sign * sin, -sin, cos)]
    nearest = {-40: 0, -10: 0, 0: 0, 10: 0, 40: 0, 85: 90, 170: 180, 260: 270}[degrees]
    assert choose_turn(tuple(matrix)) == (mirrored, (360 - nearest) // 90 % 4)


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (65536, 0, 65536, 0), None])
def test_a_matrix_without_an_area_changes_nothing(matrix: tuple[int, int, int, int] | None) -> None:
    assert choose_turn(matrix) == (False, 0)


@pytest.mark.parametrize(
    ("stored", "ratio", "shown"),
    [
        ((720, 576), Fraction(64, 45), (1024, 576)),
        ((720, 480), Fraction(8, 9), (720, 540)),
        ((160, 120), Fraction(2), (320, 120)),
        ((640, 360), None, (640, 360)),
        ((640, 360), Fraction(0), (640, 360)),
        ((640, 360), Fraction(1), (640, 360)),
        ((636, 360), Fraction(900, 901), (636, 360)),
        ((640, 360), Fraction(200), (640, 360)),
        ((640, 360), Fraction(1, 200), (640, 360)),
        ((640, 360), Fraction(-2), (640, 360)),
        ((7680, 4320), Fraction(2), (8192, 2304)),
        ((9000, 100), Fraction(3), (9000, 33)),
    ],
)
def test_pixels_become_square_and_none_is_lost(
    stored: tuple[int, int], ratio: Fraction | None, shown: tuple[int, int]
) -> None:
    assert choose_size(*stored, ratio) == shown


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.avi", "mpeg4")]
)
def test_wide_pixels_are_shown_wide(tmp_path: Path, name: str, codec: str) -> None:
    image = first(write_film(tmp_path / name, [paint()] * 5, Fraction(2), codec))
    assert image.shape == (64, 192, 3) and image.flags.c_contiguous
    assert read_corners(image) == STORED
    # The border between the colours is in the middle.
    assert np.abs(image[16, 84].astype(int) - COLOURS["R"]).max() < 40
    assert np.abs(image[16, 108].astype(int) - COLOURS["G"]).max() < 40


def test_wide_pixels_are_widened_before_the_turn(tmp_path: Path) -> None:
    path = set_matrix(write_film(tmp_path / "a.mp4", [paint()] * 3, Fraction(2)), MATRICES["clockwise"][0])
    image = first(path)
    assert image.shape == (192, 64, 3) and read_corners(image) == MATRICES["clockwise"][1]


def test_the_containers_ratio_counts_before_the_codecs(tmp_path: Path) -> None:
    """As in FFmpeg's players: whoever corrects the shape of a film writes it into the container."""
    path = write_film(tmp_path / "a.mp4", [paint()] * 3, Fraction(2))
    data = bytearray(path.read_bytes())
    at = data.index(b"pasp") + 4
    data[at : at + 8] = struct.pack(">II", 3, 1)
    path.write_bytes(data)
    assert first(path).shape == (64, 288, 3)


def test_a_ratio_that_changes_within_the_stream_is_followed(tmp_path: Path) -> None:
    """Television switches between 4:3 and 16:9: a transport stream whose second half has wide pixels."""
    parts = [write_film(tmp_path / f"{k}.ts", [paint()] * 25, r) for k, r in enumerate([Fraction(1), Fraction(2)])]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    widths = [image.shape[1] for _, image in iterate_frames(path)]
    assert widths[0] == 96 and widths[-1] == 192 and widths == sorted(widths)


def test_the_sheet_of_contacts_draws_boxes_on_the_pictures_as_shown(tmp_path: Path) -> None:
    path = set_matrix(write_film(tmp_path / "a.mp4", [paint()] * 3, Fraction(2)), MATRICES["clockwise"][0])
    clip = {"media": "a.mp4", "start": None, "end": None}
    drawn = _draw_frame(cv2, path.parent, clip, 0.0, (10, 120, 50, 180))
    changed = np.argwhere((drawn != first(path)).any(axis=2))
    # Lines are a few pixels wide.
    assert np.abs(changed.min(axis=0) - (120, 10)).max() <= 3
    assert np.abs(changed.max(axis=0) - (180, 50)).max() <= 3


# --- real faces ------------------------------------------------------------------------------------

DATA, MODELS = os.environ.get("EMOADAPT_DATA"), os.environ.get("EMOADAPT_MODELS")
needs_data = pytest.mark.skipif(not DATA or not MODELS, reason="EMOADAPT_DATA or EMOADAPT_MODELS is not set")


def narrow(width: float = 1.0, height: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    def store(image: np.ndarray) -> np.ndarray:
        size = (2 * round(image.shape[1] * width / 2), 2 * round(image.shape[0] * height / 2))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    return store


CAMERAS: dict[str, tuple[tuple[int, int, int, int], Fraction | None, Callable[[np.ndarray], np.ndarray]]] = {
    # Matrix, shape of a pixel, and how the picture is stored, so that it is shown as the plain one.
    "mirrored": ((-1, 0, 0, 1), None, lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), None, lambda image: image[::-1]),
    "half a turn": ((-1, 0, 0, -1), None, lambda image: image[::-1, ::-1]),
    "transposed": ((0, 1, 1, 0), None, lambda image: image.transpose(1, 0, 2)),
    "clockwise": ((0, 1, -1, 0), None, lambda image: np.rot90(image, 1)),
    "counter-clockwise": ((0, -1, 1, 0), None, lambda image: np.rot90(image, -1)),
    "transposed about the other diagonal": ((0, -1, -1, 0), None, lambda i: i.transpose(1, 0, 2)[::-1, ::-1]),
    "PAL wide": ((1, 0, 0, 1), Fraction(64, 45), narrow(width=45 / 64)),
    "NTSC": ((1, 0, 0, 1), Fraction(8, 9), narrow(height=8 / 9)),
    "HDV and clockwise": ((0, 1, -1, 0), Fraction(4, 3), lambda image: narrow(width=3 / 4)(np.rot90(image, 1))),
}


@pytest.fixture(scope="module")
def embed() -> Callable[[Path], np.ndarray]:
    context = Context(Path(MODELS or ""))
    faces = FacesExtractor(FacesConfig(detector="mtcnn", crop_size=96, crop_format="png"), context)
    network = OnnxNetwork(
        file="mini_xception/mini_xception_fer2013.onnx",
        input_size=64,
        colour="grey",
        mean=(0.5,),
        std=(0.5,),
        output="embedding",
    )
    embedder = FaceEmbeddingExtractor(FaceEmbeddingConfig(network=network), context)

    def run(path: Path) -> np.ndarray:
        row: dict[str, Any] = {"utterance_id": "test/a", "path": path, "start": None, "end": None}
        (found,) = faces.extract([row])
        (embedded,) = embedder.extract([row | found])
        return np.array(embedded["face_embedding"])

    return run


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    frames = iterate_frames(Path(DATA or "", "clips", "M030_sad_3_001.mp4"))
    return [frame for _, frame in itertools.islice(frames, 5)]


@needs_data
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_face_is_embedded_as_in_the_plain_picture(
    tmp_path: Path, camera: str, clip: list[np.ndarray], embed: Callable[[Path], np.ndarray]
) -> None:
    """Symptom: with narrow or turned faces, embeddings were as different as another person's."""
    matrix, ratio, store = CAMERAS[camera]
    plain = embed(write_film(tmp_path / "plain.mp4", clip))
    shown = embed(set_matrix(write_film(tmp_path / "a.mp4", [store(image) for image in clip], ratio), matrix))
    assert plain @ shown / np.linalg.norm(plain) / np.linalg.norm(shown) >= 0.99

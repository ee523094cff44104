"""Pictures as a player shows them: turned, mirrored and widened as the file says."""

from __future__ import annotations

from fractions import Fraction
from math import atan2, pi
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IGNORED_STRETCH = 0.01
"""A smaller difference of width and height of a pixel is not worth a resampling. FFmpeg's MP4 reader ignores as much."""
_MOST_STRETCH = 4
"""What claims a higher ratio is damaged: the widest pixels in use are 2:1."""
_LONGEST_SIDE = 8192
"""Pixels; a stretched picture is made smaller where it would be longer than this and than it is stored."""


class Display:
    """How the pictures of one video stream are shown.

    A player multiplies the stored positions by the display matrix. All its turns by quarters and its mirror images are
    followed; any other angle is rounded to the nearest quarter, since a turned picture would get black corners.
    Pixels that are not square are made square by widening or heightening, never by shrinking. As in FFmpeg's players,
    the container's ratio counts before the codec's, and the codec's may change within the stream.

    Args:
        stream: of PyAV, before anything of it is decoded.
    """

    def __init__(self, stream: Any) -> None:
        self._codec = stream.codec_context
        guess = stream.sample_aspect_ratio
        self._container_ratio = guess if guess != self._codec.sample_aspect_ratio else None

    def to_rgb(self, frame: Any) -> NDArray[np.uint8]:
        """The frame as shown, (height, width, 3) uint8 RGB, C-contiguous."""
        ratio = self._container_ratio or self._codec.sample_aspect_ratio
        width, height = choose_size(frame.width, frame.height, ratio)
        # One thread: jobs share the cores, and starting FFmpeg's threads costs more than the conversion.
        size = (
            {}
            if (width, height) == (frame.width, frame.height)
            else {"width": width, "height": height, "interpolation": "BICUBIC"}
        )
        image = frame.to_ndarray(format="rgb24", threads=1, **size)
        mirrored, quarters = choose_turn(_read_matrix(frame))
        if mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, quarters)) if mirrored or quarters else image


def choose_size(width: int, height: int, ratio: Fraction | None) -> tuple[int, int]:
    """Width and height of a picture with square pixels.

    Args:
        width: pixels as stored.
        height: pixels as stored.
        ratio: width of a pixel divided by its height; None, and values that no file means, leave the picture as it is.
    """
    if not ratio or not 1 / _MOST_STRETCH <= ratio <= _MOST_STRETCH or abs(ratio - 1) < _IGNORED_STRETCH:
        return width, height
    wide, high = (width * ratio, Fraction(height)) if ratio > 1 else (Fraction(width), height / ratio)
    shrink = min(Fraction(1), max(_LONGEST_SIDE, width, height) / max(wide, high))
    return max(1, round(wide * shrink)), max(1, round(high * shrink))


def choose_turn(matrix: tuple[int, int, int, int] | None) -> tuple[bool, int]:
    """Whether a picture is mirrored left to right, and by how many quarters it is then turned counter-clockwise.

    Args:
        matrix: a, b, c, d of FFmpeg's display matrix: x' = a x + c y, y' = b x + d y, y downwards. One that maps the
            picture to a line leaves it as it is.
    """
    if matrix is None:
        return False, 0
    a, b, c, d = matrix
    determinant = a * d - b * c
    if not determinant:
        return False, 0
    if determinant < 0:
        a, b = -a, -b
    # The angle of the rotation that is nearest to the matrix.
    return determinant < 0, -round(atan2(b - c, a + d) / (pi / 2)) % 4


def _read_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    from av.sidedata.sidedata import Type

    try:
        data = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:
        # PyAV lists no side data where it does not know one of its types.
        return _ROTATIONS[round(frame.rotation / 90) % 4]
    if data is None or len(bytes(data)) < 36:
        return None
    values = np.frombuffer(data, np.int32, 9).tolist()
    return values[0], values[1], values[3], values[4]


_ROTATIONS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
"""Matrices of turns by 0 to 3 quarters counter-clockwise."""

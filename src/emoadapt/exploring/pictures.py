"""Small pictures of clips: waveform, spectrogram, frame and crops, as text that a page embeds."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.faces.opencv import load_opencv
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_SECONDS = 30.0
"""Waveform and spectrogram show the beginning of longer clips."""
WIDTH, HEIGHT = 320, 96
"""Pixels of a spectrogram."""
_STEPS, _WINDOW, _RANGE_DB = 320, 512, 70.0
_FRAME_HEIGHT, _CROP = 132, 64
_QUALITY = 70


def trace_wave(samples: NDArray[np.int16]) -> str:
    """Outline of a waveform, as the `d` of an SVG path in a box from (0, -100) to (320, 100); full scale is 100."""
    shown = samples[: round(SHOWN_SECONDS * SAMPLE_RATE)]
    parts = np.array_split(shown, min(_STEPS, max(1, len(shown))))
    highs = [max(int(part.max()), 0) * 100 // 32768 for part in parts]
    lows = [min(int(part.min()), 0) * 100 // 32768 for part in parts]
    places = np.linspace(0, WIDTH, len(parts)).round(1).tolist()
    above = " ".join(f"{x:g},{-y}" for x, y in zip(places, highs, strict=True))
    below = " ".join(f"{x:g},{-y}" for x, y in zip(reversed(places), reversed(lows), strict=True))
    return f"M{above} {below}Z"


def draw_spectrogram(samples: NDArray[np.int16]) -> str:
    """Spectrogram, 0 to 8 kHz from bottom to top, 70 dB below its maximum from dark to bright, as a data URI."""
    cv2 = load_opencv()
    shown = samples[: round(SHOWN_SECONDS * SAMPLE_RATE)].astype(np.float32)
    shown = np.pad(shown, (0, max(0, _WINDOW - len(shown))))
    begins = np.linspace(0, len(shown) - _WINDOW, min(2 * WIDTH, len(shown) - _WINDOW + 1)).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(shown, _WINDOW)[begins] * np.hanning(_WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    level = 10 * np.log10(np.maximum(power, power.max() * 10 ** (-_RANGE_DB / 10)) + 1e-9)
    scaled = (level - level.min()) / max(float(np.ptp(level)), 1e-9)
    grey = cv2.resize((255 * scaled.T[::-1]).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return _encode(cv2, cv2.applyColorMap(grey, cv2.COLORMAP_MAGMA))


def shrink_frame(frame: NDArray[np.uint8]) -> str:
    """A frame, (height, width, 3) RGB, of at most 132 pixels height, as a data URI."""
    cv2 = load_opencv()
    height, width = frame.shape[:2]
    scale = min(1.0, _FRAME_HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return _encode(cv2, cv2.cvtColor(small, cv2.COLOR_RGB2BGR))


def shrink_crop(crop: bytes) -> str | None:
    """A crop, JPEG or PNG, of 64 x 64 pixels, as a data URI; None if it cannot be read."""
    cv2 = load_opencv()
    picture = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else _encode(cv2, cv2.resize(picture, (_CROP, _CROP), interpolation=cv2.INTER_AREA))


def _encode(cv2: Any, picture: NDArray[np.uint8]) -> str:
    """A (height, width, 3) BGR picture as a data URI."""
    content = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes()
    return "data:image/webp;base64," + base64.b64encode(content).decode()

"""OpenCV, imported on first use.

The import is slow, and the wheel with windows needs system libraries that servers lack.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from emoadapt.errors import ModelError, explain_missing_library

if TYPE_CHECKING:
    import numpy as np


def load_opencv(threads: int = 1) -> ModuleType:
    """The `cv2` module, limited to so many threads.

    Raises:
        ModelError: it is not installed, or a system library is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise ModelError(
            explain_missing_library(error)
            or f"OpenCV cannot be loaded ({error}); run `pip install --force-reinstall 'opencv-python-headless<5'`, "
            "which needs no libGL of the system"
        ) from None
    cv2.setNumThreads(threads)
    return cv2


def resize(cv2: Any, image: np.ndarray, size: int) -> np.ndarray:
    """A (size, size, 3) version of an image; by area where it shrinks, so that nothing aliases."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

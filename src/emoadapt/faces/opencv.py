"""OpenCV, loaded late: it takes long, and its wheel with windows needs system libraries that servers lack."""

from __future__ import annotations

from types import ModuleType

from emoadapt.errors import ModelError


def load_opencv(threads: int = 1) -> ModuleType:
    """The `cv2` module, limited to so many threads.

    Raises:
        ModelError: it is not installed, or a system library is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise ModelError(
            f"OpenCV cannot be loaded ({error}); run `pip install --force-reinstall 'opencv-python-headless<5'`, "
            "which needs no libGL of the system"
        ) from None
    cv2.setNumThreads(threads)
    return cv2

"""MediaPipe, which is optional."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from emoadapt.errors import ModelError

LIBRARIES = ("mediapipe",)


def import_mediapipe() -> ModuleType:
    """The `mediapipe` module.

    It is imported in a thread of its own: something below it keeps an exception, with it every frame on the stack, and
    so the detector of whoever imports it first, until the interpreter shuts down.
    """
    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(importlib.import_module, "mediapipe").result()
    except (ImportError, OSError) as error:
        raise ModelError(
            f"MediaPipe cannot be loaded ({error}); run `pip install 'emoadapt[mediapipe]'`, or choose another detector"
        ) from None

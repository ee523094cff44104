"""Versions of what computed a result."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "emoadapt", "snakemake", "torch", "transformers", "lightning", "opensmile", "openai-whisper", "pocketsphinx",
    "vaderSentiment", "mediapipe", "onnxruntime-gpu", "opencv-python-headless", "av", "numpy", "pyarrow", "polars",
    "scikit-learn", "scipy",
)  # fmt: skip


@cache
def library_versions() -> dict[str, str]:
    """Installed version of each library that results depend on, as `version.<name>`."""
    found = {}
    for name in LIBRARIES:
        try:
            found[f"version.{name}"] = version(name)
        except PackageNotFoundError:
            continue
    return found

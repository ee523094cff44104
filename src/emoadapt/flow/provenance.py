"""Versions of what computed a result."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "emoadapt", "snakemake", "torch", "transformers", "opensmile", "openai-whisper", "pocketsphinx",
    "vaderSentiment", "jiwer", "mediapipe", "onnxruntime-gpu", "opencv-python-headless", "av", "numpy", "pyarrow", "polars",
    "scikit-learn", "scipy",
)  # fmt: skip


@cache
def installed_version(name: str) -> str:
    """Version of a distribution, or `none` if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@cache
def library_versions() -> dict[str, str]:
    """Installed version of each library that results depend on, as `version.<name>`."""
    found = {f"version.{name}": installed_version(name) for name in LIBRARIES}
    return {name: value for name, value in found.items() if value != "none"}

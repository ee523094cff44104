"""Versions of what computed a result."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

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


DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "onnxruntime": "onnxruntime-gpu",
    "sklearn": "scikit-learn",
    "whisper": "openai-whisper",
}
"""Module -> its distribution, where that has another name."""


@cache
def name_distribution(module: str) -> str:
    """Distribution that a module is installed by; empty where it is not installed."""
    name = DISTRIBUTIONS.get(module, module)
    if installed_version(name) != "none":
        return name
    return next(iter(packages_distributions().get(module, [])), "")


def name_versions(distributions: Iterable[str]) -> str:
    """Versions of distributions, as `<name>==<version> ...`, sorted.

    The build is left out (`+cpu` of torch): like the device, it decides the last digits only.
    """
    versions = {name: installed_version(name).partition("+")[0] for name in distributions}
    return " ".join(f"{name}=={versions[name]}" for name in sorted(versions))


@cache
def library_versions() -> dict[str, str]:
    """Installed version of each library that results depend on, as `version.<name>`."""
    found = {f"version.{name}": installed_version(name) for name in LIBRARIES}
    return {name: value for name, value in found.items() if value != "none"}

"""Versions of what computed a result."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

VERSION = "version."
"""Beginning of the names under which a table keeps versions."""
_VARIABLE = "EMOADAPT_LIBRARIES"


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


def state_libraries(names: Iterable[str]) -> None:
    """Say which libraries decide the outputs of this process and its children."""
    os.environ[_VARIABLE] = " ".join(names)


def library_versions() -> dict[str, str]:
    """Installed version of this package, and of each library that was stated (`state_libraries`), as `version.<name>`."""
    names = ("emoadapt", *os.environ.get(_VARIABLE, "").split())
    found = {f"{VERSION}{name}": installed_version(name) for name in names}
    return {name: value for name, value in found.items() if value != "none"}


def join_versions(found: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Versions of libraries that made results, `2.13.0`, or where they differ `2.12.1 (audio); 2.13.0 (adapt, train)`.

    Args:
        found: kind of result, and the provenance of one of them.
    """
    kinds: dict[str, dict[str, dict[str, None]]] = {}
    for kind, provenance in found:
        for name, value in provenance.items():
            if name.startswith(VERSION):
                kinds.setdefault(name.removeprefix(VERSION), {}).setdefault(value, {})[kind] = None
    return {
        name: next(iter(versions))
        if len(versions) == 1
        else "; ".join(f"{value} ({', '.join(sorted(versions[value]))})" for value in sorted(versions))
        for name, versions in sorted(kinds.items())
    }

"""Paths as a study names them: relative, or by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

UNFIT = ("HOME", "PWD", "OLDPWD", "TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "INIT_CWD")
"""Variables that name a folder by chance."""
UNFIT_PREFIXES = ("CONDA", "GITHUB_", "JUPYTER", "PIP_", "PYTEST", "RUNNER_", "SLURM_", "VSCODE", "XDG_", "_")
"""Beginnings of names of such variables."""
SHALLOWEST = 2
"""Folders that the value of a variable must have at least: `/data/speech`, not `/data`."""


def name_place(path: Path, given: Path) -> str:
    """Text for a path: relative to the working folder if it was given so, else by a variable or the home folder, else as it is.

    Args:
        path: the folder.
        given: as the person gave it, or what the folder lies in.
    """
    if not given.is_absolute():
        return Path(os.path.relpath(path)).as_posix()
    absolute = path.absolute()
    if variable := _find_variable(absolute):
        rest = absolute.relative_to(Path(os.environ[variable]).absolute())
        return f"${{{variable}}}" + ("" if rest == Path() else f"/{rest.as_posix()}")
    home = Path.home()
    if absolute.is_relative_to(home) and len(home.parts) > SHALLOWEST:
        return f"~/{absolute.relative_to(home).as_posix()}"
    return absolute.as_posix()


def find_variables(text: str) -> list[str]:
    """Names of the variables in a text."""
    return [name for name in os.environ if f"${{{name}}}" in text]


def _find_variable(path: Path) -> str | None:
    """The variable whose folder is nearest above a path, or is it."""
    found = [(len(Path(value).parts), name) for name, value in os.environ.items() if _names_folder(name, value)]
    above = [(depth, name) for depth, name in found if path.is_relative_to(os.environ[name])]
    return max(above)[1] if above else None


def _names_folder(name: str, value: str) -> bool:
    """Whether a variable was set to name a folder of data or weights."""
    by_chance = name in UNFIT or name.startswith(UNFIT_PREFIXES) or not name.isidentifier()
    return not by_chance and value.startswith("/") and len(Path(value).parts) > SHALLOWEST and Path(value).is_dir()

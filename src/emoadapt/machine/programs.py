"""Names by which a shell finds the programs of this environment."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

_SHELL_PATH = os.environ.get("PATH", os.defpath)
"""PATH of the shell that called this process, also after `put_own_first`."""


def put_own_first() -> None:
    """Let the programs beside this interpreter be those that rules and other child processes find."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def name_program(name: str) -> str:
    """Write a program of this environment as the first word of a command that a person types in this folder.

    Args:
        name: `emoadapt` or `snakemake`.

    Returns:
        The name itself where the shell finds this very program by it, or where this environment has none of the name. Else its path,
        relative to this folder where it lies below it: the environment was not activated.
    """
    own, found = Path(sys.executable).parent / name, shutil.which(name, path=_SHELL_PATH)
    if not own.is_file() or (found and Path(found).samefile(own)):
        return name
    folder = Path.cwd()
    # A path needs a slash to be one.
    return shlex.quote(str(own.relative_to(folder) if folder in own.parent.parents else own))

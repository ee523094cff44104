"""Registry of plug-ins: modules found by name, built in or a user's own.

Each kind of plug-in is a package, `emoadapt.<kind>`. It holds one module per plug-in, and `base.py`, which documents what a module
declares. A study may name a folder of its own plug-ins (`plugins: my_plugins`): a module
`my_plugins/<kind>/<name>.py` is then found as `emoadapt.<kind>.<name>`, by jobs and their processes too.

What is declared is read from the syntax tree where possible, because a plug-in may import heavy libraries.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from emoadapt.errors import ConfigError, name_known

KINDS = {
    "corpora": "corpus importer",
    "features": "feature",
    "detectors": "face detector",
    "landmarkers": "landmark detector",
    "backbones": "backbone architecture",
    "poolings": "pooling",
    "objectives": "objective",
    "augmentations": "augmentation",
    "methods": "training method",
    "metrics": "metric",
}
"""Package of a kind of plug-in -> its name in messages."""

PAPERS = "papers"
"""Folder of published values among plug-ins; see `emoadapt.config.papers`."""

FOLDER_VARIABLE = "EMOADAPT_PLUGINS"
"""Environment variable through which processes hand on the folder of a study's own plug-ins."""


def use_folder(folder: Path | None) -> None:
    """Add a user's folder of plug-ins, for this process and its children.

    None restores the built-in plug-ins only.

    Raises:
        ConfigError: the folder is missing, or a plug-in in it has the name of a built-in one.
    """
    if folder is None:
        os.environ.pop(FOLDER_VARIABLE, None)
    else:
        _check_folder(folder)
        os.environ[FOLDER_VARIABLE] = str(folder.absolute())
    for kind in KINDS:
        if package := sys.modules.get(f"emoadapt.{kind}"):
            package.__path__ = extend_path(package.__path__, package.__name__)


def extend_path(path: Iterable[str], package: str) -> list[str]:
    """Append the study's own folder to the search path of a kind's package."""
    folder = _own_folder(package.removeprefix("emoadapt."))
    return [next(iter(path)), *([] if folder is None else [str(folder)])]


def list_plugins(kind: str) -> list[str]:
    """Names of all plug-ins of a kind, sorted."""
    own = _own_folder(kind)
    return sorted([*_list_modules(_find_package(kind)), *([] if own is None else _list_modules(own))])


def load_plugin(kind: str, name: str) -> ModuleType:
    """Import a plug-in.

    Raises:
        ConfigError: there is none of that name, or it is the study's own and cannot be imported.
    """
    module = f"emoadapt.{kind}.{check_plugin(kind, name)}"
    try:
        return importlib.import_module(module)
    except Exception as error:
        if not is_own(module):
            raise
        raise _unusable(kind, name, find_source(module), error) from error


def check_plugin(kind: str, name: str) -> str:
    """Return a plug-in's name after checking that the plug-in exists.

    Raises:
        ConfigError: it is not.
    """
    known = list_plugins(kind)
    if name not in known:
        raise ConfigError(f"{KINDS[kind]} {name} is not known; {name_known(name, known)}")
    return name


def read_declaration(kind: str, name: str, constant: str) -> Any:
    """Read a literal constant of a plug-in without importing it; None if absent."""
    return read_declarations(kind, name).get(constant)


def read_declarations(kind: str, name: str) -> dict[str, Any]:
    """Read all literal constants of a plug-in without importing it."""
    source = find_source(f"emoadapt.{kind}.{name}")
    try:
        return {} if source is None else _read_literals(source, source.stat().st_mtime_ns)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise _unusable(kind, name, source, error) from None


def collect_declarations(kind: str, constant: str) -> dict[str, Any]:
    """Map each plug-in that declares a literal constant to its value."""
    found = {name: read_declaration(kind, name, constant) for name in list_plugins(kind)}
    return {name: value for name, value in found.items() if value is not None}


def _unusable(kind: str, name: str, source: Path | None, error: Exception) -> ConfigError:
    return ConfigError(f"{KINDS[kind]} {name}: {source} cannot be used ({type(error).__name__}: {error}); correct it")


def find_source(module: str) -> Path | None:
    """File of a module, found without importing it; None if there is none.

    Found are modules of this package and of a study's own plug-ins, and what these import from the working folder.
    """
    return find_beside(module) or _find_source(module, os.environ.get(FOLDER_VARIABLE))


def find_beside(module: str) -> Path | None:
    """File of a module in the working folder, where `python -m emoadapt` finds what a study's own plug-ins import."""
    if FOLDER_VARIABLE not in os.environ or module.partition(".")[0] == __package__:
        return None
    return _pick_file(Path.cwd().joinpath(*module.split(".")))


def is_own(module: str) -> bool:
    """Whether a study brings a module itself: one of its plug-ins, or what they import from the working folder."""
    folder, source = os.environ.get(FOLDER_VARIABLE), find_source(module)
    if folder is None or source is None:
        return False
    return source.is_relative_to(folder) or find_beside(module) is not None


@cache
def _find_source(module: str, _folder: str | None) -> Path | None:
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    places = [Path(next(iter(spec.submodule_search_locations))).joinpath(*rest)]
    if len(rest) > 1 and (own := _own_folder(rest[0])) is not None:
        places.append(own.joinpath(*rest[1:]))
    return next((file for path in places if (file := _pick_file(path, package=not rest))), None)


def _pick_file(path: Path, package: bool = False) -> Path | None:
    """The file of a module of that path; of a package alone, if that is asked for."""
    candidates = [path / "__init__.py"] if package else [path.with_suffix(".py"), path / "__init__.py"]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be used as one of plug-ins."""
    if not folder.is_dir():
        raise ConfigError(f"plugins: {folder} is not a folder; name the folder that holds your plug-ins")
    if not any((folder / kind).is_dir() for kind in [*KINDS, PAPERS]):
        raise ConfigError(
            f"plugins: {folder} holds none of the folders {', '.join(KINDS)} and {PAPERS}; put each plug-in into that of its kind"
        )
    for kind in KINDS:
        if taken := sorted({*_list_modules(folder / kind)} & {*_list_modules(_find_package(kind))}):
            raise ConfigError(
                f"plugins: {folder / kind / taken[0]}.py has the name of a built-in {KINDS[kind]}; rename the file"
            )


def _own_folder(kind: str) -> Path | None:
    """Folder of the study's own plug-ins of a kind; None if there is none."""
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder, kind) if folder and kind in KINDS else None
    return path if path is not None and path.is_dir() else None


def _find_package(kind: str) -> Path:
    return Path(__file__).parent / kind


def _list_modules(folder: Path) -> list[str]:
    """Names of the plug-ins in a folder: all modules but `base` and private ones."""
    names = (module.name for module in pkgutil.iter_modules([str(folder)]))
    return [name for name in names if name != "base" and not name.startswith("_")]


@cache
def _read_literals(source: Path, _written: int) -> dict[str, Any]:
    """Literal constants at the top of a module."""
    found = {}
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        try:
            literal = ast.literal_eval(value)
        except ValueError:
            continue
        found |= {target.id: literal for target in targets if isinstance(target, ast.Name)}
    return found

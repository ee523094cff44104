"""Reading of YAML files into a checked study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emoadapt.config.availability import leave_out
from emoadapt.config.base import expand_variables
from emoadapt.config.obsolete import explain_obsolete
from emoadapt.config.problems import describe_problems
from emoadapt.config.study import Study, find_study_class
from emoadapt.config.table_checks import check_tables
from emoadapt.config.yaml_files import read_file, shorten_path
from emoadapt.errors import Change, ConfigError, Problem
from emoadapt.plugins import use_folder

STUDY_VARIABLE = "EMOADAPT_STUDY"
"""Environment variable through which rules hand the merged configuration to the command line."""
DEMO = "demo"
"""Name of the built-in study; a study of the same name overrides its keys."""


def find_project() -> Path:
    """Folder of the Snakefile, rules and studies: the checkout, or where the wheel has put them."""
    checkout = Path(__file__).parents[3]
    if (checkout / "Snakefile").is_file():
        return checkout
    from importlib.metadata import PackageNotFoundError, files

    with suppress(PackageNotFoundError):
        for path in files("emoadapt") or ():
            if path.name == "Snakefile":
                return Path(path.locate()).resolve().parent
    return checkout


BUILT_IN = find_project() / "config.yaml"
"""Configuration of the demo, beside the Snakefile."""
DEMO_MEANT = "no --configfile is given, so this is the built-in demo"
"""What is said where nobody named a study."""
NEXT_TO_DO = f"it would change the built-in demo; add `study: NAME` for a study of your own, or `study: {DEMO}` to change keys of the demo"


def load_study(values: dict[str, Any]) -> Study:
    """Check a configuration, without what needs optional corpora that are missing.

    Raises:
        ConfigError: one line per problem: key path, what was found, what is allowed.
    """
    if problems := explain_obsolete(values):
        raise _unusable(problems)
    _use_plugins(values.get("plugins"))
    values, left_out = leave_out(values)
    try:
        # As JSON, so that strict types still take a YAML list for a tuple; nothing is converted ("4" is no integer).
        text = json.dumps(values, default=str)
    except (ValueError, RecursionError):
        said = "a value contains itself: a YAML anchor (`&`) is used (`*`) inside its own value; write the value out"
        raise _unusable([Problem("", said)]) from None
    try:
        study = find_study_class().model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _unusable(describe_problems(error.errors())) from None
    study._left_out = left_out
    # Without an optional corpus, what is left of a list may have nothing to do.
    if problems := [*([] if left_out else study.find_idle_names()), *check_tables(study)]:
        raise _unusable(problems)
    return study


def _use_plugins(folder: Any) -> None:
    """Find the study's own plug-ins, before the sections that they bring are read."""
    try:
        use_folder(Path(expand_variables(folder)) if isinstance(folder, str) else None)
    except ValueError as error:
        raise _unusable([Problem("plugins", str(error))]) from None


def _unusable(problems: Sequence[Problem]) -> ConfigError:
    return ConfigError(problems, head="the configuration cannot be used:")


def read_configfiles(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Read YAML files and merge them key by key, later over earlier, as `snakemake --configfile` does.

    Raises:
        ConfigError: as `read_file`.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        _merge(merged, read_file(path))
    return merged


def merge_study(
    paths: Sequence[str | Path], single: Mapping[str, Any] | None = None, built_in: Path = BUILT_IN
) -> dict[str, Any]:
    """Merge what makes up a study; the one rule for the Snakefile and for `emoadapt`.

    Without anything it is the demo. A study named `demo` overrides keys of the demo; any other stands alone.

    Args:
        paths: configuration files, later over earlier.
        single: keys that go over them, from `snakemake --config`.
        built_in: the configuration of the demo, beside the Snakefile.

    Raises:
        ConfigError: a file cannot be read, or nothing names the study.
    """
    if not paths and not single:
        _refuse_unnamed(built_in)
        return read_configfiles([built_in])
    values = read_configfiles(paths)
    _merge(values, dict(single or {}))
    if "study" not in values:
        raise ConfigError(f"{_name_source(paths)} has no key `study`: {NEXT_TO_DO}", Change("study", "NAME"))
    if values["study"] != DEMO:
        return values
    demo = read_configfiles([built_in])
    if demo.get("study") != DEMO:
        raise ConfigError(
            f"`study: {DEMO}` changes keys of {built_in}, which holds study {demo.get('study')}; name your study differently"
        )
    _merge(demo, values)
    return demo


def refuse_repeated_flag(arguments: Sequence[str]) -> None:
    """Refuse a second `--configfile` on a command line; Snakemake would use the last one alone, without a word.

    Raises:
        ConfigError: the flag is given more than once.
    """
    flags = ("--configfile", "--configfiles")
    if sum(argument.partition("=")[0] in flags for argument in arguments) > 1:
        raise ConfigError(
            "--configfile is given twice; write both files after one flag: --configfile first.yaml second.yaml"
        )


def _name_source(paths: Sequence[str | Path]) -> str:
    return " + ".join(str(shorten_path(path)) for path in paths) or "the configuration given with --config"


def _refuse_unnamed(built_in: Path) -> None:
    """Refuse to run the demo beside a `config.yaml` of the user that no option names."""
    here = Path("config.yaml")
    if here.exists() and not (built_in.exists() and here.samefile(built_in)):
        raise ConfigError(
            "no --configfile is given, which means the demo, but there is a config.yaml in this folder; "
            "if it is your study, add: --configfile config.yaml"
        )


def read_study(paths: Sequence[str | Path]) -> Study:
    """Read a study as the Snakefile does, see `merge_study`.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    return load_study(merge_study(paths))


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value

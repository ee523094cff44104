"""From YAML files to a checked study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from emoadapt.config.availability import leave_out
from emoadapt.config.problems import describe_problems
from emoadapt.config.study import Study
from emoadapt.config.table_checks import check_tables
from emoadapt.errors import ConfigError


def load_study(values: dict[str, Any]) -> Study:
    """Check a configuration, without what needs optional corpora that are not there.

    Raises:
        ConfigError: one line per problem: key path, what was found, what is allowed.
    """
    values, left_out = leave_out(values)
    try:
        # As JSON, so that strict types still take a YAML list for a tuple; nothing is converted ("4" is no integer).
        text = json.dumps(values, default=str)
    except (ValueError, RecursionError):
        raise _unusable(
            ["a value holds itself, by a YAML anchor (`&`) that is used (`*`) inside of what it names"]
        ) from None
    try:
        study = Study.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _unusable(describe_problems(error.errors())) from None
    study._left_out = left_out
    if lines := check_tables(study):
        raise _unusable(lines)
    return study


def _unusable(lines: Sequence[str]) -> ConfigError:
    return ConfigError("the configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines))


def read_configfiles(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Read YAML files and merge them key by key, later over earlier, as `snakemake --configfile` does.

    Raises:
        ConfigError: a file is missing, is no YAML, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}); name an existing configuration file"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not in UTF-8; save it in that encoding") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path} holds {type(values).__name__}, a configuration is a mapping of keys to values")
        _merge(merged, values)
    return merged


def read_study(paths: Sequence[str | Path]) -> Study:
    """Read a study as the Snakefile does: files without the key `study` override those of `config.yaml`.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    values = read_configfiles(paths)
    return load_study(values if "study" in values else read_configfiles(["config.yaml", *paths]))


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value

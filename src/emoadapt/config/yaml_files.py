"""Strict reading of YAML: no repeated keys, no misread values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import yaml

from emoadapt.config.yaml_faults import explain_fault
from emoadapt.errors import ConfigError


def read_file(path: str | Path) -> dict[str, Any]:
    """Read one configuration file, YAML or JSON.

    Raises:
        ConfigError: the file is missing, is neither, holds no mapping, or holds something that YAML reads differently from how it looks.
    """
    shown = shorten_path(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{shown} cannot be read ({error.strerror}); name an existing configuration file, or write one with: emoadapt new-study FOLDER"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{shown} is not in UTF-8; save it in that encoding") from None
    try:
        values = _parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown} is not valid YAML: {explain_fault(error, text)}") from None
    except _Misread as error:
        raise ConfigError(f"{shown}, {error}") from None
    if not isinstance(values, dict):
        if values is None:
            raise ConfigError(f"{shown} is empty; write the configuration of a study, beginning with `study: NAME`")
        kind = "a list" if isinstance(values, list) else "a single value"
        raise ConfigError(f"{shown} contains {kind}; write a mapping of keys to values")
    if "__use_yte__" in values:
        raise ConfigError(f"{shown}: `__use_yte__` is not supported; write the values themselves")
    return values


def shorten_path(path: str | Path) -> Path:
    """Relative to the working folder if it is below: Snakemake hands over absolute paths."""
    try:
        return Path(path).relative_to(Path.cwd())
    except ValueError:
        return Path(path)


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated)
    except ValueError:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON, whose lines are not known."""
    for number, (key, _) in enumerate(pairs):
        if key in dict(pairs[:number]):
            raise _Misread(f"key `{key}` is given twice in one mapping; keep one")
    return dict(pairs)


class _Misread(Exception):
    """Valid YAML with a misleading value."""


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses repeated keys and values that YAML 1.1 misreads."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Before anything is constructed: `<<` then puts keys into the node that may be given again, on purpose.
        node = super().compose_mapping_node(anchor)  # type: ignore[no-untyped-call]
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                advice = "write `<<: [*first, *second]`" if key.value == "<<" else "keep one"
                raise _Misread(f"lines {lines[key.value]} and {line}: key `{key.value}` is given twice; {advice}")
            lines[key.value] = line
            if key.tag != "tag:yaml.org,2002:merge":
                self._read_as_text(key)
        return cast(yaml.MappingNode, node)

    def _read_as_text(self, key: yaml.ScalarNode) -> None:
        """All keys are text: `1000` is taken for it, `010` or `yes` would be another text."""
        if key.tag == "tag:yaml.org,2002:str":
            return
        # Not by `construct_object`, which would remember the value.
        value = self.yaml_constructors.get(key.tag, self.yaml_constructors[None])(self, key)
        if str(value) != key.value:
            raise _Misread(
                f'line {key.start_mark.line + 1}: YAML reads the key `{key.value}` as {value}; quote it: "{key.value}"'
            )
        key.tag = "tag:yaml.org,2002:str"


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = yaml.SafeLoader.construct_yaml_int(loader, node)  # type: ignore[no-untyped-call]
    if str(value) != node.value:
        raise _Misread(
            f"line {node.start_mark.line + 1}: YAML reads `{node.value}` as the number {value}; "
            f'quote it if it is text: "{node.value}"; else write {value}'
        )
    return int(value)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = yaml.SafeLoader.construct_yaml_float(loader, node)  # type: ignore[no-untyped-call]
    if ":" in node.value or "_" in node.value:
        raise _Misread(
            f"line {node.start_mark.line + 1}: YAML reads `{node.value}` as the number {value}; "
            f'quote it if it is text: "{node.value}"; else write {value}'
        )
    return float(value)


def _refuse_date(loader: _Loader, node: yaml.ScalarNode) -> None:
    """No key takes a date."""
    raise _Misread(f'line {node.start_mark.line + 1}: YAML reads `{node.value}` as a date; quote it: "{node.value}"')


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _refuse_date)

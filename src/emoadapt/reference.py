"""Pages and files that are generated from the code, so that they cannot disagree with it."""

from __future__ import annotations

import ast
import html
import inspect
import json
import re
import textwrap
import types
import typing
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from emoadapt import config, schema
from emoadapt.chain import draw_chain
from emoadapt.config.base import list_models
from emoadapt.plugins import KINDS, list_plugins

NOT_IN_ENVIRONMENT = ("mediapipe", "audiomentations")
"""Packages that the environment file leaves to its post-deploy script, which installs them without dependencies."""


def write_reference(root: Path) -> list[Path]:
    """Write all generated files below the project's root and return their paths."""
    written = []
    for name, text in generate_files(root).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written


def generate_files(root: Path) -> dict[str, str]:
    """Path below the root -> content, for every generated file."""
    return {
        "workflow/schemas/config.schema.json": json.dumps(describe_schema(), indent=1, sort_keys=True) + "\n",
        "docs/configuration.md": describe_configuration(),
        "docs/tables.md": describe_tables(),
        "docs/pictures/chain.svg": draw_chain(root),
        "envs/core.yaml": describe_environment((root / "requirements.lock").read_text()),
    }


def describe_schema() -> dict[str, Any]:
    """The JSON schema of a study, for editors."""
    schema = config.Study.model_json_schema(schema_generator=_NamedSections)
    described = {definition["title"]: definition for definition in [schema, *schema["$defs"].values()]}
    for section in _list_sections():
        properties = described[name_section(section)]["properties"]
        for name, meaning in read_meanings(section).items():
            properties[name]["description"] = meaning
    return schema


class _NamedSections(GenerateJsonSchema):
    """Titles that tell sections apart whose classes share a name."""

    def model_schema(self, schema: Any) -> Any:
        return super().model_schema(schema) | {"title": name_section(schema["cls"])}


CHOOSERS = {
    "importer": "Importer that reads the corpus.",
    "architecture": "Network of the backbone, or what stands in its place.",
    "chain": "Augmentation.",
    "method": "Training method.",
}
"""Keys that choose a plug-in, whose value names its section -> their meaning."""


def name_section(section: type[BaseModel]) -> str:
    """Name of a section: its class; of a plug-in the key that chooses it (`importer: cafe`), or kind and name."""
    kind, _, plugin = section.__module__.removeprefix("emoadapt.").partition(".")
    if kind not in KINDS or section.__name__ != "Config":
        return section.__name__
    for key, field in section.model_fields.items():
        names = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
        if key in CHOOSERS and names:
            return f"{key}: {', '.join(names)}"
    return f"{kind}.{plugin}"


def read_meanings(section: type[BaseModel]) -> dict[str, str]:
    """What stands below the fields of a section in its source.

    Pydantic can read it too (`use_attribute_docstrings`), but then does so whenever a section is imported: in every job.
    """
    found = {name: field.description for name, field in section.model_fields.items() if field.description}
    for kind in reversed(section.__mro__[: section.__mro__.index(BaseModel)]):
        definition = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        for field, below in pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    return {name: text for name, text in found.items() if name in section.model_fields}


COMMON = (
    "study device models_dir keep_models logs plugins",
    "corpora.<name>: importer root modalities shards speakers language optional segments",
    "backbones.<name>: architecture weights untrained train_layers pooling lora",
    "adaptations.<name>: corpora objectives backbones epochs learning_rate batch_size",
    "finetunings.<name>: method seeds epochs learning_rate batch_size select patience augment",
    "tasks.<name>: corpus classes attributes class_map other_labels split partitions trials subsets test_also",
    "report: baseline paper names",
)
"""Keys that most studies set, by the place of their sections."""

Rows = dict[str, str]
"""Key of a section -> its row in a table."""


def describe_configuration() -> str:
    """The configuration reference, as Markdown: common keys, then the keys of every section, folded."""
    sections = {section: _describe_keys(section) for section in _list_sections()}
    lines = [
        "# Configuration reference",
        "",
        "Generated from the models by `make docs`. Keys without a default are required. `<name>` stands for a name of yours. "
        "A click on a line with a triangle shows its keys.",
        "",
        "## Common keys",
        "",
        *_describe_common(sections),
        "## top level (Study)",
        "",
        "A whole study.",
        "",
        *_fold("All keys", sections.pop(config.Study)),
    ]
    for path, group in _group_sections(sections).items():
        shared = _find_shared(list(group.values())) if len(group) > 2 else {}
        if "." not in path.replace(".<name>", ""):
            lines += [f"## `{path}`", ""]
        if shared:
            lines += _fold(f"Keys that most sections of `{path}` share", shared)
        for section, rows in group.items():
            lines += [_head(path, section), "", inspect.cleandoc(section.__doc__ or ""), ""]
            lines += _note_shared(shared, rows)
            own = {name: row for name, row in rows.items() if shared.get(name) != row and name not in CHOOSERS}
            lines += _fold("Keys", own) if len(own) > 4 else _make_table(own)
    return "\n".join(lines)


def _head(path: str, section: type[BaseModel]) -> str:
    name = name_section(section)
    return f"### `{path}`" + (f" ({name})" if name.lower() != path else "")


def _describe_keys(section: type[BaseModel]) -> Rows:
    meanings = read_meanings(section)
    rows = {}
    for name, field in section.model_fields.items():
        default = "**required**" if field.is_required() else f"`{_show_default(field)}`"
        meaning = _escape(" ".join(meanings.get(name, CHOOSERS.get(name, "")).split()))
        linked = re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", meaning)
        rows[name] = f"{_show_type(field.annotation)} | {default} | {linked} |"
    return rows


def _describe_common(sections: dict[type[BaseModel], Rows]) -> list[str]:
    """A table for each place of `COMMON`."""
    lines = []
    for line in COMMON:
        path, _, names = line.rpartition(": ")
        found = [sections[section] for section, place in _list_sections().items() if place == path]
        rows = {name: _merge([rows[name] for rows in found if name in rows]) for name in names.split()}
        lines += [f"**`{path}`**" if path else "**top level**", "", *_make_table(rows)]
    return lines


def _merge(rows: list[str]) -> str:
    """The row of a key that several sections have: all types, and default and meaning of the first."""
    types_, rests = zip(*(row.split(" | ", 1) for row in rows), strict=True)
    return r" \| ".join(dict.fromkeys(types_)) + f" | {rests[0]}"


def _group_sections(sections: dict[type[BaseModel], Rows]) -> dict[str, dict[type[BaseModel], Rows]]:
    """Place in a file -> the sections that may stand there, each place behind the one that it is part of."""
    groups: dict[str, dict[type[BaseModel], Rows]] = {}
    places = _list_sections()
    heads = list(dict.fromkeys(places[section].partition(".")[0] for section in sections))
    for section in sorted(
        sections, key=lambda section: (heads.index(places[section].partition(".")[0]), places[section])
    ):
        groups.setdefault(places[section], {})[section] = sections[section]
    return groups


def _find_shared(group: list[Rows]) -> Rows:
    """Rows that are the same in more than half of the sections."""
    counts = Counter(item for rows in group for item in rows.items())
    return {name: row for (name, row), count in counts.items() if 2 * count > len(group)}


def _note_shared(shared: Rows, rows: Rows) -> list[str]:
    """Say which of the shared keys a section has, in the shorter way."""
    there = [name for name in shared if rows.get(name) == shared[name]]
    lacking = [name for name in shared if name not in rows]
    if not there:
        return []
    if len(lacking) <= len(there):
        return ["Shared keys: all" + (f" but {_join(lacking)}." if lacking else "."), ""]
    return [f"Shared keys: {_join(there)}.", ""]


def _fold(title: str, rows: Rows) -> list[str]:
    """A table of keys that a click unfolds, on the site as on a Git host."""
    if not rows:
        return []
    names = " ".join(f"<code>{name}</code>" for name in rows)
    title = re.sub(r"`([^`]*)`", lambda match: f"<code>{html.escape(match[1])}</code>", title)
    summary = f"<summary>{title}: {names}</summary>"
    return ['<details markdown="1">', summary, "", *_make_table(rows), "</details>", ""]


def _make_table(rows: Rows) -> list[str]:
    if not rows:
        return []
    table = [f"| `{name}` | {row}" for name, row in rows.items()]
    return ["| key | type | default | meaning |", "|---|---|---|---|", *table, ""]


def _join(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def describe_tables() -> str:
    """The data contract, as Markdown."""
    lines = ["# Tables", "", "Generated from `emoadapt.schema` and the modules of features by `make docs`.", ""]
    tables = {f"feature {name}": schema.feature_table(name) for name in list_plugins("features")}
    tables |= {name: value for name, value in vars(schema).items() if isinstance(value, pa.Schema)}
    tables["TRAINING (for the objectives of a study; here `egemaps`)"] = schema.training(("egemaps",))
    for name, table in tables.items():
        lines += [f"## {name}", "", "| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{column}` | {_escape(kind)} | {_escape(text)} |" for column, kind, text in schema.describe(table)
        ]
        lines.append("")
    return "\n".join(lines)


def describe_environment(lock: str) -> str:
    """The conda environment file of the rules, with the pins of the lock file."""
    pins = [line for line in lock.splitlines() if line and not line.startswith(NOT_IN_ENVIRONMENT)]
    lines = [
        "# Generated from requirements.lock by `make docs`; core.post-deploy.sh adds what must come without dependencies.",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        "  - python=3.11",
        "  - pip",
        "  - pip:",
        *(f"      - {pin}" for pin in pins),
    ]
    return "\n".join(lines) + "\n"


def _list_sections() -> dict[type[BaseModel], str]:
    """Sections of a study -> their place in a file."""
    found: dict[type[BaseModel], str] = {}
    _collect(config.Study, "", found)
    return found


def _collect(model: type[BaseModel], path: str, found: dict[type[BaseModel], str]) -> None:
    if model in found:
        return
    found[model] = path
    for name, field in model.model_fields.items():
        key = f"{path}.{name}".strip(".")
        mapping = typing.get_origin(field.annotation) is dict
        for inner in list_models(field.annotation):
            _collect(inner, f"{key}.<name>" if mapping else key, found)


def _show_type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _show_type(arguments[0])
    if origin is typing.Literal:
        return " \\| ".join(f"`{argument}`" for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " \\| ".join(dict.fromkeys(map(_show_type, arguments)))
    if origin is tuple:
        inner = [argument for argument in arguments if argument is not Ellipsis]
        return "list of " + ", ".join(dict.fromkeys(_show_type(argument) for argument in inner))
    if origin is dict:
        return f"mapping of {_show_type(arguments[0])} to {_show_type(arguments[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return " \\| ".join(name_section(annotation).rpartition(": ")[2].split(", "))
    return {str: "text", int: "integer", float: "number", bool: "true \\| false"}.get(annotation, annotation.__name__)


def _show_default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults" if not value.model_fields_set else _escape(value.model_dump_json(exclude_unset=True))
    # 1e-05 would be text in YAML.
    text = json.dumps(value, default=lambda section: section.model_dump(mode="json", exclude_unset=True))
    return _escape(re.sub(r"\b(\d)e-", r"\1.0e-", text))


def _escape(text: str) -> str:
    return text.replace("|", "\\|")

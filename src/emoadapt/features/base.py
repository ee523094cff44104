"""Interface of a feature and its extractor.

A feature is a module here, or in the folder `features` of a study's own plug-ins, with

* `INPUTS`: the tables that it is computed from, a literal: `manifest`, or names of features;
* `TERMS`: terms of the software for users of its output, as the end of a sentence, a literal; None: no terms. The licences of
  weights are in the registry of weights;
* `TABLE`: its table, made by `schema.make_feature_table`;
* `Config`: its section, a `FeatureSection`;
* `load(config, context)`: its extractor. Heavy libraries are imported there, so that the module itself is light.

Optional literals:

* `READS_MEDIA`: True if it reads media files. Each clip is then read in a worker process, so that a crash or hang of a decoder
  costs one row;
* `MODALITIES`: modalities that a corpus must have besides speech: `("video",)`;
* `CHUNK_ROWS`: rows per call of the extractor;
* `JOB`: resources of a cluster job: `memory_mb`, `memory_mb_per_thread`, `minutes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa

from emoadapt.config.base import Section
from emoadapt.errors import ClipError


@dataclass(frozen=True)
class Network:
    """The network, or the rules, that compute a feature.

    Args:
        role: what it does in a study.
        kind: engine or architecture.
        state: whether it was trained.
        weights: registered name, hub id or path of what it loads; None where it loads nothing.
        carried: its weights come with the Python package of the engine.
        seed: of random weights.
        stand_in: what it is, as a part of a list, where papers use something stronger; the report says so.
        files: names of the files in its folder that decide a row; None: all.
    """

    role: str
    kind: str
    state: Literal["pretrained", "untrained", "rules"]
    weights: str | None = None
    carried: bool = False
    seed: int | None = None
    stand_in: str | None = None
    files: tuple[str, ...] | None = None


class FeatureSection(Section):
    """Base of a feature's section: what follows from its keys."""

    def describe_network(self) -> Network | None:
        """Network under this configuration, None without one; its weights are part of the recipe."""
        return None

    def list_libraries(self) -> tuple[str, ...]:
        """Distributions of the engine in force, of those that the module lists as `CONDITIONAL_LIBRARIES`."""
        return ()

    def list_modules(self) -> tuple[str, ...]:
        """Modules that the configured engine imports by name; other imports are found without."""
        return ()

    def list_idle_keys(self) -> set[str]:
        """Keys that do not affect rows under this configuration."""
        return set()

    def describe_rows(self) -> str:
        """The keys that affect rows, as JSON; the same where they say the same in two ways."""
        return self.model_dump_json(exclude=self.list_idle_keys())

    def list_manifest_columns(self) -> tuple[str, ...]:
        """Columns of the manifest, beside media, start and end, on which a row depends."""
        return ()

    def find_files(self) -> tuple[Path, str] | None:
        """Folder and pattern of files, beside media and weights, that rows are read from.

        Their content is part of the recipe.
        """
        return None

    def needs_gpu(self) -> bool:
        """Whether the engine in force runs on a GPU where there is one."""
        return False

    def runs_parallel(self) -> bool:
        """Whether a clip keeps one core busy, so that a job runs one clip per thread."""
        return False

    def count_threads(self, allowed: int, on_gpu: bool) -> int:
        """Threads that a job makes use of."""
        return allowed if self.runs_parallel() else 1


class TorchSection(FeatureSection):
    """Base of the section of a feature whose network always runs in torch: on a GPU where there is one, else on all cores."""

    def needs_gpu(self) -> bool:
        """Yes."""
        return True

    def count_threads(self, allowed: int, on_gpu: bool) -> int:
        """All, unless a GPU does the work."""
        return 1 if on_gpu else allowed


def _keep_still() -> None:
    """Ignore the beat, in a job that no process monitors."""


@dataclass(frozen=True)
class Context:
    """Resources of a job: folder of weights, `cpu` or `cuda`, and threads.

    An extractor calls `beat` whenever a long clip makes progress, so that a long clip is distinguished from a hanging
    decoder.
    """

    models_dir: Path
    device: str = "cpu"
    threads: int = 1
    beat: Callable[[], None] = _keep_still


class Extractor(Protocol):
    """Computes the rows of one feature."""

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One result per row, in the same order; a clip's own problem is a result with status and reason.

        Args:
            rows: columns of all input tables. `path` is the clip's file where the manifest is one of them, and
                `<feature>_notes` lists the notes on a feature's row.
        """
        ...


@dataclass(frozen=True)
class Extraction:
    """Inputs and output table of a feature.

    Args:
        table: its columns.
        inputs: the tables that it is computed from.
        manifest_columns: columns of the manifest, beside media, start and end, on which a row depends.
        chunk_size: rows that are read at once.
        stated: values of `manifest_columns` that the study states for all clips of the corpus.
    """

    table: pa.Schema
    inputs: tuple[str, ...]
    manifest_columns: tuple[str, ...] = ()
    chunk_size: int = 32
    stated: Mapping[str, Any] = field(default_factory=dict)


def guard(function: Callable[[dict[str, Any]], dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """Call `function(row)`; a `ClipError` becomes a row with its status and reason."""
    try:
        return function(row)
    except ClipError as error:
        return {"status": error.status, "reason": str(error)}

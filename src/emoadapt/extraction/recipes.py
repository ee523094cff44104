"""Recipe of a feature: everything but its input that decides its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.config import Study
from emoadapt.features.base import Extraction, FeatureSection, Network
from emoadapt.flow.code import code_digest, describe_libraries, digest, own_digest
from emoadapt.flow.fingerprints import fingerprint_media
from emoadapt.flow.upstream import Recipe
from emoadapt.plugins import check_plugin, load_plugin, read_declaration
from emoadapt.weights.registry import identity

if TYPE_CHECKING:
    from emoadapt.features.base import Context, Extractor


ROWS = "emoadapt.flow.upstream"
"""Module that decides rows of all features, besides that of the feature."""

FILES = Path("results/.cache/files")
"""Fingerprints of files, beside media and weights, that features read."""


@dataclass(frozen=True)
class JobSize:
    """What a job of a feature asks for: MB of memory, as much for each thread, minutes, threads and GPUs."""

    memory_mb: int
    memory_mb_per_thread: int
    minutes: int
    threads: int
    gpus: int


def describe_extraction(study: Study, feature: str, corpus: str | None = None) -> Extraction:
    """What a feature reads and writes; of a corpus, with what the study states of its clips."""
    module = load_plugin("features", feature)
    columns = find_section(study, feature).list_manifest_columns()
    language = study.corpora[corpus].language if corpus and "language" in columns else None
    stated = {"language": language} if language else {}
    return Extraction(module.TABLE, tuple(module.INPUTS), columns, getattr(module, "CHUNK_ROWS", 32), stated)


def describe_recipe(study: Study, feature: str) -> Recipe:
    """What decides a feature's rows besides their input."""
    section = find_section(study, feature)
    modules = [f"emoadapt.features.{feature}", *section.list_modules(), ROWS]
    return Recipe(
        feature,
        section.describe_rows(),
        study_code(study, *modules),
        _model_identity(study, feature),
        describe_libraries(*modules, also=section.list_libraries()),
    )


def describe_job(study: Study, feature: str) -> JobSize:
    """What a job of a feature asks for."""
    size = {"memory_mb": 2000, "memory_mb_per_thread": 0, "minutes": 120}
    size |= read_declaration("features", feature, "JOB") or {}
    gpus = int(needs_gpu(study, feature))
    return JobSize(
        **size, threads=find_section(study, feature).count_threads(study.extraction_threads, gpus > 0), gpus=gpus
    )


def find_section(study: Study, feature: str) -> FeatureSection:
    """The section of a feature.

    Raises:
        ConfigError: there is no such feature.
    """
    return getattr(study.features, check_plugin("features", feature))


def find_network(study: Study, feature: str) -> Network | None:
    """The network that a feature is computed by, with the engine in force; None without one."""
    return find_section(study, feature).describe_network()


def find_weights(study: Study, feature: str) -> str | None:
    """Registered name, hub id or path of the weights that a feature's engine in force loads; None without weights."""
    network = find_network(study, feature)
    return network.weights if network else None


def needs_gpu(study: Study, feature: str) -> bool:
    """Whether the engine in force runs on a GPU."""
    return study.device != "cpu" and find_section(study, feature).needs_gpu()


def reads_media(feature: str) -> bool:
    """Whether a feature is computed from the files of clips."""
    return bool(read_declaration("features", feature, "READS_MEDIA"))


def load_extractor(feature: str) -> Callable[[Any, Context], Extractor]:
    """The function that loads a feature's extractor, given its section and a context."""
    return load_plugin("features", feature).load


def study_code(study: Study, *modules: str) -> str:
    """Digest of modules, or the release's version where the study pins code to it, with the digest of the study's own plug-ins."""
    if study.code == "version":
        from emoadapt import __version__

        return f"{__version__} {own_digest(*modules)}".strip()
    return code_digest(*modules)


def _model_identity(study: Study, feature: str) -> str:
    """Which weights and other files a feature reads, by content; empty for features without."""
    return " ".join(filter(None, [weights_identity(study, feature), _files_identity(study, feature)]))


def _files_identity(study: Study, feature: str) -> str:
    found = find_section(study, feature).find_files()
    if found is None:
        return ""
    folder, pattern = found
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern))
    return digest(fingerprint_media(folder, names, FILES / f"{feature}.json"))


def weights_identity(study: Study, feature: str) -> str:
    """Which weights a feature uses, by content; empty for features without."""
    network = find_network(study, feature)
    if network is None or network.weights is None:
        return "untrained" if network and network.state == "untrained" else ""
    return identity(network.weights, study.weights_folder, files=network.files)

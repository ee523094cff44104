"""Estimates of a study before it runs: hours of media, hours of training, gigabytes on disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from emoadapt.config.features import needs_video
from emoadapt.errors import EmoadaptError
from emoadapt.extraction.recipes import describe_extraction
from emoadapt.plugins import list_plugins
from emoadapt.schema import KEPT, SAMPLE_RATE
from emoadapt.study.graph import RESULTS
from emoadapt.study.plan.printing import is_kept, name_processor, show_hours
from emoadapt.study.plan.sizes import CorpusSize, measure_corpora
from emoadapt.study.plan.work import Row, count_work, plan_study, read_calibration
from emoadapt.weights.registry import locate

if TYPE_CHECKING:
    from emoadapt.study.check.listings import Listings
    from emoadapt.study.graph import Graph

_BYTES = 2 * SAMPLE_RATE
"""Bytes of a second of audio as it is stored: int16, one channel."""


def estimate_study(graph: Graph, listings: Listings) -> list[str]:
    """Sentences on the size of a study: jobs, media, training, disk; each names what is unknown.

    Args:
        graph: the jobs of the study.
        listings: its corpora; the size of one that cannot be listed is unknown.
    """
    sizes = measure_corpora(graph.study, {}, {}, lambda name, _: listings.read_utterances(name))
    speeds = read_calibration()
    rows = plan_study(graph.study, sizes, speeds)
    training = [row for row in rows if row.stage != "feature" or is_kept(row)]
    device = name_processor(graph.study, speeds)
    return [
        f"jobs: {count_work(rows)}",
        f"media to extract from: {_describe_media(graph, sizes)}; how long that takes is not estimated",
        *([_describe_training(training, device)] if training else []),
        _describe_disk(graph, sizes),
    ]


def _describe_media(graph: Graph, sizes: Mapping[str, CorpusSize]) -> str:
    used: dict[str, set[str]] = {"audio": set(), "video": set()}
    for feature, corpus in graph.features_in_use():
        used["video" if feature in list_plugins("features") and needs_video(feature) else "audio"].add(corpus)
    return " and ".join(_add_hours(kind, corpora, sizes) for kind, corpora in used.items() if corpora) or "none"


def _add_hours(kind: str, corpora: set[str], sizes: Mapping[str, CorpusSize]) -> str:
    unknown = sorted(name for name in corpora if sizes[name].seconds is None)
    known = sum(sizes[name].seconds or 0.0 for name in corpora)
    if len(unknown) == len(corpora):
        return f"{kind}, hours unknown"
    return f"{show_hours(known / 3600)} hours of {kind}" + (f" (of {', '.join(unknown)} unknown)" if unknown else "")


def _describe_training(rows: list[Row], device: str) -> str:
    timed = [row for row in rows if row.hours_left is not None]
    advice = "`emoadapt plan --calibrate` measures a few steps of each backbone here"
    if not timed:
        return f"training: {device} hours unknown; {advice}"
    said = f"training: {show_hours(sum(row.hours_left or 0 for row in timed))} {device} hours at most"
    if (unknown := len(rows) - len(timed)) == 0:
        return said
    return f"{said}, without {unknown} of {len(rows)} lines of the plan, whose hours are unknown; {advice}"


def _describe_disk(graph: Graph, sizes: Mapping[str, CorpusSize]) -> str:
    """Sizes of what the study keeps, as far as they follow from the corpora and the weights."""
    held: dict[str, float] = {"audio": 0.0, "training shards": 0.0, "other features": 0.0, "models": 0.0}
    unknown = set()
    for feature, corpus in graph.features_in_use():
        size = sizes[corpus]
        if feature == "audio":
            held["audio"] += _BYTES * (size.seconds or 0.0)
        elif (each := _measure_row(graph, feature)) is None or size.clips is None:
            unknown.add(feature)
        else:
            held["other features"] += each * size.clips
    sets = {(graph.objective_set(name), corpus) for name, a in graph.study.adaptations.items() for corpus in a.corpora}
    held["training shards"] = sum(_BYTES * (sizes[corpus].seconds or 0.0) for _, corpus in sets)
    for kind, count in _count_models(graph):
        held["models"] += count * (found := _measure_weights(graph, kind) or 0)
        unknown |= set() if found else {f"models of {kind}"}
    unknown |= {f"corpus {name}" for name, size in sizes.items() if size.seconds is None}
    unknown |= (
        {"kept outputs of frozen backbones"} if any(_holds_kept(path) for path in graph.all_features()) else set()
    )
    parts = ", ".join(f"{name} {_show_size(size)}" for name, size in held.items() if size >= 5e5)
    there = Path(RESULTS).is_dir()  # perhaps a link to another disk
    free = shutil.disk_usage(RESULTS if there else Path()).free
    least = f"{'at least' if unknown else 'about'} {_show_size(sum(held.values()))}"
    said = f"disk: {least} ({parts})" if parts else f"disk: {'unknown' if unknown else 'less than 1 MB'}"
    said += f"; not known: {', '.join(sorted(unknown))}" if unknown else ""
    warning = ", which is not enough" if sum(held.values()) > free else ""
    warning += f", unless {RESULTS} holds the rest already" if warning and there else ""
    return f"{said}; {_show_size(free)} are free here{warning}"


def _holds_kept(path: str) -> bool:
    """Whether a shard holds outputs of a frozen backbone."""
    return Path(path).parts[2].split(".")[0] in KEPT


def _measure_row(graph: Graph, feature: str) -> int | None:
    """Bytes of a feature's row; None if they differ from clip to clip, or are unknown."""
    if feature not in list_plugins("features"):
        return None
    types = [field.type for field in describe_extraction(graph.study, feature).table]
    if any(pa.types.is_list(kind) or pa.types.is_binary(kind) for kind in types):
        return None
    return sum(4 * kind.list_size for kind in types if pa.types.is_fixed_size_list(kind)) + 100


def _count_models(graph: Graph) -> Iterator[tuple[str, int]]:
    """Backbone -> models of it that are kept, of Stage 1 and by `keep_models`."""
    study = graph.study
    for model in graph.adapted_models():
        yield model.split(".")[0], 1
    if study.keep_models == "adapted":
        return
    refitted = set(study.list_refits())
    for setting in study.list_settings():
        jobs = graph.batches(setting)
        if study.refits(setting.model):
            # The kept runs of a job share the files of the backbone; a classifier on descriptors takes a few kilobytes.
            count = (setting in refitted) + (len(jobs) if study.keeps_frozen(setting.model) else 0)
            yield from [(setting.model.backbone, count)] if study.backbones[setting.model.backbone].adaptable else []
        elif study.keeps_embeddings(setting.model):
            # With `best`, all models of a job are there until it ends.
            most, runs = max(map(len, jobs.values())), sum(map(len, jobs.values()))
            yield setting.model.backbone, len(jobs) + most - 1 if study.keep_models == "best" else runs


def _measure_weights(graph: Graph, backbone: str) -> int | None:
    """Bytes of the weights of a backbone on this machine; None if they are missing or the backbone is untrained."""
    config = graph.study.backbones[backbone]
    total = 0
    for weights, revision in config.list_weights():
        try:
            path = locate(weights, graph.study.weights_folder, revision)
        except EmoadaptError:
            return None
        files = (
            [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in (".safetensors", ".bin", ".pt")]
        )
        total += max((file.stat().st_size for file in files), default=0)
    return total or None


def _show_size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB" if size >= 5e5 else "less than 1 MB"

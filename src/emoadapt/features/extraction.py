"""One extraction job: a feature's shard brought up to date."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from emoadapt.config import Study
from emoadapt.errors import NO_GPU, ModelError
from emoadapt.features.base import Context, Extractor
from emoadapt.features.catalogue import (
    FEATURES,
    check_feature,
    describe_recipe,
    find_engine,
    is_parallel,
    load_extractor_class,
    needs_gpu,
)
from emoadapt.features.workers import WorkerPool
from emoadapt.flow.rows import Counts, Row, compute_shard


def extract_shard(
    study: Study, feature: str, corpus: str, inputs: Sequence[Path], output: Path, threads: int
) -> Counts:
    """Compute a feature's shard.

    Args:
        study: the study.
        feature: its name.
        corpus: corpus of the shard.
        inputs: the shard of each upstream table, in the order of the feature's inputs.
        output: table to write.
        threads: threads the job may use.
    """
    upstream = dict(zip(FEATURES[check_feature(feature)].inputs, inputs, strict=True))
    extractor_class = load_extractor_class(feature, find_engine(study, feature))
    config = getattr(study.features, feature)

    def extract(chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
        device, n_workers = _choose_workers(study, feature, threads)
        if n_workers:
            context = Context(study.weights_folder, device, threads // n_workers)
            with WorkerPool(extractor_class, config, context, n_workers, study.features.stall_limit) as pool:
                yield from pool.run(chunks)
        else:
            context = Context(study.weights_folder, device, threads)
            yield from extract_here(lambda: extractor_class(config, context), chunks)

    return compute_shard(
        output,
        upstream,
        extractor_class,
        extract,
        describe_recipe(study, feature),
        Path(study.corpora[corpus].root),
    )


def extract_here(build: Callable[[], Extractor], chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
    """Rows with their results, by an extractor in this process."""
    extractor = build()
    for rows in chunks:
        yield from zip(rows, extractor.extract(rows), strict=True)


def _choose_workers(study: Study, feature: str, threads: int) -> tuple[str, int]:
    """Device of a feature's extractor, and its number of worker processes; 0 = in this process.

    On a GPU one worker has all threads: several would each load the model.
    """
    device = find_device(study.device) if needs_gpu(study, feature) else "cpu"
    if FEATURES[feature].isolated:
        return device, threads if device == "cpu" else 1
    return device, threads if is_parallel(study, feature) and threads > 1 else 0


def find_device(device: str) -> str:
    """`cpu` or `cuda`. PyTorch is only loaded to answer that where there is a driver to ask.

    Raises:
        ModelError: `cuda` is asked for and there is no GPU.
    """
    if device == "cpu" or (device == "auto" and not _has_driver()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ModelError(NO_GPU)
    return "cpu"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True

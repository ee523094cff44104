"""One extraction job: a feature's shard brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

from emoadapt.config import Study
from emoadapt.extraction.recipes import (
    describe_extraction,
    describe_recipe,
    find_section,
    load_extractor,
    needs_gpu,
    reads_media,
)
from emoadapt.extraction.witness import Witness
from emoadapt.extraction.workers import Watch, WorkerPool
from emoadapt.features.base import Context, Extractor
from emoadapt.flow.rows import Counts, Row, compute_shard
from emoadapt.machine.starting import collect_as_usual
from emoadapt.machine.torch_device import find_device
from emoadapt.plugins import load_plugin


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
    extraction, config, load = (
        describe_extraction(study, feature),
        find_section(study, feature),
        load_extractor(feature),
    )

    def extract(chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
        device, n_workers = _choose_workers(study, feature, threads)
        if n_workers:
            context = Context(study.weights_folder, device, threads // n_workers)
            watch = _choose_watch(study, feature, corpus)
            with WorkerPool(load, config, context, n_workers, study.features.stall_limit, watch) as pool:
                yield from pool.run(chunks)
        else:
            context = Context(study.weights_folder, device, threads)
            yield from extract_here(lambda: load(config, context), chunks)

    return compute_shard(
        output,
        dict(zip(extraction.inputs, inputs, strict=True)),
        extraction,
        extract,
        describe_recipe(study, feature),
        Path(study.corpora[corpus].root),
    )


def extract_here(build: Callable[[], Extractor], chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
    """Yield rows with their results, by an extractor in this process."""
    extractor = build()
    collect_as_usual()
    for rows in chunks:
        yield from zip(rows, extractor.extract(rows), strict=True)


def _choose_watch(study: Study, feature: str, corpus: str) -> Watch | None:
    """What checks the media of a feature; None if it reads none."""
    if not reads_media(feature):
        return None
    importer = load_plugin("corpora", study.corpora[corpus].importer)
    return partial(Witness, by_content=not hasattr(importer, "fingerprints"))


def _choose_workers(study: Study, feature: str, threads: int) -> tuple[str, int]:
    """Device of a feature's extractor, and its number of worker processes; 0 = in this process.

    On a GPU one worker has all threads: several would each load the model.
    """
    device = find_device(study.device) if needs_gpu(study, feature) else "cpu"
    if reads_media(feature):
        return device, threads if device == "cpu" else 1
    return device, threads if find_section(study, feature).runs_parallel() and threads > 1 else 0

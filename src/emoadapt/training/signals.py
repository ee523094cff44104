"""Loading of what a backbone reads, cropped, in batches of similar length.

Stages 1 and 2 read alike: audio, the cached output of a frozen front end, frames, tokens, or a vector of descriptors.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt import schema
from emoadapt.augmentations.base import Augmenter
from emoadapt.data.batching import load_batches
from emoadapt.data.clips import Annotate, ClipStore, SignalDataset, Source, VectorDataset
from emoadapt.data.streams import AUDIO, KEPT, list_columns, replace_role
from emoadapt.data.vectors import normalise_vectors, read_vectors
from emoadapt.errors import TrainingError
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.agreement import refuse_missing
from emoadapt.storage.tables import read_table

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from emoadapt.config import Backbone, Optimisation
    from emoadapt.layers.trainable import Embedder
    from emoadapt.training.jobs import Shards, TaskJob

logger = logging.getLogger(__name__)


class Signals(ABC):
    """What a backbone reads of a task's clips.

    Attributes:
        usable: utterances that have it.
    """

    usable: Collection[str]

    def prepare(self, rows: pl.DataFrame, train: Sequence[str]) -> None:
        """Get ready for a run.

        Args:
            rows: SPLITS rows of its partition and fold.
            train: utterances that it trains on.
        """
        return

    def settle(self) -> None:
        """Tell the backbone what `prepare` found, once it has the weights that a run begins with."""
        return

    def measure_dimensions(self) -> dict[str, int]:
        """Role -> values of a frame or of a vector, of streams that clips may lack."""
        return {}

    @abstractmethod
    def load(self, names: Sequence[str], annotate: Annotate, settings: Optimisation, seed: int | None = None) -> Any:
        """Loader of these clips; shuffled, and cropped at random where that is configured, if a seed is given."""


class StreamSignals(Signals):
    """Streams of a task's clips: audio, frames, tokens, or kept outputs in their place.

    Args:
        job: its shards.
        backbone: counts frames, and says to what short clips are lengthened.
        scratch: folder for the packed clips.
    """

    def __init__(self, job: TaskJob, backbone: Embedder, scratch: Path) -> None:
        self.backbone = backbone
        self._statistics: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        wanted = set(read_table(job.splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist())
        self.sources = open_sources(job.config, job.shards, backbone, scratch, wanted, job.kept)
        first = next(iter(self.sources.values()))
        self.usable: dict[str, int] = {name: _measure(first, name) for name in first.store.utterances}
        if "audio" in job.shards:
            # Of the audio, also where its frames are cached.
            audio = [path for paths in job.shards["audio"].values() for path in paths]
            table = read_table(audio, schema.feature_table("audio"), ["utterance_id", "n_samples"])
            refuse_missing(wanted.difference(table.column("utterance_id").to_pylist()), len(wanted), audio)
            lengths = zip(*(column.to_pylist() for column in table.columns), strict=True)
            self.usable = {name: n for name, n in lengths if name in first.store and n is not None}
            note_cropped(f"{job.setting.model} on {job.setting.task}", self.usable.values(), job.settings)
        note_absent(f"{job.setting.model} on {job.setting.task}", self.sources, self.usable)

    def prepare(self, rows: pl.DataFrame, train: Sequence[str]) -> None:
        """Remember what the input is standardised with."""
        self._statistics = (
            measure_frames(next(iter(self.sources.values())), train) if self.backbone.standardised else None
        )

    def settle(self) -> None:
        """Give the backbone the statistics of its input in the run."""
        if self._statistics is not None:
            self.backbone.fit_input(*self._statistics)

    def measure_dimensions(self) -> dict[str, int]:
        """See `Signals`."""
        others = list(self.sources.items())[1:]
        stand_ins = {role: source.stand_in() for role, source in others if source.stream.layout in ("frames", "vector")}
        return {role: int(value.shape[-1]) for role, value in stand_ins.items()}

    def load(self, names: Sequence[str], annotate: Annotate, settings: Optimisation, seed: int | None = None) -> Any:
        """See `Signals`."""
        return load_signals(
            self.sources, annotate, {name: self.usable[name] for name in names}, settings, self.backbone, seed
        )

    def open(self, annotate: Annotate, settings: Optimisation, seed: int) -> SignalDataset:
        """The clips as they are, cropped."""
        return open_clips(self.sources, annotate, settings, self.backbone, seed)

    def measure(self, names: Sequence[str], settings: Optimisation) -> dict[str, int]:
        """Lengths of clips as the backbone reads them."""
        return crop_lengths({name: self.usable[name] for name in names}, settings, self.backbone)


def _measure(source: Source, name: str) -> int:
    """Length of a clip in samples, of values that have a time; else the number of its values."""
    step = source.find_step(name)
    return source.count(name) if step is None else round(source.count(name) * step * SAMPLE_RATE)


def open_sources(
    config: Backbone,
    shards: Shards,
    backbone: Embedder,
    scratch: Path,
    wanted: Collection[str],
    kept: Mapping[str, str],
    packed: ClipStore | None = None,
) -> dict[str, Source]:
    """Pack what a backbone reads.

    Args:
        config: section of the backbone: its streams.
        shards: of features, and of kept outputs.
        backbone: tells how far apart frames of kept outputs are.
        scratch: folder for the packed clips.
        wanted: utterances.
        kept: role -> name of the kept output that takes the place of the stream, where there are shards of it.
        packed: clips whose audio is packed already.

    Returns:
        Role -> its source. A kept output has a role of its own (`replace_role`).
    """
    sources = {}
    for role, stream in config.streams.items():
        feature, step, rows = stream.feature, None, 1
        if kept.get(role) in shards:
            feature = kept[role]
            stream, step, rows = (
                KEPT[feature.partition(".")[0]],
                backbone.find_step(role),
                backbone.count_rows(role),
            )
            role = replace_role(role, stream.feature)
        if stream == AUDIO and packed is not None:
            sources[role] = Source(packed, stream)
            continue
        paths = [path for found in shards[feature].values() for path in found]
        sources[role] = Source(ClipStore.build(paths, list_columns(stream), scratch, wanted), stream, step, rows)
    return sources


def measure_frames(source: Source, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation, (dimension,), over all frames of some clips; a dimension that does not vary has 1."""
    n_frames, total, squares = 0, np.zeros(1), np.zeros(1)
    for name in names:
        frames = source.read(name).astype(np.float64)
        n_frames, total, squares = n_frames + len(frames), total + frames.sum(axis=0), squares + (frames**2).sum(axis=0)
    mean = total / n_frames
    std = np.sqrt(np.maximum(squares / n_frames - mean**2, 0))
    return mean, np.where(std <= 1e-8 * np.abs(mean), 1.0, std)


class VectorSignals(Signals):
    """A vector of each of a task's clips, z-scored for each run.

    Args:
        job: its shards, and the scope of the statistics.
        feature: feature that gives the vector.
    """

    def __init__(self, job: TaskJob, feature: str) -> None:
        names = read_table(job.splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist()
        self.usable: dict[str, np.ndarray] = read_vectors(job.shards[feature], feature, names)
        self.feature, self.scope = feature, job.settings.normalise
        self._normalised: Mapping[str, np.ndarray] = {}

    @property
    def width(self) -> int:
        """Dimension of the vectors.

        Raises:
            TrainingError: there are none.
        """
        for vector in self.usable.values():
            return len(vector)
        raise TrainingError(f"no clip has a vector of {self.feature}; see `emoadapt quarantine` for the reasons")

    def prepare(self, rows: pl.DataFrame, train: Sequence[str]) -> None:
        """Normalise the vectors with the statistics of the run."""
        self._normalised = normalise_vectors(self.usable, rows, train, self.scope)

    def load(self, names: Sequence[str], annotate: Annotate, settings: Optimisation, seed: int | None = None) -> Any:
        """See `Signals`. All vectors are equally long, so that only the seed orders the batches."""
        dataset = VectorDataset({"vector": self._normalised}, annotate)
        n_batches = None if seed is None else settings.epoch_batches
        return load_batches(dataset, dict.fromkeys(names, 1), settings.batch_size, seed, n_batches=n_batches)


def note_cropped(run: str, n_samples: Iterable[int], settings: Optimisation) -> int:
    """Log how many clips are longer than `max_seconds`, of which a training and its tests use a part.

    Args:
        run: for the message.
        n_samples: lengths of all clips.
        settings: `max_seconds` and `crop`.

    Returns:
        How many.
    """
    if settings.max_seconds is None:
        return 0
    lengths = list(n_samples)
    longer = sum(length > round(settings.max_seconds * SAMPLE_RATE) for length in lengths)
    if longer:
        logger.info(
            "%s: %d of %d clips are longer than max_seconds (%g s) and are cropped, in evaluations too (crop: %s)",
            run, longer, len(lengths), settings.max_seconds, settings.crop,
        )  # fmt: skip
    return longer


def note_absent(run: str, sources: Mapping[str, Source], names: Collection[str]) -> dict[str, int]:
    """Log how many clips lack a stream that clips may lack; the model then reads a substitute.

    Args:
        run: for the message.
        sources: role -> where a stream is read; clips must have the first.
        names: clips that are used.

    Returns:
        Role -> how many, of those that some lack.
    """
    found = {role: sum(name not in source.store for name in names) for role, source in [*sources.items()][1:]}
    for role, lacking in found.items():
        if lacking:
            logger.info("%s: %d of %d clips lack %s; a substitute stands for it", run, lacking, len(names), role)
    return {role: lacking for role, lacking in found.items() if lacking}


def load_signals(
    sources: Mapping[str, Source],
    annotate: Annotate,
    lengths: Mapping[str, int],
    settings: Optimisation,
    backbone: Embedder,
    seed: int | None,
) -> Any:
    """Loader of clips, as a stage's settings and its backbone want them.

    Args:
        sources: role -> where a stream is read.
        annotate: utterance -> tensors that go with it.
        lengths: utterance -> its length before cropping and padding: in samples, or the number of tokens. Of the
            audio, also where frames are cached: the order of the batches must not tell the two apart.
        settings: `max_seconds`, `crop`, and the size of batches.
        backbone: counts frames, and says to what short clips are lengthened.
        seed: of order, random crops and augmentations; None = from short to long, cropped at the beginning, as the clips are.
    """
    augment = Augmenter(settings.augmentations) if seed is not None and settings.augmentations else None
    dataset = open_clips(sources, annotate, settings, backbone, seed, augment)
    cropped = crop_lengths(lengths, settings, backbone)
    n_batches = None if seed is None else settings.epoch_batches
    return load_batches(dataset, cropped, settings.batch_size, seed, settings.batch_seconds, n_batches)


def open_clips(
    sources: Mapping[str, Source],
    annotate: Annotate,
    settings: Optimisation,
    backbone: Embedder,
    seed: int | None,
    augment: Augmenter | None = None,
) -> SignalDataset:
    """Clips that are cropped as a stage's settings say; arguments as of `load_signals`, and what changes their audio."""
    count = None
    if next(iter(sources.values())).stream in KEPT.values():
        count = lambda seconds: backbone.count_frames(round(seconds * SAMPLE_RATE))  # noqa: E731
    return SignalDataset(
        sources, annotate, longest=settings.max_seconds, crop=settings.crop, seed=seed, count=count, augment=augment
    )


def crop_lengths(lengths: Mapping[str, int], settings: Optimisation, backbone: Embedder) -> dict[str, int]:
    """Lengths of clips that are cropped by `max_seconds`, and lengthened to what the backbone needs."""
    longest = None if settings.max_seconds is None else round(settings.max_seconds * SAMPLE_RATE)
    return {name: max(min(n, longest or n), backbone.shortest) for name, n in lengths.items()}

"""Loading of audio or cached frames, cropped, in batches of similar length.

Stages 1 and 2 read alike: audio, the cached output of a frozen front end, or a vector of descriptors.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.data.batching import load_batches
from emoadapt.data.clips import Annotate, ClipStore, SignalDataset, VectorDataset
from emoadapt.data.streams import AUDIO, FRONTEND, list_columns
from emoadapt.data.vectors import normalise_vectors, read_vectors
from emoadapt.errors import TrainingError
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.agreement import refuse_missing
from emoadapt.storage.tables import read_table

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from emoadapt.config import Optimisation
    from emoadapt.layers.speech import SpeechBackbone
    from emoadapt.training.jobs import TaskJob

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

    @abstractmethod
    def load(self, names: Sequence[str], annotate: Annotate, settings: Optimisation, seed: int | None = None) -> Any:
        """Loader of these clips; shuffled, and cropped at random where that is configured, if a seed is given."""


class SpeechSignals(Signals):
    """Audio of a task's clips, or the cached output of the backbone's front end where that is frozen.

    Args:
        job: its shards.
        backbone: counts frames, and says to what short clips are lengthened.
        scratch: folder for the packed clips.
    """

    def __init__(self, job: TaskJob, backbone: SpeechBackbone, scratch: Path) -> None:
        self.backbone = backbone
        wanted = set(read_table(job.splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist())
        self.stream = FRONTEND if "frontend" in job.shards and not backbone.cnn_trainable else AUDIO
        used = [path for paths in job.shards[self.stream.feature].values() for path in paths]
        self.store = ClipStore.build(used, list_columns(self.stream), scratch, wanted)
        # Of the audio, also where its frames are cached.
        audio = [path for paths in job.shards["audio"].values() for path in paths]
        table = read_table(audio, schema.feature_table("audio"), ["utterance_id", "n_samples"])
        refuse_missing(wanted.difference(table.column("utterance_id").to_pylist()), len(wanted), audio)
        self.usable: dict[str, int] = {
            name: length
            for name, length in zip(*(column.to_pylist() for column in table.columns), strict=True)
            if name in self.store and length is not None
        }
        note_cropped(f"{job.setting.model} on {job.setting.task}", self.usable.values(), job.settings)

    def load(self, names: Sequence[str], annotate: Annotate, settings: Optimisation, seed: int | None = None) -> Any:
        """See `Signals`."""
        n_samples = {name: self.usable[name] for name in names}
        return load_signals(
            self.store, annotate, n_samples, settings, self.backbone, cached=self.stream is FRONTEND, seed=seed
        )


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
        dataset = VectorDataset(self._normalised, "vector", annotate)
        return load_batches(dataset, dict.fromkeys(names, 1), settings.batch_size, seed)


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


def load_signals(
    store: ClipStore,
    annotate: Annotate,
    n_samples: Mapping[str, int],
    settings: Optimisation,
    backbone: SpeechBackbone,
    *,
    cached: bool,
    seed: int | None,
) -> Any:
    """Loader of clips, as a stage's settings and its backbone want them.

    Args:
        store: holds `audio`, or `frontend` where frames are cached.
        annotate: utterance -> tensors that go with it.
        n_samples: utterance -> its length before cropping and padding. Of the audio, also where frames are cached: the order of the
            batches must not tell the two apart.
        settings: `max_seconds`, `crop`, and the size of batches.
        backbone: counts frames, and says to what short clips are lengthened.
        cached: whether the store holds the front end's output.
        seed: of order and random crops; None = from short to long, cropped at the beginning.
    """
    longest = None if settings.max_seconds is None else round(settings.max_seconds * SAMPLE_RATE)
    limit = backbone.count_frames(longest) if cached and longest else longest
    stream = FRONTEND if cached else AUDIO
    dataset = SignalDataset(store, stream.feature, stream, annotate, longest=limit, crop=settings.crop, seed=seed)
    lengths = {name: max(min(n, longest or n), backbone.shortest) for name, n in n_samples.items()}
    return load_batches(dataset, lengths, settings.batch_size, seed, settings.batch_seconds)

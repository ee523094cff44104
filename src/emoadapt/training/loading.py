"""Clips on their way into a training, the same in both stages: cropped, in batches of similar length."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from emoadapt.data.batching import Batch, load_batches
from emoadapt.data.clips import Annotate, ClipDataset, ClipStore
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from emoadapt.config import Optimisation
    from emoadapt.layers.speech import SpeechBackbone


logger = logging.getLogger(__name__)


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
) -> DataLoader[Batch]:
    """Loader of clips, as a stage's settings and its backbone want them.

    Args:
        store: holds `audio`, or `cnn` where frames are cached.
        annotate: utterance -> tensors that go with it.
        n_samples: utterance -> its length before cropping and padding. Of the audio, also where frames are cached: the order of the
            batches must not tell the two apart.
        settings: `max_seconds`, `crop`, and the size of batches.
        backbone: counts frames, and says to what short clips are lengthened.
        cached: whether the store holds CNN output.
        seed: of order and random crops; None = from short to long, cropped at the beginning.
    """
    longest = None if settings.max_seconds is None else round(settings.max_seconds * SAMPLE_RATE)
    limit = backbone.count_frames(longest) if cached and longest else longest
    dataset = ClipDataset(store, annotate, cached=cached, longest=limit, crop=settings.crop, seed=seed)
    lengths = {name: max(min(n, longest or n), backbone.shortest) for name, n in n_samples.items()}
    return load_batches(dataset, lengths, settings.batch_size, seed, settings.batch_seconds)

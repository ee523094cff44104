"""Targets of Stage 1 for each frame, aligned with the frames of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoadapt.data.clips import ClipStore, Source
from emoadapt.data.objective_targets import describe_target
from emoadapt.data.streams import STEP, Stream, list_columns
from emoadapt.errors import DataError, ModelError
from emoadapt.layers.trainable import TrainableBackbone


@dataclass(frozen=True)
class FrameTargets(Source):
    """Frames of a feature; for each frame of a backbone, the one that begins nearest in time.

    Frame i of the feature, and of the backbone, begins i of its own steps after the beginning of the clip. `step` is that of the backbone, in s.

    Args:
        normalise: (utterance, frames (n_frames, dimension)) -> normalised frames.
    """

    normalise: Callable[[str, np.ndarray], np.ndarray] = lambda _, frames: frames

    def read(self, utterance_id: str) -> np.ndarray:
        """Target frames of a whole clip, (n_frames, dimension) float32.

        Raises:
            DataError: the frames of two clips have different dimensions.
        """
        frames = super().read(utterance_id)
        places = place_frames(len(frames), self.store.value(utterance_id, STEP), self.step or 0.0)
        return self.normalise(utterance_id, frames[places]).astype(np.float32)

    def count_values(self) -> int:
        """Number of values of a frame; 0 without clips.

        Raises:
            DataError: the frames of two clips have different numbers of values.
        """
        sizes = {self.store.value(name, "dimension"): name for name in self.store.utterances}
        if len(sizes) > 1:
            found = " and ".join(f"{size} ({name})" for size, name in sorted(sizes.items()))
            raise DataError(
                f"{self.stream.feature}: frames have {found} values; recompute the feature of all corpora with one model"
            )
        return int(next(iter(sizes), 0))


def place_frames(n_frames: int, step: float, wanted: float) -> NDArray[np.int64]:
    """Numbers of the frames that begin nearest to the times 0, `wanted`, 2 * `wanted`, ...

    Args:
        n_frames: number of frames of a clip.
        step: time from one frame to the next, in s.
        wanted: distance of the times, in s.
    """
    places = np.rint(np.arange(int(n_frames * step / wanted) + 2) * wanted / step).astype(np.int64)
    return places[places < n_frames]


def open_frame_targets(
    objective: str,
    shards: Mapping[str, Sequence[Path]],
    backbone: TrainableBackbone,
    scratch: Path,
    wanted: Collection[str],
    normalise: Callable[[str, np.ndarray], np.ndarray],
) -> FrameTargets:
    """Pack the target frames of an objective for a backbone.

    Args:
        objective: name of the objective.
        shards: corpus -> shards of the objective's feature.
        backbone: backbone that learns to predict them.
        scratch: folder for the packed frames.
        wanted: utterances to pack.
        normalise: see `FrameTargets`.

    Raises:
        ModelError: the frames of the backbone have no fixed step in time, or several stand for the same time.
    """
    step = backbone.find_step("")
    if step is None or getattr(getattr(backbone, "parts", None), "rows", 1) != 1:
        raise ModelError(
            f"objective {objective} has a target for each frame, and frames of {backbone.origin} have no times of their own; leave the "
            "objective out, or name a speech model"
        )
    stream = Stream(*describe_target(objective), layout="frames")
    paths = [path for found in shards.values() for path in found]
    store = ClipStore.build(paths, list_columns(stream), scratch, wanted)
    return FrameTargets(store, stream, step, normalise=normalise)

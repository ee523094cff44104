"""Masked prediction of units, as HuBERT and WavLM are pre-trained (Hsu et al. 2021; Chen et al. 2022).

Units are clusters of the frames of the model's own middle layer, as it is before training. HuBERT clusters a middle layer of its
previous iteration; WavLM takes HuBERT's units, which are not published, and also mixes clips, which is not done here.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.masked_contrast import Contrast
from emoadapt.layers.masking import check_speech, mask_spans_of, run_masked, start_mask
from emoadapt.objectives.base import Measured, Outputs, Preview, Untargeted

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch
    from emoadapt.layers.speech import SpeechBackbone
    from emoadapt.layers.trainable import TrainableBackbone

FEATURE = None

MASKS = Contrast(mask_share=0.8)
"""Share of frames in masked spans, and their length, as HuBERT."""
UNITS = 500
"""Most clusters."""
FRAMES_PER_UNIT = 20
"""Frames that there are for a cluster on average at least; of fewer frames fewer clusters are made."""
FRAMES_PER_CLIP = 100
"""Most frames of a clip that are clustered, at equal distances."""
WIDTH = 256
"""Dimension in which frames are compared with units."""
TEMPERATURE = 0.1
"""That similarities are divided by."""


class Predictor(nn.Module):
    """Vector of a masked frame, projection, a vector for each unit, and what a unit is.

    Args:
        backbone: whose frames are masked.
        centroids: (n_units, hidden_width) centres of the clusters.
        commonest: number of the largest cluster.
        seed: of the initial weights, which depend on nothing else.
    """

    centroids: Tensor
    commonest: Tensor

    def __init__(self, backbone: SpeechBackbone, centroids: Tensor, commonest: int, seed: int) -> None:
        super().__init__()
        self.register_buffer("centroids", centroids)
        self.register_buffer("commonest", torch.tensor(commonest))
        with seeded(seed):
            self.mask = start_mask(backbone)
            self.project = nn.Linear(backbone.hidden_width, WIDTH)
            self.units = nn.Parameter(torch.rand(len(centroids), WIDTH))

    def assign(self, frames: Tensor) -> Tensor:
        """Units of frames: (n_frames, hidden_width) -> (n_frames,), the nearest centre."""
        return torch.cdist(frames.float(), self.centroids).argmin(dim=1)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits of the units: (n_frames, hidden_width) -> (n_frames, n_units), cosine over temperature."""
        compared = normalize(self.project(frames).float(), dim=1)
        return compared @ normalize(self.units.float(), dim=1).T / TEMPERATURE


class Objective(Untargeted):
    """Cross-entropy of the units of masked frames (Hsu et al. 2021, Eq. 1 and 3, masked frames alone).

    Spans of the transformer's input are masked in training and in evaluation; their places are drawn as by `wav2vec2`. The start, which
    names the units, reads the whole clip without dropout. `chance` is the share of frames of the largest cluster.
    """

    def begin(self, backbone: TrainableBackbone) -> None:
        """Copy the model.

        Raises:
            ModelError: it is no speech model.
        """
        self.start = deepcopy(check_speech(backbone, "masked_units")).requires_grad_(False).eval()

    def look(self, clips: Preview) -> None:
        """Cluster frames of training clips.

        Raises:
            ModelError: they have too few frames for two units.
        """
        frames = np.concatenate([*self._sample(clips())])
        n_units = min(UNITS, len(frames) // FRAMES_PER_UNIT)
        if n_units < 2:
            raise ModelError(
                f"objective masked_units needs {2 * FRAMES_PER_UNIT} frames of training clips for two units, and there are {len(frames)}; add clips"
            )
        found = KMeans(n_units, n_init=1, max_iter=50, random_state=0).fit(frames)
        self.centroids = torch.from_numpy(found.cluster_centers_).float()
        self.commonest = int(np.bincount(found.labels_).argmax())

    def head(self, backbone: TrainableBackbone, seed: int) -> Predictor:
        """See `Untargeted`."""
        return Predictor(check_speech(backbone, "masked_units"), self.centroids, self.commonest, seed)

    def measure(self, outputs: Outputs, head: Predictor) -> Measured:
        """See the class."""
        frames, lengths = outputs.signals
        masked, _ = mask_spans_of(frames, lengths, outputs.keys, MASKS)
        if not masked.any():
            idle = sum(parameter.sum() for parameter in head.parameters()) + frames.sum()
            return Measured(idle * 0.0, torch.zeros_like(lengths.sum()))
        self.start.to(frames.device)
        with torch.no_grad():
            units = head.assign(self._read(outputs)[masked])
        last = run_masked(check_speech(outputs.backbone, "masked_units"), frames, lengths, masked, head.mask)
        logits = head(last[masked])
        hits, common = logits.argmax(dim=1) == units, units == head.commonest
        scores = {"accuracy": hits.float().mean(), "chance": common.float().mean()}
        return Measured(cross_entropy(logits, units), masked.sum(), scores)

    def _read(self, outputs: Outputs) -> Tensor:
        """The start's middle layer, (batch, n_frames, hidden_width)."""
        states = self.start.encode_layers(*self.start.run_front_end(outputs.batch))
        return states[len(states) // 2]

    def _sample(self, clips: Iterable[Batch]) -> Iterable[np.ndarray]:
        """Frames of the start's middle layer, (n, hidden_width) of each clip."""
        for batch in clips:
            outputs = Outputs(self.start, batch)
            with torch.no_grad():
                states, lengths = self._read(outputs), outputs.signals[1]
            for frames, length in zip(states.float().cpu().numpy(), lengths.tolist(), strict=True):
                places = np.linspace(0, length - 1, min(length, FRAMES_PER_CLIP)).round().astype(int)
                yield frames[places]

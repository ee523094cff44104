"""Predictions of groups of decoded clips.

The batches of a group depend on the group alone, so that every process predicts the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from emoadapt.errors import ConfigError, ModelError
from emoadapt.inference.decoding import DecodedClip, Item
from emoadapt.inference.options import MODELS, Judging
from emoadapt.inference.prediction import Prediction
from emoadapt.inference.windows import WHOLE_SECONDS
from emoadapt.samples import to_float
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

    from emoadapt.data.batching import Batch
    from emoadapt.inference.classifier import EmotionClassifier
    from emoadapt.inference.reader import FeatureReader, Found


def open_reader(classifier: EmotionClassifier, judging: Judging, device: str) -> FeatureReader | None:
    """Reader of the inputs of a classifier; None if it reads audio alone.

    Raises:
        ConfigError: an option does not fit the classifier.
        ModelError: what it reads cannot be computed here.
    """
    if classifier.inputs is not None:
        from emoadapt.inference.reader import FeatureReader

        return FeatureReader(
            classifier.inputs, judging.models_dir or MODELS, device, transcripts=judging.transcripts, language=judging.language,
            languages=judging.languages,
        )  # fmt: skip
    if classifier.reads != ("audio",):
        raise ModelError(
            f"the model reads {classifier.reads[0]}, not audio alone, and its folder has no features.json, which says how that is computed; "
            "copy the whole folder again, or train the model again"
        )
    if options := judging.list_options():
        other = "text" if options[0] != "--models-dir" else "output of other models"
        raise ConfigError(f"the model reads audio and no {other}; leave {' and '.join(options)} out")
    return None


class Judge:
    """Runs the classifier on groups of clips.

    Args:
        classifier: is moved to the device.
        judging: how.
        device: `cpu`, `cuda` or `cuda:<n>`.
    """

    def __init__(self, classifier: EmotionClassifier, judging: Judging, device: str) -> None:
        self.reader = open_reader(classifier, judging, device)
        self.classifier, self.batch_size = classifier.eval().to(device), judging.batch_size

    def judge_group(self, group: Sequence[Item]) -> list[Prediction]:
        """Predictions in the order of the group."""
        if self.reader is not None:
            group = _add_streams(group, self.reader)
        predicted = {place: item for place, item in enumerate(group) if isinstance(item, Prediction)}
        clips = {place: item for place, item in enumerate(group) if isinstance(item, DecodedClip)}
        for batch in self._arrange({place: len(clip.samples) for place, clip in clips.items()}):
            rows = self._run([clips[place] for place in batch])
            for place, row in zip(batch, rows, strict=True):
                found = dict(zip(self.classifier.outputs, row, strict=True))
                predicted[place] = clips[place].predict(found, rated=bool(self.classifier.attributes))
        return [predicted[place] for place in range(len(group))]

    def _arrange(self, lengths: dict[int, int]) -> Iterator[list[int]]:
        """Batches of similar length; recordings longer than usual come in smaller ones."""
        batch: list[int] = []
        for place in sorted(lengths, key=lengths.__getitem__):
            padded = (len(batch) + 1) * lengths[place]
            if batch and (len(batch) == self.batch_size or padded > self.batch_size * WHOLE_SECONDS * SAMPLE_RATE):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _run(self, clips: Sequence[DecodedClip]) -> list[list[float]]:
        """Probabilities of classes, or values of attributes, of clips."""
        given = self._collate(clips)
        try:
            # TF32 would make the result of a clip depend on the algorithm that is chosen for its batch. What is not named
            # here would be switched off with it, cuDNN included.
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                outputs = self.classifier(given)
                return (outputs if self.classifier.attributes else outputs.softmax(dim=1)).cpu().tolist()
        except RuntimeError as error:
            # What the two allocators raise has no class in common.
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            longest = max(len(clip.samples) for clip in clips) / SAMPLE_RATE
            raise ModelError(
                f"out of memory with {len(clips)} clips of up to {longest:.0f} s in a batch; set a smaller batch size, fewer jobs, "
                "or windows instead of whole recordings"
            ) from None

    def _collate(self, clips: Sequence[DecodedClip]) -> list[Tensor] | Batch:
        """Input of the classifier: audio, or a batch of all its streams."""
        if self.reader is None:
            return [torch.from_numpy(to_float(clip.samples)) for clip in clips]
        batch = self.reader.collate([clip.streams for clip in clips if clip.streams is not None])
        return batch.to(next(self.classifier.parameters()).device)


def _add_streams(group: Sequence[Item], reader: FeatureReader) -> list[Item]:
    """A group with the streams of its clips; a clip without the required stream becomes a `Prediction`."""
    found = iter(reader.read([item for item in group if isinstance(item, DecodedClip)]))
    return [_take_streams(item, next(found)) if isinstance(item, DecodedClip) else item for item in group]


def _take_streams(clip: DecodedClip, found: Found) -> Item:
    if found.clip is None:
        return Prediction(
            clip.file, *clip.times, status=found.status, reason=found.reason, text=found.text, peaks=clip.peaks
        )
    return replace(clip, notes=found.reason, text=found.text, streams=found.clip)

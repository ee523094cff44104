"""Predictions of groups of decoded clips, in this process or in one of several.

A group is judged the same wherever it is judged: its batches depend on nothing but the group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emoadapt.errors import ConfigError, ModelError
from emoadapt.features.base import Context
from emoadapt.inference.classifier import load_classifier, look_at
from emoadapt.inference.decoding import DecodedClip, Item
from emoadapt.inference.prediction import Prediction
from emoadapt.inference.windows import WHOLE_SECONDS
from emoadapt.samples import to_float
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

    from emoadapt.data.batching import Batch
    from emoadapt.inference.classifier import EmotionClassifier
    from emoadapt.inference.reader import FeatureReader, Found

MODELS = Path("models")
"""Folder of weights, where none is named."""


@dataclass(frozen=True)
class Judging:
    """How clips are judged.

    Args:
        batch_size: clips that are judged together.
        transcripts: file -> what is said in it; None: it is recognised.
        language: ISO 639-1 code of what is said; None: that of the study, else it is recognised.
        languages: file -> code, before `language`.
        models_dir: folder of weights; None: `models`.
    """

    batch_size: int = 8
    transcripts: Mapping[Path, str] | None = None
    language: str | None = None
    languages: Mapping[Path, str] | None = None
    models_dir: Path | None = None

    def list_options(self) -> list[str]:
        """Options of the command line that only a model which reads more than audio can use."""
        given = {
            "--transcripts": self.transcripts, "--language": self.language or self.languages, "--models-dir": self.models_dir
        }  # fmt: skip
        return [name for name, value in given.items() if value is not None]


def open_reader(classifier: EmotionClassifier, judging: Judging, device: str) -> FeatureReader | None:
    """What computes the streams of a classifier; None of one that reads audio alone.

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
        """What the classifier is given: audio, or a batch of all that it reads."""
        if self.reader is None:
            return [torch.from_numpy(to_float(clip.samples)) for clip in clips]
        batch = self.reader.collate([clip.streams for clip in clips if clip.streams is not None])
        return batch.to(next(self.classifier.parameters()).device)


def _add_streams(group: Sequence[Item], reader: FeatureReader) -> list[Item]:
    """A group whose clips have their streams; what is said of those that lack the required one."""
    found = iter(reader.read([item for item in group if isinstance(item, DecodedClip)]))
    return [_take_streams(item, next(found)) if isinstance(item, DecodedClip) else item for item in group]


def _take_streams(clip: DecodedClip, found: Found) -> Item:
    if found.clip is None:
        return Prediction(
            clip.file, *clip.times, status=found.status, reason=found.reason, text=found.text, peaks=clip.peaks
        )
    return replace(clip, notes=found.reason, text=found.text, streams=found.clip)


# --- in one of several processes ---------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """What a process loads.

    Args:
        folder: of the classifier.
        state: of the folder, when this process and its sisters were asked for.
        judging: how clips are judged.
    """

    folder: Path
    state: tuple[int, ...]
    judging: Judging


class JudgeWorker:
    """A judge in a worker process.

    Args:
        copy: what it loads.
        context: its device and threads.

    Raises:
        ModelError: the folder was replaced since.
    """

    def __init__(self, copy: Copy, context: Context) -> None:
        torch.set_num_threads(context.threads)
        if context.device.startswith("cuda"):
            torch.cuda.set_device(torch.device(context.device))
        classifier = load_classifier(copy.folder)
        if look_at(copy.folder) != copy.state:
            raise ModelError(f"{copy.folder} was replaced while the processes started; try again")
        self.judge = Judge(classifier, copy.judging, context.device)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`predictions` of the `group` of each row."""
        return [{"predictions": self.judge.judge_group(row["group"])} for row in rows]


def count_threads(jobs: int) -> int:
    """Threads of each of several processes."""
    return max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0))) // jobs)

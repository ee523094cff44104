"""Emotions of files of any format and length.

Files are decoded one after another, and a recording of hours window by window: memory does not grow with their number or
length. Clips of similar length are judged together, within a bounded look-ahead, and given in the order of the files. A clip's
result does not depend on what was judged with it. What a model reads besides audio is computed by `emoadapt.inference.reader`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from emoadapt.errors import ClipError, ConfigError, ModelError
from emoadapt.features.audio import Config as AudioConfig
from emoadapt.inference.windows import WHOLE_SECONDS, Cutting, cut_audio
from emoadapt.machine.torch_device import find_device
from emoadapt.media import Log, Piece, Recording, examine, iterate_audio
from emoadapt.samples import to_float
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.notes import join_notes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from emoadapt.data.batching import Batch
    from emoadapt.data.clips import Clip
    from emoadapt.inference.classifier import EmotionClassifier
    from emoadapt.inference.reader import FeatureReader, Found

BATCHES_AHEAD = 4
"""Clips are sorted by length among those of this many batches."""
SECONDS_AHEAD = 600
"""Audio that is decoded ahead, at most: 19 MB."""


@dataclass(frozen=True)
class Prediction:
    """What is said of a file, or of a window of it.

    `status` is `ok`, or as in the tables of features: `absent` (no audio stream, silence) or `failed`, then with a reason,
    `<code>: <detail>`, and without label. The reason of a prediction that is `ok` holds notes on what is odd about the
    audio, the same as in extraction. `start` and `end`, in s on the clock of a player, are missing where the fault is the file's. A model that rates
    attributes gives `values`, in the scale of the corpus it was trained on, instead of `label` and `probabilities`. One that reads
    text gives the `text` that it has read.
    """

    file: Path
    start: float | None = None
    end: float | None = None
    status: str = "ok"
    label: str | None = None
    probabilities: dict[str, float] | None = None
    values: dict[str, float] | None = None
    reason: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class _Clip:
    file: Path
    times: tuple[float, float]
    samples: NDArray[np.int16]
    notes: str | None = None
    text: str | None = None
    streams: Clip | None = None

    def predict(self, found: dict[str, float], *, rated: bool) -> Prediction:
        """The prediction of this clip, from probabilities of classes, or from values of attributes (`rated`)."""
        if not all(map(math.isfinite, found.values())):
            return _refuse(self.file, self.times, ClipError("not_finite", "the model gives no numbers for it"))
        if rated:
            return Prediction(self.file, *self.times, values=found, reason=self.notes, text=self.text)
        label = max(found, key=found.__getitem__)
        return Prediction(self.file, *self.times, label=label, probabilities=found, reason=self.notes, text=self.text)


def _refuse(file: Path, times: tuple[float, float], fault: ClipError) -> Prediction:
    """What is said of a clip instead of a prediction."""
    return Prediction(file, *times, status=fault.status, reason=str(fault))


def predict_files(
    classifier: EmotionClassifier,
    files: Iterable[Path],
    *,
    window: float | None = None,
    hop: float | None = None,
    whole: bool = False,
    batch_size: int = 8,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    transcripts: Mapping[Path, str] | None = None,
    language: str | None = None,
    models_dir: Path = Path("models"),
) -> Iterator[Prediction]:
    """Predict the emotions of files.

    Args:
        classifier: from `load_classifier`; moved to the device.
        files: in any format that FFmpeg reads.
        window: s; None = recordings over 30 s in windows of 10 s, shorter ones whole.
        hop: s from window to window; None = half a window.
        whole: each recording as one, however long (memory grows with it).
        batch_size: clips that are judged together.
        device: `auto` takes a GPU where there is one.
        transcripts: file -> what is said in it, for a model that reads text: nothing is recognised, and all files are whole.
        language: ISO 639-1 code of what is said, for a model that reads text; None = that of the study, else it is recognised.
        models_dir: folder of weights, for a model that reads what a network computes, such as transcripts.

    Returns:
        Iterator over one prediction per file or window, in order; a broken file is a prediction with status and reason,
        after those of its windows before the damage.

    Raises:
        ConfigError: window and hop do not fit, or there is no GPU.
        ModelError: what the model reads cannot be computed here, or a batch needs more memory than there is.
    """
    if transcripts is not None and (window is not None or hop is not None):
        raise ConfigError("a transcript is of a whole file; give either transcripts or windows")
    cutting = Cutting.choose(window, hop, whole or transcripts is not None)
    clips = (clip for file in files for clip in _read(file, cutting))
    found = find_device(device)
    reader = _open_reader(classifier, models_dir, found, transcripts, language)
    judge = _Judge(classifier.eval().to(found), batch_size, reader)
    return (prediction for group in _look_ahead(clips, batch_size) for prediction in judge.judge_group(group))


def _open_reader(
    classifier: EmotionClassifier,
    models_dir: Path,
    device: str,
    transcripts: Mapping[Path, str] | None,
    language: str | None,
) -> FeatureReader | None:
    """What computes the streams of a classifier; None of one that reads audio alone.

    Raises:
        ConfigError: as `predict_files`.
        ModelError: as `predict_files`.
    """
    if classifier.inputs is not None:
        from emoadapt.inference.reader import FeatureReader

        return FeatureReader(classifier.inputs, models_dir, device, transcripts=transcripts, language=language)
    if classifier.reads != ("audio",):
        raise ModelError(
            f"the model reads {classifier.reads[0]}, not audio alone, and its folder has no features.json, which says how that is computed; "
            "copy the whole folder again, or train the model again"
        )
    if transcripts is not None or language is not None:
        option = "--language" if transcripts is None else "--transcripts"
        raise ConfigError(f"the model reads audio and no text; leave {option} out")
    return None


def _read(file: Path, cutting: Cutting) -> Iterator[_Clip | Prediction]:
    """The clips of a file; what is wrong with it, or with one of them, as a prediction."""
    shortest = AudioConfig().min_seconds
    try:
        for times, recording in _cut_file(file, cutting):
            try:
                notes = join_notes(examine(recording, shortest))
            except ClipError as fault:
                yield _refuse(file, times, fault)
            else:
                yield _Clip(file, times, recording.samples, notes)
    except ClipError as error:
        yield Prediction(file, status=error.status, reason=str(error))
    except OSError as error:
        yield Prediction(file, status="failed", reason=f"unreadable: {error.strerror or error}")


def _cut_file(file: Path, cutting: Cutting) -> Iterator[tuple[tuple[float, float], Recording]]:
    """Windows of a file with their times, each as `read_recording` would give that segment."""
    log = Log()
    # Read beside the mean of the channels from the first window on in which they cancel each other.
    channel: Iterator[Piece] | None = None
    for window in cut_audio(iterate_audio(file, log=log), cutting):
        times = (window.position / SAMPLE_RATE, (window.position + len(window.samples)) / SAMPLE_RATE)
        notes, samples = log.list_notes(*times), window.samples
        if log.is_cancelled(*times):
            channel = channel or cut_audio(iterate_audio(file, first_channel=True), cutting)
            samples = next(piece.samples for piece in channel if piece.position == window.position)
            notes = (*notes, log.describe_inversion(*times))
        # What runs in before 0:00 is part of the first window, as it is of the whole file.
        yield (max(times[0], 0.0), times[1]), Recording(samples, log.source_rate, notes)
        log.forget(times[0])


def _look_ahead(clips: Iterable[_Clip | Prediction], batch_size: int) -> Iterator[list[_Clip | Prediction]]:
    """Groups of neighbours, bounded in number and in seconds of audio."""
    group: list[_Clip | Prediction] = []
    samples = 0
    for clip in clips:
        group.append(clip)
        samples += len(clip.samples) if isinstance(clip, _Clip) else 0
        if len(group) >= BATCHES_AHEAD * batch_size or samples >= SECONDS_AHEAD * SAMPLE_RATE:
            yield group
            group, samples = [], 0
    if group:
        yield group


def _add_streams(group: Sequence[_Clip | Prediction], reader: FeatureReader) -> list[_Clip | Prediction]:
    """A group whose clips have their streams; what is said of those that lack the required one."""
    found = iter(reader.read([item for item in group if isinstance(item, _Clip)]))
    return [_take_streams(item, next(found)) if isinstance(item, _Clip) else item for item in group]


def _take_streams(clip: _Clip, found: Found) -> _Clip | Prediction:
    if found.clip is None:
        return Prediction(clip.file, *clip.times, status=found.status, reason=found.reason, text=found.text)
    return replace(clip, notes=found.reason, text=found.text, streams=found.clip)


class _Judge:
    """Runs the classifier on groups of clips.

    Args:
        classifier: on its device.
        batch_size: clips that are judged together.
        reader: computes what it reads; None: it reads audio alone.
    """

    def __init__(self, classifier: EmotionClassifier, batch_size: int, reader: FeatureReader | None) -> None:
        self.classifier, self.batch_size, self.reader = classifier, batch_size, reader

    def judge_group(self, group: Sequence[_Clip | Prediction]) -> list[Prediction]:
        """Predictions in the order of the group."""
        if self.reader is not None:
            group = _add_streams(group, self.reader)
        predicted = {place: item for place, item in enumerate(group) if isinstance(item, Prediction)}
        clips = {place: item for place, item in enumerate(group) if isinstance(item, _Clip)}
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

    def _run(self, clips: Sequence[_Clip]) -> list[list[float]]:
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
                f"out of memory with {len(clips)} clips of up to {longest:.0f} s in a batch; set a smaller batch size, "
                "or windows instead of whole recordings"
            ) from None

    def _collate(self, clips: Sequence[_Clip]) -> list[Tensor] | Batch:
        """What the classifier is given: audio, or a batch of all that it reads."""
        if self.reader is None:
            return [torch.from_numpy(to_float(clip.samples)) for clip in clips]
        batch = self.reader.collate([clip.streams for clip in clips if clip.streams is not None])
        return batch.to(next(self.classifier.parameters()).device)

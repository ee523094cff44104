"""Emotions of files of any format and length.

Files are decoded one after another, and a recording of hours window by window: memory does not grow with their number or
length. Clips of similar length are judged together, within a bounded look-ahead, and given in the order of the files. A clip's
result does not depend on what was judged with it. What a model reads besides audio is computed by `emoadapt.inference.reader`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.errors import ConfigError
from emoadapt.extraction.ahead import run_ahead
from emoadapt.extraction.workers import WorkerPool
from emoadapt.features.audio import Config as AudioConfig
from emoadapt.features.base import Context
from emoadapt.inference.classifier import look_at
from emoadapt.inference.decoding import DecodedClip, Item, Listening, count_decoders, decode_files, is_pipe
from emoadapt.inference.devices import choose_devices
from emoadapt.inference.judging import Judge
from emoadapt.inference.options import Judging
from emoadapt.inference.prediction import Prediction
from emoadapt.inference.processes import Copy, JudgeWorker, count_threads
from emoadapt.inference.windows import Cutting
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.inference.classifier import EmotionClassifier

__all__ = ["Prediction", "predict_apart", "predict_files"]

BATCHES_AHEAD = 4
"""Clips are sorted by length among those of this many batches."""
SECONDS_AHEAD = 600
"""Audio that is decoded ahead, at most: 19 MB."""
_PATIENCE = 86_400.0
"""s that a process may take for a group; a model does not hang as decoders do."""


def predict_files(
    classifier: EmotionClassifier,
    files: Iterable[Path],
    *,
    window: float | None = None,
    hop: float | None = None,
    whole: bool = False,
    batch_size: int = 8,
    device: str = "auto",
    transcripts: Mapping[Path, str] | None = None,
    language: str | None = None,
    languages: Mapping[Path, str] | None = None,
    models_dir: Path | None = None,
    quietest: float | None = None,
    rate: int | None = None,
    peaks: bool = False,
) -> Iterator[Prediction]:
    """Predict the emotions of files, in this process.

    Args:
        classifier: from `load_classifier`; moved to the device.
        files: in any format that FFmpeg reads; `-` is the standard input.
        window: s; None = recordings over 30 s in windows of 10 s, shorter ones whole.
        hop: s from window to window; None = half a window.
        whole: each recording as one, however long (memory grows with it).
        batch_size: clips that are judged together.
        device: `auto` takes a GPU where there is one; `cpu`, `cuda`, `cuda:1`.
        transcripts: file -> what is said in it, for a model that reads text: nothing is recognised, and all files are whole.
        language: ISO 639-1 code of what is said, for a model that reads text; None = that of the study, else it is recognised.
        languages: file -> code, of files whose language is another one.
        models_dir: folder of weights, for a model that reads what a network computes, such as transcripts; None = `models`.
        quietest: dB of full scale; windows whose loudest 0.1 s is below it are absent (`quiet`). None = windows of any level are predicted.
        rate: Hz, of raw samples on the standard input; None = it holds a WAV file.
        peaks: keep the peaks of the audio in the predictions.

    Returns:
        Iterator over one prediction per file or window, in order; a broken file is a prediction with status and reason,
        after those of its windows before the damage.

    Raises:
        ConfigError: window and hop do not fit, or there is no GPU.
        ModelError: what the model reads cannot be computed here, or a batch needs more memory than there is.
    """
    listening = choose_listening(window, hop, whole, transcripts, quietest, rate, peaks)
    (found,) = choose_devices(device, 1)
    judge = Judge(classifier, Judging(batch_size, transcripts, language, languages, models_dir), found)
    groups = look_ahead(decode_files(files, listening), batch_size)
    return (prediction for group in groups for prediction in judge.judge_group(group))


def choose_listening(
    window: float | None,
    hop: float | None,
    whole: bool,
    transcripts: Mapping[Path, str] | None,
    quietest: float | None = None,
    rate: int | None = None,
    peaks: bool = False,
) -> Listening:
    """How recordings are cut, from what a person says; see `predict_files`.

    Raises:
        ConfigError: options contradict each other, or are out of range.
    """
    if transcripts is not None and (window is not None or hop is not None):
        raise ConfigError("a transcript is of a whole file; give either transcripts or windows")
    if quietest is not None and not -100 <= quietest <= 0:
        raise ConfigError(
            f"a level of {quietest:g} dB cannot be: full scale is 0 dB, loud speech -20 dB and a quiet room -60 dB; give a value from -100 to 0"
        )
    if rate is not None and not 1000 <= rate <= 768_000:
        raise ConfigError(f"a sample rate of {rate} Hz cannot be; give that of the raw samples, such as 16000")
    cutting = Cutting.choose(window, hop, whole or transcripts is not None)
    return Listening(cutting, AudioConfig().min_seconds, quietest, peaks, rate)


def predict_apart(
    classifier: EmotionClassifier, files: Iterable[Path], listening: Listening, judging: Judging, device: str
) -> Generator[Prediction]:
    """Predict the emotions of files with a model in this process, while others decode.

    Raises:
        ModelError: as `predict_files`.
    """
    judge = Judge(classifier, judging, device)
    return _judge_here(judge, _decode_ahead(files, listening, judging))


def _judge_here(judge: Judge, groups: Generator[list[Item]]) -> Generator[Prediction]:
    with closing(groups):
        for group in groups:
            yield from judge.judge_group(group)


def predict_in_processes(
    folder: Path, files: Iterable[Path], listening: Listening, judging: Judging, devices: Sequence[str]
) -> Generator[Prediction]:
    """Predict the emotions of files with a model in each of several processes; in the order of the files.

    Groups of clips are the same as for one process, and so are the results, as long as each process has as many threads.

    Args:
        folder: of the classifier.
        files: as in `predict_files`.
        listening: how they are cut.
        judging: how clips are judged.
        devices: one for each process.

    Raises:
        ModelError: as `predict_files`, or the folder was replaced meanwhile.
    """
    threads = count_threads(len(devices))
    contexts = [Context(Path(), device, threads) for device in devices]
    copy = Copy(folder.absolute(), look_at(folder), judging)
    groups = _decode_ahead(files, listening, judging)
    rows = ([{"utterance_id": _name_group(group), "group": group}] for group in groups)
    with closing(groups), WorkerPool(JudgeWorker, copy, contexts, len(devices), _PATIENCE) as pool:
        for row, result in pool.run(rows):
            yield from result.get("predictions") or _set_aside(row["group"], result)


def _name_group(group: Sequence[Item]) -> str:
    """Words for a group in messages."""
    first, last = group[0].file, group[-1].file
    return str(first) if first == last else f"{first} to {last}"


def _set_aside(group: Sequence[Item], result: Mapping[str, Any]) -> Iterator[Prediction]:
    """What is said of a group on which two processes died."""
    for item in group:
        if isinstance(item, Prediction):
            yield item
        else:
            yield Prediction(item.file, *item.times, status=result["status"], reason=result["reason"], peaks=item.peaks)


def _decode_ahead(files: Iterable[Path], listening: Listening, judging: Judging) -> Generator[list[Item]]:
    """Groups of clips, decoded by other processes while a model is at work."""
    return run_ahead(look_ahead(decode_files(files, listening, count_decoders()), judging.batch_size), 1)


def look_ahead(items: Generator[Item], batch_size: int) -> Generator[list[Item]]:
    """Groups of neighbours, bounded in number and in seconds of audio; each window of a pipe by itself, since it may be live."""
    group: list[Item] = []
    samples = 0
    with closing(items):
        for item in items:
            if is_pipe(item.file):
                yield from filter(None, [group, [item]])
                group, samples = [], 0
                continue
            group.append(item)
            samples += len(item.samples) if isinstance(item, DecodedClip) else 0
            if len(group) >= BATCHES_AHEAD * batch_size or samples >= SECONDS_AHEAD * SAMPLE_RATE:
                yield group
                group, samples = [], 0
        if group:
            yield group

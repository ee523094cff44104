"""Sound, a frame and crops of single clips: from tables of features if they are computed, else from the media.

Media are decoded in worker processes, as in extraction: if a file crashes the decoder, only its clip is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from emoadapt import media
from emoadapt.errors import ClipError
from emoadapt.exploring.clips import CLIP, ID
from emoadapt.exploring.features import Feature, read_rows
from emoadapt.exploring.levels import Levels, measure_levels
from emoadapt.exploring.pictures import draw_spectrogram, shrink_crop, shrink_frame, trace_wave
from emoadapt.extraction.workers import WorkerPool
from emoadapt.features import audio
from emoadapt.features.base import Context, Extractor
from emoadapt.samples import from_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emoadapt.config import Study

CROPS = 4
"""Crops of a face that are shown, spread over the frames with a face."""


@dataclass
class Content:
    """What is shown of one clip; pictures are data URIs.

    Args:
        levels: of its sound; None where it has none that can be used.
        wave: outline of its waveform, the `d` of an SVG path.
        spectrogram: of its sound.
        frame: from the middle of a video.
        crops: of faces.
        faces: `31 of 75 frames have a face`, where faces are computed.
        words: the recogniser's; None where they are not computed, or there are none.
        problem: `failed: <code>: <detail>`, where the media were decoded for this page and cannot be used.
    """

    levels: Levels | None = None
    wave: str | None = None
    spectrogram: str | None = None
    frame: str | None = None
    crops: list[str] = field(default_factory=list)
    faces: str | None = None
    words: str | None = None
    problem: str | None = None

    def take_sound(self, sound: bytes) -> None:
        """Keep levels and pictures of (n_samples,) int16, 16 kHz; the samples are not kept."""
        samples = from_bytes(sound)
        self.levels = measure_levels(samples)
        if len(samples):
            self.wave, self.spectrogram = trace_wave(samples), draw_spectrogram(samples)

    def take_faces(self, n_frames: int, crops: Sequence[bytes]) -> None:
        """Keep some crops, spread over all."""
        shown = crops
        if len(crops) > CROPS:
            shown = [crops[round((place + 0.5) * len(crops) / CROPS - 0.5)] for place in range(CROPS)]
        self.faces = f"{len(crops):,} of {n_frames:,} frames have a face"
        self.crops = [picture for crop in shown if (picture := shrink_crop(crop))]


def measure_sound(feature: Feature, clips: Iterable[int]) -> dict[int, Levels]:
    """Levels of the clips whose sound was decoded, a row group in memory at a time."""
    found = ((number, measure_levels(from_bytes(row["audio"]))) for number, row in _read(feature, clips, ["audio"]))
    return {number: levels for number, levels in found if levels is not None}


def collect_contents(
    study: Study, corpus: str, clips: pl.DataFrame, features: Mapping[str, Feature]
) -> dict[int, Content]:
    """Content of each clip by its number.

    Args:
        study: the configuration.
        corpus: the corpus.
        clips: rows of `list_clips`, with a column `seconds`.
        features: features that are computed.
    """
    problem = None if Path(study.corpora[corpus].root).is_dir() else "the media do not exist yet"
    contents = {number: Content(problem=problem) for number in clips[CLIP]}
    video, sound = "video" in study.corpora[corpus].modalities, features.get("audio")
    unheard = clips if video or sound is None else clips.filter(~pl.col(CLIP).is_in(sound.rows[CLIP].implode()))
    if unheard.height and not problem:
        contents |= dict(_decode(study, corpus, unheard, video))
    for number, row in _read(sound, contents, ["audio"]):
        contents[number].take_sound(row["audio"])
    for number, row in _read(features.get("faces"), contents, ["n_frames", "crops"]):
        contents[number].take_faces(row["n_frames"], row["crops"])
    for number, row in _read(features.get("transcript"), contents, ["text"]):
        contents[number].words = row["text"]
    return contents


def _read(feature: Feature | None, clips: Iterable[int], columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(clip, row) of the clips whose row is ok."""
    if feature is not None:
        usable = Feature(feature.name, feature.paths, feature.usable())
        for numbers, table in read_rows(usable, clips, columns):
            yield from zip(numbers, table.to_pylist(), strict=True)


@dataclass(frozen=True)
class Look:
    """How a clip is decoded: the section of its sound, and whether a frame is wanted too."""

    sound: audio.Config
    frame: bool


class Looker:
    """Decodes a clip's sound, and the frame in its middle."""

    def __init__(self, look: Look) -> None:
        self._sound, self._frame = audio.AudioExtractor(look.sound), look.frame

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of `AudioExtractor`, with a key `frame`: (height, width, 3) uint8 RGB, or None."""
        found = self._sound.extract(rows)
        return [one | {"frame": self._pick_frame(row)} for row, one in zip(rows, found, strict=True)]

    def _pick_frame(self, row: dict[str, Any]) -> NDArray[Any] | None:
        begin = row["start"] or 0.0
        for moment in (begin + (row["seconds"] or 0.0) / 2, begin) if self._frame else ():
            try:
                return next(media.iterate_frames(row["path"], moment, row["end"]))[1].copy()
            except (ClipError, StopIteration):
                continue
        return None


def load_looker(look: Look, context: Context) -> Extractor:
    """A `Looker`, in a worker process."""
    return Looker(look)


def _decode(study: Study, corpus: str, clips: pl.DataFrame, video: bool) -> Iterator[tuple[int, Content]]:
    root = Path(study.corpora[corpus].root)
    rows = list(clips.select(CLIP, ID, "media", "start", "end", "seconds").iter_rows(named=True))
    tasks = ([row | {"path": root / row["media"]}] for row in rows)
    look, context = Look(study.features.audio, video), Context(study.weights_folder)
    with WorkerPool(load_looker, look, context, max(1, min(2, len(rows))), study.features.stall_limit) as pool:
        for row, found in pool.run(tasks):
            content, frame = Content(), found.get("frame")
            content.frame = None if frame is None else shrink_frame(frame)
            if found.get("status", "ok") == "ok":
                content.take_sound(found["audio"])
            else:
                content.problem = f"{found['status']}: {found['reason']}"
            yield row[CLIP], content

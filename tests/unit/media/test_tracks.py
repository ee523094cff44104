"""The track that is used, where a file has several of a kind."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from emoadapt.detectors.base import Face
from emoadapt.faces import cropping as faces
from emoadapt.features.audio import Config as AudioConfig
from emoadapt.features.audio import load as load_audio
from emoadapt.features.base import Context
from emoadapt.features.faces import Config as FacesConfig
from emoadapt.inference.decoding import Listening, read_clips
from emoadapt.inference.windows import Cutting
from emoadapt.media import decode_audio, iterate_frames, read_recording

RATE = 16000
TONES = (300, 1000, 2500)
GREYS = (40, 120, 220)


def write_tracks(path: Path, defaults: list[bool], languages: list[str] | None = None, kind: str = "audio") -> Path:
    """A film with one track a flag: tones of 300, 1000 and 2500 Hz, or three shades of grey."""
    with av.open(str(path), "w", options={"default_mode": "passthrough"} if path.suffix == ".mkv" else {}) as container:
        streams = []
        for number, flag in enumerate(defaults):
            stream = container.add_stream(
                "flac" if kind == "audio" else "libx264", rate=RATE if kind == "audio" else 25
            )
            if kind == "audio":
                stream.layout = "mono"
            else:
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = Disposition.default if flag else Disposition.dub
            if languages:
                stream.metadata["language"] = languages[number]
            streams.append(stream)
        for number, stream in enumerate(streams):
            for frame in (make_tone if kind == "audio" else make_greys)(number):
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def make_tone(number: int) -> list[av.AudioFrame]:
    samples = (8000 * np.sin(2 * np.pi * TONES[number] * np.arange(RATE) / RATE)).astype(np.int16)
    frames = []
    for begin in range(0, RATE, 4000):
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, begin : begin + 4000], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        frames.append(frame)
    return frames


def make_greys(number: int) -> list[av.VideoFrame]:
    return [
        av.VideoFrame.from_ndarray(np.full((48, 64, 3), GREYS[number], np.uint8), format="rgb24") for _ in range(10)
    ]


def heard(samples: np.ndarray) -> int:
    """The tone, in Hz."""
    return round(float(np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)), -1)


@pytest.mark.parametrize(
    ("defaults", "used", "note"),
    [
        ([False, True], 1, "2 audio tracks, the default one, number 2 (eng), is used"),
        ([True, False], 0, "2 audio tracks, the default one, number 1 (deu), is used"),
        ([False, False, True], 2, "3 audio tracks, the default one, number 3, is used"),
        ([True, True], 0, "2 audio tracks, number 1 (deu) is used"),
        ([False, True, True], 1, "3 audio tracks, number 2 (eng) is used"),
        ([False, False], 0, "2 audio tracks, number 1 (deu) is used"),
    ],
)
def test_the_default_audio_track_is_used_and_noted(tmp_path: Path, defaults: list[bool], used: int, note: str) -> None:
    """Symptom: the first track was used, whichever language a player would have given."""
    path = write_tracks(tmp_path / "a.mkv", defaults, ["deu", "eng", "und"][: len(defaults)])
    recording = read_recording(path)
    assert heard(recording.samples) == TONES[used]
    assert recording.notes == (f"several_tracks: {note}",)
    assert heard(decode_audio(path, 0.2, 0.7)) == TONES[used]


def test_the_note_stands_in_the_row_beside_others(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", [False, True])
    (row,) = load_audio(AudioConfig(), Context(tmp_path)).extract([{"path": path, "start": None, "end": None}])
    assert row["reason"] == "several_tracks: 2 audio tracks, the default one, number 2, is used"


def test_prediction_uses_the_default_track(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", [False, True])
    (clip,) = read_clips(path, Listening(Cutting.choose(None, None, True), 0.0))
    assert heard(clip.samples) == TONES[1]


@pytest.mark.parametrize(("defaults", "used"), [([False, True], 1), ([True, False], 0), ([False, False], 0)])
def test_the_default_video_track_is_used_and_noted(tmp_path: Path, defaults: list[bool], used: int) -> None:
    path = write_tracks(tmp_path / "a.mkv", defaults, kind="video")
    notes: list[str] = []
    frames = list(iterate_frames(path, None, None, None, None, notes))
    assert len(frames) == 10
    assert abs(int(frames[0][1].mean()) - GREYS[used]) < 8
    which = f"the default one, number {used + 1}," if any(defaults) else "number 1"
    assert notes == [f"several_tracks: 2 video tracks, {which} is used"]


def test_the_note_stands_in_the_row_of_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Everywhere:
        def detect(self, frames: list[np.ndarray]) -> list[list[Face]]:
            return [[Face((10.0, 10.0, 40.0, 40.0), 0.99)] for _ in frames]

    monkeypatch.setattr(faces, "load_detector", lambda *args: Everywhere())
    path = write_tracks(tmp_path / "a.mkv", [False, True], kind="video")
    row = {"utterance_id": "test/a", "path": path, "start": None, "end": None}
    (result,) = faces.FacesExtractor(FacesConfig(crop_size=32), Context(tmp_path)).extract([row])
    assert len(result["crops"]) == 10
    assert result["reason"] == "several_tracks: 2 video tracks, the default one, number 2, is used"


def test_one_track_needs_no_note(tmp_path: Path) -> None:
    notes: list[str] = []
    list(iterate_frames(write_tracks(tmp_path / "a.mkv", [True], kind="video"), notes=notes))
    assert notes == []
    assert read_recording(write_tracks(tmp_path / "b.mkv", [True])).notes == ()


def test_a_language_that_is_no_language_stays_out_of_the_note(tmp_path: Path) -> None:
    """Notes are joined by a bar, which a file must not be able to forge."""
    path = write_tracks(tmp_path / "a.mkv", [True, False], ["x | no_face: a", "deu"])
    assert read_recording(path).notes == ("several_tracks: 2 audio tracks, the default one, number 1, is used",)

"""Segments of files in which seeking misleads. Second k of the sound is a tone of 300 + 100 k Hz, of the pictures a grey of 20 k."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from emoadapt.media import iterate_audio, iterate_frames, read_recording

RATE, FPS, SECONDS = 16000, 25, 12


def make_tones(rate: int = RATE) -> np.ndarray:
    time = np.arange(SECONDS * rate) / rate
    return (0.3 * np.sin(2 * np.pi * (300 + 100 * np.floor(time)) * time)).astype(np.float32)


def find_second(samples: np.ndarray) -> int:
    """Second that a tone stands for."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
    return round((np.argmax(spectrum) * RATE / (1 << 16) - 300) / 100)


def add_picture(container: av.container.OutputContainer, codec: str = "libx264", gop: int = 25, **options: str):
    stream = container.add_stream(codec, rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.gop_size = gop
    return stream


def add_sound(container: av.container.OutputContainer, codec: str):
    stream = container.add_stream(codec, rate=RATE)
    stream.layout = "mono"
    return stream


def mux_pictures(
    container: av.container.OutputContainer, stream, at: Callable[[int], float | None] = lambda index: index / FPS
) -> None:
    """Pictures by the time of each, s; None = it is left out."""
    for index in range(SECONDS * FPS):
        time = at(index)
        if time is not None:
            image = np.full((48, 64, 3), 20 * (index // FPS), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * FPS), Fraction(1, FPS)
            container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def mux_sound(container: av.container.OutputContainer, stream, late: float = 0.0, size: int = 1000) -> None:
    tones = make_tones()[np.newaxis]
    if stream.codec_context.format.name == "s16":
        tones, layout = (tones * 32767).astype(np.int16), "s16"
    else:
        layout = "fltp"
    size = stream.codec_context.frame_size or size
    for begin in range(0, tones.shape[1], size):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tones[:, begin : begin + size]), layout, "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin + round(late * RATE), Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def list_greys(path: Path, start: float | None = None, end: float | None = None, **options) -> list[tuple[float, int]]:
    """Time and second of each picture."""
    return [
        (round(time, 2), round(float(image.mean()) / 20)) for time, image in iterate_frames(path, start, end, **options)
    ]


# --- seeking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_ms", "adpcm_yamaha", "g722", "pcm_s16le", "pcm_mulaw"])
def test_a_segment_of_a_compressed_wav_is_a_slice_of_the_whole(tmp_path: Path, codec: str) -> None:
    """Symptom: segments of ADPCM and G.722 were up to 4 s off, since FFmpeg's stamps are wrong after a seek."""
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        mux_sound(container, add_sound(container, codec))
    whole = read_recording(path).samples
    for start, end in ((3.0, 4.0), (7.3, 8.1), (10.25, 11.0)):
        got = read_recording(path, start, end).samples
        np.testing.assert_array_equal(got, whole[round(start * RATE) : round(end * RATE)])
        assert find_second(got[:8000]) == int(start)


def write_late_picture(path: Path, first: int = 8) -> Path:
    """Sound from 0 s on, pictures from `first` on."""
    with av.open(str(path), "w") as container:
        picture, sound = add_picture(container), add_sound(container, "aac")
        mux_pictures(container, picture, lambda index: index / FPS if index >= first * FPS else None)
        mux_sound(container, sound)
    return path


def test_sound_before_the_first_picture_is_found_by_seeking(tmp_path: Path) -> None:
    """Symptom: the first picture at 8 s was sought, and the sound from 5 s to 8 s was lost."""
    path = write_late_picture(tmp_path / "a.mp4")
    (piece, *_) = iterate_audio(path, 5.0, 7.0)
    assert piece.position == 5 * RATE
    recording = read_recording(path, 5.0, 10.0)
    assert len(recording.samples) == 5 * RATE and recording.notes == ()
    assert [find_second(recording.samples[k * RATE + 3200 : k * RATE + 12800]) for k in range(5)] == [5, 6, 7, 8, 9]
    assert list_greys(path, 5.0, 9.0) == [(round(k / FPS, 2), 8) for k in range(8 * FPS, 9 * FPS)]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_pictures_of_the_second_track_are_whole_after_a_seek(tmp_path: Path, name: str) -> None:
    """Symptom: key frames of the first track were sought, and pictures of the second were lost."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        first, second = add_picture(container, gop=25), add_picture(container, gop=1000, sc_threshold="0")
        first.disposition, second.disposition = Disposition(0), Disposition.default
        packets = []
        for stream in (first, second):
            for index in range(SECONDS * FPS):
                image = np.full((48, 64, 3), 20 * (index // FPS), np.uint8)
                packets += stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    assert list_greys(path, 8.5, 9.5) == [(round(k / FPS, 2), k // FPS) for k in range(213, 238)]

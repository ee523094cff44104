"""One clip of each kind that goes wrong in real collections, and a few good ones; small, generated, the same every time."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

FPS, FRAMES = 10, 8
HEIGHT, WIDTH = 256, 320


# --- what clips are made of ------------------------------------------------------------------------


def make_voice(seed: int, seconds: float = FRAMES / FPS, rate: int = 16000) -> np.ndarray:
    """(n_samples,) float32: a buzz with four harmonics and some noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 110 + 40 * rng.random()
    buzz = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 5))
    return (0.1 * buzz + 0.01 * rng.standard_normal(time.size)).astype(np.float32)


@cache
def make_portrait() -> np.ndarray:
    """Head and shoulders, (256, 320, 3) uint8."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:HEIGHT, 58 : 58 + WIDTH])


def write_film(
    path: Path,
    pictures: list[np.ndarray] | None,
    sound: np.ndarray | None,
    *,
    times: list[int] | None = None,
    rotation: int | None = None,
    faststart: bool = False,
) -> Path:
    """H.264 and AAC in MP4.

    Args:
        path: file to write.
        pictures: (H, W, 3) uint8 each; None = no video stream.
        sound: (n_samples,) float32, 16 kHz; None = no audio stream.
        times: when each picture is shown, in frames of 1 / FPS s; None = one after the other.
        rotation: degrees by which a player is to turn the picture.
        faststart: put the index first, so that a cut file still opens.
    """
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        video = audio = None
        if pictures is not None:
            video = container.add_stream("libx264", rate=FPS, options={"crf": "12", "preset": "ultrafast"})
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
            if rotation is not None:
                video.set_display_rotation(rotation)
        if sound is not None:
            audio = container.add_stream("aac", rate=16000)
            audio.layout = "mono"
        for index, picture in enumerate(pictures or []):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (times[index] if times else index), Fraction(1, FPS)
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode(None))
        if audio is not None:
            encode_sound(container, audio, sound)
    return path


def encode_sound(container: av.container.OutputContainer, stream: av.AudioStream, sound: np.ndarray) -> None:
    for begin in range(0, len(sound), 1024):
        block = np.ascontiguousarray(sound[np.newaxis, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, begin, Fraction(1, stream.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_song(path: Path) -> Path:
    """An MP3 file with cover art."""
    from av.stream import Disposition

    with av.open(str(path), "w", format="mp3") as container:
        sound = container.add_stream("libmp3lame", rate=16000)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(make_portrait(), format="rgb24")))
        container.mux(cover.encode(None))
        encode_sound(container, sound, make_voice(5))
    return path


def write_long_wave(path: Path) -> Path:
    """40 minutes of 8-bit silence at 8 kHz, as a file with a hole."""
    seconds = 2400
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
        file.writeframes(b"")
    head = bytearray(path.read_bytes())
    size = seconds * 8000
    head[4:8], head[40:44] = (len(head) - 8 + size).to_bytes(4, "little"), size.to_bytes(4, "little")
    path.write_bytes(head)
    with path.open("ab") as file:
        file.truncate(len(head) + size)
    return path


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


# --- good clips ------------------------------------------------------------------------------------


def write_good_clips(folder: Path, count: int = 3) -> list[str]:
    """Films of a talking portrait; their names without extension."""
    names = [f"good{i}" for i in range(count)]
    for i, name in enumerate(names):
        pictures = [np.roll(make_portrait(), 2 * k, axis=1) for k in range(FRAMES)]
        write_film(folder / f"{name}.mp4", pictures, make_voice(100 + i))
    return names


# --- bad clips and odd ones --------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of clip that goes wrong, or looks as if it would.

    Args:
        file: its name.
        make: writes it.
        audio: (status, code) of its row in the quarantine table; None = it is as good as any.
        faces: the same for faces, as the Haar cascade finds them.
    """

    file: str
    make: Callable[[Path], object]
    audio: tuple[str, str] | None = None
    faces: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        return self.file.rpartition(".")[0]


def _film(
    path: Path, picture: np.ndarray | None = None, sound: np.ndarray | None = None, count: int = FRAMES, **options: Any
) -> Path:
    pictures = [make_portrait() if picture is None else picture] * count
    return write_film(path, pictures, make_voice(1) if sound is None else sound, **options)


def _wave(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, format="WAV", subtype=subtype)
    return path


def _channels(count: int) -> np.ndarray:
    return np.stack([make_voice(seed) for seed in range(count)], axis=1)


_NO_PICTURES = ("absent", "no_video_stream")
_DAMAGED = ("failed", "undecodable")
_CUT = ("failed", "truncated")
_LONG = ("failed", "too_long")
_LOOP = ("failed", "unreadable")

KINDS = [
    Kind("zero_bytes.mp4", Path.touch, _DAMAGED, _DAMAGED),
    Kind("noise.mp4", lambda p: p.write_bytes(np.random.default_rng(0).bytes(5000)), _DAMAGED, _DAMAGED),
    Kind("cut_recording.wav", lambda p: cut(_wave(p, make_voice(2)), 0.6), _CUT, _NO_PICTURES),
    Kind("cut_film.mp4", lambda p: cut(_film(p, faststart=True), 0.6), _CUT, _CUT),
    Kind("no_sound.mp4", lambda p: write_film(p, [make_portrait()] * FRAMES, None), ("absent", "no_audio_stream")),
    Kind("no_pictures.mp4", lambda p: write_film(p, None, make_voice(3)), None, _NO_PICTURES),
    Kind("cover_art.mp3", write_song, None, _NO_PICTURES),
    Kind("one_picture.mp4", lambda p: _film(p, count=1), None, ("absent", "still_image")),
    Kind("no_face.mp4", lambda p: _film(p, np.full((HEIGHT, WIDTH, 3), 120, np.uint8)), None, ("absent", "no_face")),
    Kind("two_faces.mp4", lambda p: _film(p, np.tile(make_portrait(), (1, 2, 1))), None, ("noted", "several_faces")),
    Kind("silence.mp4", lambda p: _film(p, sound=np.zeros(12800, np.float32)), ("absent", "silent")),
    Kind("20_ms.wav", lambda p: _wave(p, make_voice(4, 0.02)), ("failed", "too_short"), _NO_PICTURES),
    Kind("40_minutes.wav", write_long_wave, _LONG, _NO_PICTURES),
    Kind("40_minutes_of_film.mp4", lambda p: _film(p, count=3, times=[0, 12000, 24000]), None, _LONG),
    Kind("8_khz.wav", lambda p: _wave(p, make_voice(6, 0.8, 8000), 8000), ("noted", "narrow_band"), _NO_PICTURES),
    Kind("96_khz.wav", lambda p: _wave(p, make_voice(7, 0.8, 96000), 96000), None, _NO_PICTURES),
    Kind("5_1_channels.wav", lambda p: _wave(p, _channels(6)), None, _NO_PICTURES),
    Kind("not_numbers.wav", lambda p: _wave(p, np.array([0, np.nan] * 4000), subtype="FLOAT"), ("failed", "not_finite"), _NO_PICTURES),
    Kind("integers.wav", lambda p: _wave(p, 32768 * make_voice(9), subtype="FLOAT"), ("failed", "float_scale"), _NO_PICTURES),
    Kind("inverted.wav", lambda p: _wave(p, _channels(1) * [1, -1]), ("noted", "inverted_channel"), _NO_PICTURES),
    Kind("offset.wav", lambda p: _wave(p, 0.1 * make_voice(10) + 0.1), ("noted", "offset"), _NO_PICTURES),
    Kind("variable_frame_rate.mp4", lambda p: _film(p, count=5, times=[0, 1, 4, 5, 11])),
    Kind("sideways.mp4", lambda p: _film(p, np.ascontiguousarray(np.rot90(make_portrait())), rotation=-90)),
    Kind("wrong_extension.mp4", lambda p: _wave(p, make_voice(8)), None, _NO_PICTURES),
    Kind("name with spaces, ü and 声.mp4", _film),
    Kind("link_to_itself.mp4", lambda p: p.symlink_to(p.name), _LOOP, _LOOP),
]  # fmt: skip

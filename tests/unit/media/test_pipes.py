"""A pipe gives what its file gives, and says how it ended."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoadapt.errors import ClipError
from emoadapt.media import Log, Piece, read_recording
from emoadapt.media.pipes import open_pipe


class Dripping(io.RawIOBase):
    """A pipe that gives few bytes at a time, as one between processes may."""

    def __init__(self, content: bytes, step: int) -> None:
        self._content, self._step = io.BytesIO(content), step

    def read(self, length: int = -1) -> bytes:
        return self._content.read(min(length, self._step))


def make_noise(path: Path, channels: int = 2, rate: int = 44_100, subtype: str = "PCM_16") -> bytes:
    noise = 0.1 * np.random.default_rng(0).standard_normal((rate + 321, channels))
    soundfile.write(path, noise.astype(np.float32), rate, subtype=subtype)
    return path.read_bytes()


def join(pieces: Iterable[Piece]) -> np.ndarray:
    return np.concatenate([piece.samples for piece in pieces])


def read(content: bytes, rate: int | None = None, step: int = 1 << 20) -> tuple[np.ndarray, np.ndarray, Log]:
    log = Log()
    with open_pipe(Dripping(content, step), rate, log) as (mean, first):
        return join(mean), join(first), log


def find_fault(content: bytes, rate: int | None = None) -> tuple[str, int]:
    """The fault, and the samples before it."""
    parts: list[np.ndarray] = []
    with pytest.raises(ClipError) as error, open_pipe(io.BytesIO(content), rate, Log()) as (mean, _):
        for piece in mean:
            parts.append(piece.samples)
    return str(error.value), sum(map(len, parts))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT"])
@pytest.mark.parametrize(("channels", "rate"), [(1, 16_000), (2, 44_100), (6, 48_000)])
def test_samples_are_those_of_the_file(tmp_path: Path, subtype: str, channels: int, rate: int) -> None:
    content = make_noise(tmp_path / "a.wav", channels, rate, subtype)
    mean, _, log = read(content, step=1000)
    np.testing.assert_array_equal(mean, read_recording(tmp_path / "a.wav").samples)
    assert log.source_rate == rate


def test_first_channel_comes_beside_the_mean(tmp_path: Path) -> None:
    noise = make_noise(tmp_path / "a.wav", 1)
    samples = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    soundfile.write(tmp_path / "b.wav", np.stack([samples, -samples], 1), 44_100)
    mean, first, log = read((tmp_path / "b.wav").read_bytes())
    assert not mean.any() and log.is_cancelled()
    np.testing.assert_array_equal(first, read(noise)[0])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF], ids=["zero", "ffmpeg", "arecord"])
def test_sizes_that_are_placeholders_are_no_claim(tmp_path: Path, size: int) -> None:
    content = bytearray(make_noise(tmp_path / "a.wav"))
    content[4:8] = content[40:44] = struct.pack("<I", size)
    np.testing.assert_array_equal(read(bytes(content))[0], read_recording(tmp_path / "a.wav").samples)


def test_raw_samples_are_those_of_a_wav_file(tmp_path: Path) -> None:
    content = make_noise(tmp_path / "a.wav", channels=1, rate=8000)
    mean, _, log = read(content[44:], rate=8000, step=333)
    np.testing.assert_array_equal(mean, read_recording(tmp_path / "a.wav").samples)
    assert log.source_rate == 8000


@pytest.mark.parametrize(
    ("content", "rate", "reason"),
    [
        (b"", None, "undecodable: the standard input is empty; the command before the pipe has written nothing"),
        (b"", 16_000, "undecodable: the standard input is empty; the command before the pipe has written nothing"),
        (b"ID3\x04 and so on", None, "undecodable: the standard input holds no WAV file, but begins with b'ID3\\x04'; convert it"),
        (b"RIFF\0\0\0\0WAVEfmt ", None, "undecodable: the standard input has a WAV header without samples; 16 bytes were read"),
        (b"RIFF\0\0\0\0WAVEfmt ", 16_000, "undecodable: the standard input holds a WAV file, which states its sample rate; leave --rate out"),
    ],
)  # fmt: skip
def test_what_holds_no_audio_is_said(content: bytes, rate: int | None, reason: str) -> None:
    assert find_fault(content, rate)[0].startswith(reason)


def test_end_within_a_file_comes_behind_the_audio_before(tmp_path: Path) -> None:
    content = make_noise(tmp_path / "a.wav", channels=1, rate=16_000)
    reason, n_samples = find_fault(content[:20_044])
    assert reason == (
        f"truncated: the standard input ended after 20,044 bytes; its header announces {len(content):,}, so the end is missing"
    )
    assert n_samples == 10_000
    reason, n_samples = find_fault(content[44:2049], rate=16_000)
    assert reason == "truncated: the standard input has 2,005 bytes, of which the last is half a sample"
    assert n_samples == 1002


def test_what_follows_the_counted_samples_is_not_dropped_in_silence(tmp_path: Path) -> None:
    content = make_noise(tmp_path / "a.wav", channels=1, rate=16_000)
    tags = b"LIST" + struct.pack("<I", 3000) + bytes(3000)
    np.testing.assert_array_equal(read(content + tags)[0], read_recording(tmp_path / "a.wav").samples)
    assert find_fault(content + content)[0].startswith("joined_file: the standard input holds a second file from byte")
    reason, n_samples = find_fault(content + content[44:6044])
    assert reason == (
        f"stale_header: the header of the standard input counts {len(content) - 44:,} bytes of audio, which were used; 6,000 bytes after "
        "them were not"
    )
    assert n_samples == (len(content) - 44) // 2

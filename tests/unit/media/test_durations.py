"""Lengths without decoding, against lengths that were encoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emoadapt.media.durations import declared_seconds, demuxed_seconds

RATE = 16000


def encode(path: Path, samples: np.ndarray, codec: str, container: str | None = None) -> Path:
    """Mono, 16 kHz; samples are (n_samples,) float32."""
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        for begin in range(0, len(samples), 1024):
            block = samples[np.newaxis, begin : begin + 1024]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def make_noise(seconds: float) -> np.ndarray:
    return (0.3 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.m4a", "aac"), ("a.mka", "aac"), ("a.mp3", "libmp3lame"), ("a.ogg", "libopus"),
     ("a.ts", "aac"), ("a.caf", "pcm_s16le"), ("a.w64", "pcm_s16le"), ("a.aac", "aac")],
)  # fmt: skip
def test_lengths_are_those_that_were_encoded(name, codec, tmp_path):
    path = encode(tmp_path / name, make_noise(4), codec)
    # A frame of AAC is 64 ms at this rate, and an encoder's run-in takes two.
    assert declared_seconds(path) == pytest.approx(4, abs=0.2)
    assert demuxed_seconds(path) == pytest.approx(4, abs=0.2)


def test_length_that_is_estimated_is_wrong_and_reading_through_is_right(tmp_path):
    """ADTS declares no length: FFmpeg divides the size by the bit rate of the beginning."""
    samples = make_noise(10)
    samples[2 * RATE :] = 0
    path = encode(tmp_path / "a.aac", samples, "aac")
    assert declared_seconds(path) < 8
    assert demuxed_seconds(path) == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "aac"), ("a.ogg", "libopus"), ("a.flac", "flac")])
def test_joined_files_have_no_length_without_decoding(name, codec, tmp_path):
    """Symptom: `check` refused segments of the second part, which extraction reads."""
    content = encode(tmp_path / name, make_noise(4), codec).read_bytes()
    (tmp_path / f"joined_{name}").write_bytes(2 * content)
    found = demuxed_seconds(tmp_path / f"joined_{name}")
    assert found is None or found == pytest.approx(8, abs=0.2)


def test_other_files_have_no_length(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for path in (tmp_path / "a.wav", tmp_path / "missing.wav", tmp_path):
        assert declared_seconds(path) is None
        assert demuxed_seconds(path) is None

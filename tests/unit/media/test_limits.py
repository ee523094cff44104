"""Clips that are refused for their length, and lengths that are no reason to."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emoadapt.errors import ClipError
from emoadapt.media import read_recording
from emoadapt.media.durations import declared_seconds

RATE, QUIET, SECONDS = 16000, 5, 10


def make_quiet_start() -> np.ndarray:
    """Digital silence, in which a variable bit rate is low, then noise."""
    samples = (0.3 * np.random.default_rng(0).standard_normal(RATE * SECONDS)).astype(np.float32)
    samples[: QUIET * RATE] = 0
    return samples


def encode(path: Path, codec: str, jump: float = 0.0, **options: str) -> Path:
    """Stamps jump where the noise begins."""
    samples = make_quiet_start()
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for begin in range(0, len(samples), 1600):
            block = np.ascontiguousarray(samples[np.newaxis, begin : begin + 1600])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            for packet in stream.encode(frame):
                mux(container, packet, jump)
        for packet in stream.encode(None):
            mux(container, packet, jump)
    return path


def mux(container: av.container.OutputContainer, packet: av.Packet, jump: float) -> None:
    if packet.pts is not None and packet.pts * packet.time_base >= QUIET:
        ticks = round(jump / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
    container.mux(packet)


def make_vbr_mp3(path: Path) -> Path:
    """Frames without a table: 5 s at 8 kb/s, 5 s at 64 kb/s. The sound is the same."""
    parts = []
    for rate, seconds in ((8000, QUIET), (64_000, SECONDS - QUIET)):
        with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as container:
            stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
            stream.bit_rate = rate
            noise = (0.3 * np.random.default_rng(1).standard_normal((1, RATE * seconds))).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate = RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def check(path: Path) -> None:
    """The header's length, as FFmpeg guesses it, is beyond the limit; the sound is not."""
    assert declared_seconds(path) > 15
    assert len(read_recording(path, max_seconds=15.0).samples) / RATE == pytest.approx(SECONDS, abs=0.4)
    assert len(read_recording(path, 6.0, None, max_seconds=15.0).samples) / RATE == pytest.approx(SECONDS - 6, abs=0.4)
    with pytest.raises(ClipError, match="too_long"):
        read_recording(path, max_seconds=8.0)


def test_an_estimate_for_adts_is_no_length(tmp_path: Path) -> None:
    """Symptom: 40 s were `too_long` for a limit of 600, as FFmpeg guessed 912 s from the quiet beginning."""
    check(encode(tmp_path / "a.aac", "aac"))


def test_an_estimate_for_mp3_without_a_table_is_no_length(tmp_path: Path) -> None:
    check(make_vbr_mp3(tmp_path / "a.mp3"))


def test_a_jump_of_the_stamps_is_no_length(tmp_path: Path) -> None:
    check(encode(tmp_path / "a.ts", "aac", jump=5000.0))

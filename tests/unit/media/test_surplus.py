"""Bytes behind the end of a file that its header declares."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from emoadapt.errors import ClipError
from emoadapt.media import read_recording

RATE, SECONDS = 16000, 2


def make_noise(seconds: float = SECONDS) -> np.ndarray:
    return (3000 * np.random.default_rng(0).standard_normal(round(RATE * seconds))).astype(np.int16)


def encode(path: Path, codec: str, form: str | None = None, **options: str) -> bytes:
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        if codec == "wmav2":
            stream.bit_rate = 64_000
        samples = make_noise()
        for begin in range(0, len(samples), 640):
            block = np.ascontiguousarray(samples[np.newaxis, begin : begin + 640])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


JOINED = [
    ("a.mp4", "aac", None), ("a.flv", "aac", None), ("a.wma", "wmav2", "asf"), ("a.wav", "pcm_s16le", None),
    ("a.wav", "pcm_s16le", "w64"), ("a.aiff", "pcm_s16be", None), ("a.caf", "pcm_s16le", None), ("a.tta", "tta", None),
    ("a.voc", "pcm_s16le", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "form"), JOINED)
def test_a_file_joined_to_another_is_noted(tmp_path: Path, name: str, codec: str, form: str | None) -> None:
    """Symptom: of two files joined by `cat`, the second was dropped without a word."""
    path = tmp_path / name
    content = encode(path, codec, form)
    assert read_recording(path).notes == ()
    path.write_bytes(content + content)
    recording = read_recording(path)
    assert len(recording.samples) / RATE == pytest.approx(SECONDS, abs=0.2)
    (note,) = recording.notes
    size = len(content)
    assert note == f"joined_file: a second file begins at byte {size}; its {size} bytes are not read"


@pytest.mark.parametrize(("name", "codec", "form"), JOINED)
def test_a_tag_behind_a_file_is_no_second_file(tmp_path: Path, name: str, codec: str, form: str | None) -> None:
    path = tmp_path / name
    path.write_bytes(encode(path, codec, form) + b"TAG" + bytes(125))
    assert read_recording(path).notes == ()


def test_fragments_of_one_movie_are_no_second_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encode(path, "aac", movflags="frag_keyframe+empty_moov", frag_duration="300000")
    assert read_recording(path).notes == ()


@pytest.mark.parametrize("form", ["AIFF", "CAF", "W64"])
def test_samples_that_a_header_does_not_count_are_noted_in_all_chunked_formats(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    soundfile.write(path, make_noise(), RATE, format=form, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + np.random.default_rng(1).bytes(50_000))
    (note,) = read_recording(path).notes
    found = re.fullmatch(
        r"stale_header: the header counts (\d+) bytes of audio, which are used; 50000 bytes after them are not", note
    )
    # A chunk may have a few bytes before its samples.
    assert found and 0 <= int(found[1]) - 2 * RATE * SECONDS <= 8


def make_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize("between", [b"", make_chunk(b"junk", bytes(100))])
def test_a_wav_file_with_two_data_chunks_is_refused(tmp_path: Path, between: bytes) -> None:
    """Symptom: the last one was read as if it began at 0:00, and a segment held another place's sound."""
    samples = make_noise().tobytes()
    head = b"WAVE" + make_chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
    path = tmp_path / "a.wav"
    path.write_bytes(
        make_chunk(
            b"RIFF", head + make_chunk(b"data", samples[:20_000]) + between + make_chunk(b"data", samples[20_000:])
        )
    )
    for span in ((None, None), (0.2, 0.8)):
        with pytest.raises(ClipError, match=r"^undecodable: a\.wav has its samples in 2 `data` chunks") as caught:
            read_recording(path, *span)
        assert caught.value.status == "failed"

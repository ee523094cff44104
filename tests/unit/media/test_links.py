"""Files that were joined from several, each with a beginning of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from emoadapt.media import decode_audio

RATE = 16000


def make_noise(seconds: float, rate: int) -> np.ndarray:
    return (3000 * np.random.default_rng(0).standard_normal(round(rate * seconds))).astype(np.int16)


def test_an_ogg_file_may_have_many_links(tmp_path: Path) -> None:
    """Symptom: the end of a stream of 600 links was a RecursionError, which ended the job."""
    links, seconds = [], 0.0
    for rate in (8000, 16000):
        soundfile.write(tmp_path / "link.ogg", make_noise(0.1, rate), rate, format="OGG", subtype="VORBIS")
        links.append((tmp_path / "link.ogg").read_bytes())
        # FFmpeg does not cut the end of a stream of one page.
        seconds += len(decode_audio(tmp_path / "link.ogg")) / RATE
    (tmp_path / "a.ogg").write_bytes(b"".join(links) * 300)
    assert len(decode_audio(tmp_path / "a.ogg")) / RATE == pytest.approx(300 * seconds, abs=0.01)


# --- AMR ---------------------------------------------------------------------------------------------


def test_joined_amr_files_are_read_to_the_end(tmp_path: Path) -> None:
    """Symptom: `truncated`. FFmpeg takes the name of the second file for audio and loses the places of the frames."""
    path, samples = tmp_path / "a.amr", make_noise(2, 8000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopencore_amrnb", rate=8000, layout="mono")
        for begin in range(0, len(samples), 160):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, begin : begin + 160], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, begin, Fraction(1, 8000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    one = decode_audio(path).astype(int)
    path.write_bytes(3 * path.read_bytes())
    joined = decode_audio(path).astype(int)
    assert len(joined) == 3 * len(one)
    for third in np.split(joined, 3):
        # The resampling filter differs at the seams.
        np.testing.assert_allclose(third[200:-200], one[200:-200], atol=1)


# --- Speex -------------------------------------------------------------------------------------------


def make_page(flags: int, granule: int, number: int, packets: Iterable[bytes]) -> bytes:
    """A page of an Ogg stream, RFC 3533, 6; packets have fewer than 255 bytes."""
    packets = list(packets)
    lacing = bytes(len(packet) for packet in packets)
    head = b"OggS\0" + struct.pack("<BqII", flags, granule, 7, number)
    tail = bytes([len(packets)]) + lacing + b"".join(packets)
    return head + struct.pack("<I", count_checksum(head + bytes(4) + tail)) + tail


def count_checksum(content: bytes) -> int:
    value = 0
    for byte in content:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def make_speex(rate: int, seconds: int) -> bytes:
    """Silent frames of 20 ms, narrow or wide band, with Speex's own header."""
    wide = rate == 16000
    head = b"Speex   " + b"1.2".ljust(20, b"\0")
    head += struct.pack("<13i", 1, 80, rate, int(wide), 4, 1, -1, rate // 50, 0, 1, 0, 0, 0)
    comment = struct.pack("<I", 4) + b"test" + bytes(4)
    # Submode 0 is silence: 5 bits; of the high band: a one and 3 bits. The terminator is 01111, the padding 0111.
    frame = bytes([0b00000100, 0b00111101]) if wide else bytes([0b00000011, 0b11011111])
    pages = [make_page(2, 0, 0, [head]), make_page(0, 0, 1, [comment])]
    for second in range(seconds):
        flags = 4 if second == seconds - 1 else 0
        pages.append(make_page(flags, (second + 1) * rate, second + 2, [frame] * 50))
    return b"".join(pages)


@pytest.mark.parametrize("rates", [(8000,), (16000,), (16000, 16000, 16000), (8000, 16000), (16000, 8000, 8000)])
def test_chained_speex_files_are_read_to_the_end(tmp_path: Path, rates: tuple[int, ...]) -> None:
    """Symptom: `truncated` at the headers of the second link, which FFmpeg's decoder takes for audio."""
    path = tmp_path / "a.spx"
    path.write_bytes(b"".join(make_speex(rate, 2) for rate in rates))
    assert len(decode_audio(path)) / RATE == pytest.approx(2 * len(rates), abs=0.001)

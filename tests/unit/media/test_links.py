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

from emoadapt.media import decode_audio, read_recording

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


# --- holes in Ogg ------------------------------------------------------------------------------------


def make_clicks(seconds: int) -> np.ndarray:
    """A burst of 50 ms in the middle of each second, whose pitch says which second it is."""
    time = np.arange(seconds * RATE) / RATE
    burst = (time % 1 >= 0.5) & (time % 1 < 0.55)
    return np.rint(9000 * np.sin(2 * np.pi * (300 + 200 * np.floor(time)) * time) * burst).astype(np.int16)


def mux_ogg(path: Path, codec: str, samples: np.ndarray) -> None:
    with av.open(str(path), "w", format="ogg", options={"page_duration": "100000"}) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for begin in range(0, len(samples), 320):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, begin : begin + 320], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def encode_ogg(path: Path, codec: str, seconds: int = 10) -> list[bytes]:
    """Pages of a file with several pages a second."""
    samples = make_clicks(seconds)
    if codec == "vorbis":
        # Noise fills the pages; a page holds up to 4 kB.
        samples = samples + np.random.default_rng(0).integers(-500, 500, len(samples)).astype(np.int16)
        soundfile.write(path, samples, RATE, format="OGG", subtype="VORBIS")
    else:
        mux_ogg(path, codec, samples)
    content, pages, at = path.read_bytes(), [], 0
    while at < len(content):
        segments = content[at + 26]
        end = at + 27 + segments + sum(content[at + 27 : at + 27 + segments])
        pages.append(content[at:end])
        at = end
    return pages


def find_bursts(samples: np.ndarray) -> list[tuple[float, int]]:
    """When each burst begins, in s, and its pitch as a number of the second that it comes from."""
    found, at = [], 0
    loud = np.abs(samples.astype(int)) > 3000
    while loud[at:].any():
        at += int(loud[at:].argmax())
        spectrum = np.abs(np.fft.rfft(samples[at : at + 600], RATE))
        found.append((at / RATE, round((int(spectrum.argmax()) - 300) / 200)))
        at += RATE // 4
    return found


@pytest.mark.parametrize("codec", ["libopus", "vorbis"])
def test_sound_behind_lost_pages_of_an_ogg_file_keeps_its_place(tmp_path: Path, codec: str) -> None:
    """Symptom: the hole closed up, so that all behind it was early, without a word."""
    path = tmp_path / "a.ogg"
    pages = encode_ogg(path, codec)
    assert read_recording(path).notes == ()
    assert [number for _, number in find_bursts(decode_audio(path))] == list(range(10))
    path.write_bytes(b"".join(pages[: len(pages) * 35 // 100] + pages[len(pages) * 65 // 100 :]))
    recording = read_recording(path)
    assert len(recording.samples) / RATE == pytest.approx(10, abs=0.05)
    bursts = find_bursts(recording.samples)
    assert {0, 1, 8, 9} <= {number for _, number in bursts} and len(bursts) < 10
    for time, number in bursts:
        assert time == pytest.approx(number + 0.5, abs=0.03)
    (note,) = recording.notes
    assert note.startswith("hole_filled: ") and " s in 1 place, the first at " in note
    # A segment is a slice.
    np.testing.assert_array_equal(decode_audio(path, 7.0, 9.0), recording.samples[7 * RATE : 9 * RATE])


@pytest.mark.parametrize("codec", ["libopus", "vorbis"])
def test_a_stream_that_was_joined_late_begins_at_zero(tmp_path: Path, codec: str) -> None:
    """As recordings of broadcasts do. Their pages count from the beginning of the broadcast."""
    path = tmp_path / "a.ogg"
    pages = encode_ogg(path, codec)
    late = len(pages) // 2
    path.write_bytes(b"".join(pages[:2] + pages[late:]))
    recording = read_recording(path)
    assert recording.notes == ()
    assert 4.5 < len(recording.samples) / RATE < 5.5


@pytest.mark.parametrize("codec", ["flac", "libopus", "vorbis"])
def test_chained_ogg_files_are_counted(tmp_path: Path, codec: str) -> None:
    """FFmpeg places the first packets of a link by the positions of the link before it."""
    path = tmp_path / "a.ogg"
    content = b"".join(encode_ogg(path, codec, 3))
    path.write_bytes(content + content)
    recording = read_recording(path)
    assert recording.notes == ()
    assert len(recording.samples) / RATE == pytest.approx(6, abs=0.05)
    assert [number for _, number in find_bursts(recording.samples)] == [0, 1, 2, 0, 1, 2]


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

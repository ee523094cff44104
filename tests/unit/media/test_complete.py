"""Files that end early, and files that only look so."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from emoadapt.errors import ClipError
from emoadapt.media import containers, decode_audio, iterate_frames, read_recording
from emoadapt.media.complete.boxes import check_asf
from emoadapt.media.complete.frames import check_ogg
from emoadapt.media.complete.reading import Decoded, Reader

RATE, SECONDS, FPS = 16000, 6, 25


def make_noise(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """Noise, so that each second needs as many bytes as the others."""
    return (3000 * np.random.default_rng(0).standard_normal(round(rate * seconds))).clip(-32768, 32767).astype(np.int16)


def encode(
    path: Path | io.BytesIO, sound: str | None, film: str | None = None, rate: int = RATE, **options: str
) -> None:
    """`SECONDS` of noise and, if there is a codec for them, of noisy pictures."""
    form = options.pop("format", None)
    with av.open(path if isinstance(path, io.BytesIO) else str(path), "w", format=form, options=options) as container:
        picture = container.add_stream(film, rate=FPS) if film else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            picture.codec_context.gop_size = 10
        stream = container.add_stream(sound, rate=rate) if sound else None
        if stream is not None:
            stream.layout = "mono"
            if sound == "wmav2":
                stream.bit_rate = 64_000
        steps = SECONDS * FPS
        samples, step = make_noise(rate), rate // FPS
        rng = np.random.default_rng(1)
        for number in range(steps):
            if picture is not None:
                image = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
                container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if stream is not None:
                block = np.ascontiguousarray(samples[np.newaxis, number * step : (number + 1) * step])
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, number * step, Fraction(1, rate)
                container.mux(stream.encode(frame))
        for each in (picture, stream):
            if each is not None:
                container.mux(each.encode(None))


class Pipe(io.BytesIO):
    """What is written into a pipe: nothing in it can be changed afterwards."""

    def seekable(self) -> bool:
        return False

    seek = tell = None  # type: ignore[assignment]


def encode_live(path: Path, form: str, sound: str, film: str | None = None, **options: str) -> None:
    pipe = Pipe()
    encode(pipe, sound, film, format=form, **options)
    path.write_bytes(pipe.getvalue())


def write_sound(form: str, subtype: str = "PCM_16") -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, make_noise(), RATE, format=form, subtype=subtype)


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.wav": write_sound("WAV"),
    "rifx.wav": lambda path: soundfile.write(path, make_noise(), RATE, subtype="PCM_16", endian="BIG"),
    "rf64.wav": write_sound("RF64"),
    "a.w64": write_sound("W64"),
    "a.caf": write_sound("CAF"),
    "a.aiff": write_sound("AIFF"),
    "a.au": write_sound("AU"),
    "a.svx": write_sound("SVX"),
    "a.voc": write_sound("VOC"),
    "a.nist": write_sound("NIST"),
    "a.sox": lambda path: encode(path, "pcm_s32le"),
    "a.flac": write_sound("FLAC"),
    "a.ogg": write_sound("OGG", "VORBIS"),
    "a.opus": lambda path: encode(path, "libopus", format="ogg"),
    "flac.ogg": lambda path: encode(path, "flac"),
    "a.mp3": lambda path: encode(path, "libmp3lame"),
    "lame.mp3": write_sound("MP3", "MPEG_LAYER_III"),
    "44.mp3": lambda path: encode(path, "libmp3lame", rate=44100),
    "a.tta": lambda path: encode(path, "tta"),
    "a.wv": lambda path: encode(path, "wavpack"),
    "a.m4a": lambda path: encode(path, "aac", movflags="+faststart"),
    "a.wma": lambda path: encode(path, "wmav2", format="asf"),
    "a.mka": lambda path: encode(path, "flac"),
    "a.mp4": lambda path: encode(path, "aac", "libx264", movflags="+faststart"),
    "fragments.mp4": lambda path: encode(path, "aac", "libx264", movflags="+frag_keyframe+empty_moov"),
    "a.mkv": lambda path: encode(path, "aac", "libx264"),
    "a.webm": lambda path: encode(path, "libopus", "libvpx"),
    "live.webm": lambda path: encode_live(path, "webm", "libopus", "libvpx"),
    "a.avi": lambda path: encode(path, "libmp3lame", "mpeg4"),
    "pcm.avi": lambda path: encode(path, "pcm_s16le", "mpeg4"),
    "a.flv": lambda path: encode(path, "aac", "libx264"),
    "a.wmv": lambda path: encode(path, "wmav2", "wmv2", format="asf"),
    "a.mpg": lambda path: encode(path, "mp2", "mpeg1video"),
    "a.vob": lambda path: encode(path, "mp2", "mpeg2video", format="vob"),
    "a.mxf": lambda path: encode(path, "pcm_s16le", "mpeg2video", rate=48000),
}
FILMS = [".mp4", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".mpg", ".vob", ".mxf"]
LOUD = {"truncated", "undecodable", "empty_audio", "empty_video"}
"""Codes of files that are not used. A file that is cut within its first packets has nothing before the cut."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    folder, known = tmp_path_factory.mktemp("whole"), {}

    def get(name: str) -> bytes:
        if name not in known:
            WRITERS[name](folder / name)
            known[name] = (folder / name).read_bytes()
        return known[name]

    return get


def decode(path: Path) -> list[str]:
    """What becomes of the audio and, in films, of the pictures: `ok` or the code of the fault."""
    calls: list[Callable[[], object]] = [lambda: decode_audio(path)]
    if path.suffix in FILMS:
        calls.append(lambda: list(iterate_frames(path, fps=1.0)))
    found = []
    for call in calls:
        try:
            call()
            found.append("ok")
        except ClipError as error:
            found.append(error.code)
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_file_is_read_and_a_cut_one_is_not(tmp_path: Path, name: str, whole: Callable[[str], bytes]) -> None:
    """Symptom: downloads that broke off were used, as if they were short."""
    path, content = tmp_path / name, whole(name)
    path.write_bytes(content)
    assert set(decode(path)) == {"ok"}
    assert len(decode_audio(path)) / RATE == pytest.approx(SECONDS, abs=0.15)
    # Not between two packs of 2,048 bytes, where a program stream cannot tell.
    path.write_bytes(content[: len(content) * 45 // 100 - 7])
    assert set(decode(path)) <= LOUD
    rng = np.random.default_rng(len(content))
    for share in rng.uniform(0.1, 0.95, 8):
        path.write_bytes(content[: int(len(content) * share)])
        assert set(decode(path)) <= LOUD, share


PLAIN = {"a.wav", "rifx.wav", "rf64.wav", "a.w64", "a.caf", "a.aiff", "a.au", "a.svx", "a.voc", "a.nist", "a.sox"}
"""Zeros are samples here."""


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - PLAIN))
def test_a_file_whose_tail_is_zeros_is_cut(tmp_path: Path, name: str, whole: Callable[[str], bytes]) -> None:
    """Symptom: a download that reserved its space and broke off was used as a shorter clip, without a word."""
    path, content = tmp_path / name, whole(name)
    for share in (0.35, 0.6, 0.85):
        kept = int(len(content) * share)
        path.write_bytes(content[:kept] + bytes(len(content) - kept))
        assert set(decode(path)) <= LOUD, share


def test_a_tag_behind_a_segment_of_matroska_is_no_cut(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    (tmp_path / "a.mkv").write_bytes(whole("a.mkv") + b"TAG" + bytes(5000))
    assert decode(tmp_path / "a.mkv") == ["ok", "ok"]


def test_sound_that_ends_before_its_pictures_is_whole(tmp_path: Path) -> None:
    """The duration in a Matroska header is that of the longer one."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        picture, stream = (
            container.add_stream("libx264", rate=FPS),
            container.add_stream("libopus", rate=RATE, layout="mono"),
        )
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        frame = av.AudioFrame.from_ndarray(make_noise(seconds=1)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for _ in range(4 * FPS):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(picture.encode(None))
    assert decode(path) == ["ok", "ok"]


@pytest.mark.parametrize("name", ["a.aiff", "a.ogg", "a.mp3", "a.mkv", "a.avi", "a.flv"])
def test_a_segment_before_the_cut_is_read_without_complaint(
    tmp_path: Path, name: str, whole: Callable[[str], bytes]
) -> None:
    path, content = tmp_path / name, whole(name)
    path.write_bytes(content)
    expected = decode_audio(path, 0.5, 1.5)
    path.write_bytes(content[: len(content) * 60 // 100])
    np.testing.assert_array_equal(decode_audio(path, 0.5, 1.5), expected)
    with pytest.raises(ClipError, match=r"^truncated"):
        decode_audio(path, 0.5, 5.5)


def test_the_message_says_what_is_missing(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    path, content = tmp_path / "a.aiff", whole("a.aiff")
    path.write_bytes(content[:100_000])
    with pytest.raises(ClipError) as caught:
        decode_audio(path)
    assert str(caught.value) == f"truncated: a.aiff has 100000 bytes, its header announces {len(content)}"


# --- good files ------------------------------------------------------------------------------------


def patch(content: bytes, name: bytes, value: int, skip: int = 0) -> bytes:
    """The 32-bit little-endian number behind a chunk's name."""
    at = content.index(name) + len(name) + skip
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


@pytest.mark.parametrize("name", ["a.wav", "pcm.avi"])
def test_a_riff_size_that_is_wrong_is_no_cut(tmp_path: Path, name: str, whole: Callable[[str], bytes]) -> None:
    """Symptom: a WAV file whose samples were all there was `truncated`."""
    path, content = tmp_path / name, whole(name)
    path.write_bytes(patch(content, b"RIFF", 2 * len(content)))
    assert set(decode(path)) == {"ok"}


@pytest.mark.parametrize("placeholder", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0])
def test_sizes_written_into_a_pipe_are_no_sizes(
    tmp_path: Path, placeholder: int, whole: Callable[[str], bytes]
) -> None:
    content = whole("a.wav")
    (tmp_path / "a.wav").write_bytes(patch(patch(content, b"RIFF", placeholder), b"data", placeholder))
    recording = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(recording.samples, make_noise())
    assert recording.notes == ()


def test_samples_that_the_header_does_not_count_are_noted(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    """Symptom: a recorder that did not bring its header up to date left 2 s of 6 s, without a word."""
    path, content = tmp_path / "a.wav", whole("a.wav")
    path.write_bytes(patch(content, b"data", 2 * 2 * RATE))
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.samples, make_noise()[: 2 * RATE])
    used, left = 4 * RATE, len(content) - 44 - 4 * RATE
    assert recording.notes == (
        f"stale_header: the header counts {used} bytes of audio, which are used; {left} bytes after them are not",
    )


@pytest.mark.parametrize(
    "tail", [b"", bytes(5000), b"LIST\x1a\0\0\0INFOISFT" + bytes(18), b"id3 " + struct.pack("<I", 5000) + bytes(5000)]
)
def test_chunks_behind_the_samples_are_no_samples(tmp_path: Path, tail: bytes, whole: Callable[[str], bytes]) -> None:
    (tmp_path / "a.wav").write_bytes(whole("a.wav") + tail)
    assert read_recording(tmp_path / "a.wav").notes == ()


def make_tag(length: int, seed: int = 0) -> bytes:
    """An ID3v2 tag with a cover, as far as a decoder can tell."""
    size = bytes(length >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + np.random.default_rng(seed).bytes(length)


@pytest.mark.parametrize(
    "between", [b"", b"TAG" + bytes(125), make_tag(40_000), b"TAG" + bytes(125) + make_tag(40_000)]
)
@pytest.mark.parametrize("second", ["a.mp3", "44.mp3"])
def test_joined_mp3_files_are_read_to_the_end(
    tmp_path: Path, between: bytes, second: str, whole: Callable[[str], bytes]
) -> None:
    """Symptom: `truncated` at the tag in front of the second one."""
    (tmp_path / "a.mp3").write_bytes(whole("a.mp3") + between + whole(second) + between + whole("a.mp3"))
    assert len(decode_audio(tmp_path / "a.mp3")) / RATE == pytest.approx(3 * SECONDS, abs=0.3)


def test_damage_within_an_mp3_file_is_still_damage(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    content = whole("44.mp3")
    middle = len(content) // 2
    (tmp_path / "a.mp3").write_bytes(content[:middle] + bytes(9000) + content[middle + 9000 :])
    with pytest.raises(ClipError, match=r"^truncated: decoding of a\.mp3 broke off after"):
        decode_audio(tmp_path / "a.mp3")


def count_tag(content: bytes, tag: int) -> bytes:
    """An MP3 file whose table counts the bytes of an ID3v2 tag as well."""
    at = content.index(b"Info" if b"Info" in content[:500] else b"Xing") + 12
    return content[:at] + struct.pack(">I", int.from_bytes(content[at : at + 4], "big") + tag) + content[at + 4 :]


def test_a_few_missing_bytes_of_a_low_bit_rate_are_a_cut(tmp_path: Path) -> None:
    """Symptom: at 8 kb/s, 1,000 bytes are 1 s, which was lost without a word."""
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.bit_rate = 8000
        frame = av.AudioFrame.from_ndarray(make_noise()[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    content = path.read_bytes()
    assert decode(path) == ["ok"]
    for missing in (500, 1000):
        path.write_bytes(content[:-missing])
        assert decode(path) == ["truncated"], missing


def test_an_mp3_table_that_counts_the_tags_is_no_cut(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    tag = make_tag(20_000)
    content = tag + count_tag(whole("44.mp3"), len(tag))
    (tmp_path / "a.mp3").write_bytes(content)
    assert decode(tmp_path / "a.mp3") == ["ok"]
    (tmp_path / "a.mp3").write_bytes(content[:-10_000])
    assert decode(tmp_path / "a.mp3") == ["truncated"]


def test_an_mp3_file_without_a_table_says_nothing(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp3", "libmp3lame", write_xing="0", id3v2_version="0")
    content = (tmp_path / "a.mp3").read_bytes()
    assert b"Xing" not in content and b"Info" not in content
    assert decode(tmp_path / "a.mp3") == ["ok"]


def test_a_vbri_table_counts_as_much_as_xing(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    """Fraunhofer's table: 32 bytes behind the head of the first frame; version, delay, quality, bytes, frames."""
    content = whole("44.mp3")
    start = content.index(b"\xff\xfb")
    at = max(content.find(b"Info", start, start + 64), content.find(b"Xing", start, start + 64))
    size, count = int.from_bytes(content[at + 12 : at + 16], "big"), int.from_bytes(content[at + 8 : at + 12], "big")
    table = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, size, count)
    frame = content[start : start + 4] + bytes(32) + table
    path = tmp_path / "a.mp3"
    path.write_bytes(content[:start] + frame + content[start + len(frame) :])
    assert decode(path) == ["ok"]
    path.write_bytes(path.read_bytes()[: len(content) * 9 // 10])
    assert decode(path) == ["truncated"]


@pytest.mark.parametrize("rates", [(16000, 16000), (16000, 22050), (22050, 16000), (16000, 44100, 8000)])
def test_chained_ogg_files_are_read_to_the_end(tmp_path: Path, rates: tuple[int, ...]) -> None:
    """Symptom: `truncated` at the first link of another rate."""
    links = []
    for rate in rates:
        soundfile.write(tmp_path / "link.ogg", make_noise(rate, 2), rate, format="OGG", subtype="VORBIS")
        links.append((tmp_path / "link.ogg").read_bytes())
    path = tmp_path / "a.ogg"
    path.write_bytes(b"".join(links))
    assert len(decode_audio(path)) / RATE == pytest.approx(2 * len(rates), abs=0.05)
    path.write_bytes(path.read_bytes()[: -len(links[-1]) // 3])
    assert decode(path) == ["truncated"]


def test_an_ogg_file_with_something_appended_is_whole(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    (tmp_path / "a.ogg").write_bytes(whole("a.ogg") + b"TAG" + bytes(125))
    assert decode(tmp_path / "a.ogg") == ["ok"]


def list_pages(content: bytes) -> list[int]:
    """Where the pages of an Ogg file begin, and its end."""
    at, places = 0, []
    while at < len(content):
        places.append(at)
        segments = content[at + 26]
        at += 27 + segments + sum(content[at + 27 : at + 27 + segments])
    return [*places, at]


def test_an_ogg_file_without_the_mark_of_its_end_is_noted(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    """As voice messages and live streams are often left: it may be whole, and nothing tells."""
    content = whole("a.opus")
    (tmp_path / "a.ogg").write_bytes(content)
    assert read_recording(tmp_path / "a.ogg").notes == ()
    (tmp_path / "a.ogg").write_bytes(content[: list_pages(content)[-2]])
    note = "open_end: no page ends the stream, so its end may be missing"
    assert read_recording(tmp_path / "a.ogg").notes == (note,)


@pytest.mark.parametrize(("lacing", "cut"), [([255, 255], True), ([255, 0], False), ([255, 17], False)])
def test_an_ogg_file_that_ends_within_a_packet_is_cut(tmp_path: Path, lacing: list[int], cut: bool) -> None:
    """RFC 3533, 6: a packet ends with the first lacing value below 255, or else continues in the next page."""
    page = b"OggS" + bytes(22) + bytes([len(lacing), *lacing]) + b"x" * sum(lacing)
    (tmp_path / "a.ogg").write_bytes(page * 3)
    with (tmp_path / "a.ogg").open("rb") as file:
        assert check_ogg(Reader(file), Decoded(None, 1.0)) == (
            f"ends within the page at byte {2 * len(page)}" if cut else None
        )


@pytest.mark.parametrize(
    ("form", "name", "sound", "film"),
    [
        ("webm", "a.webm", "libopus", "libvpx"),
        ("matroska", "a.mkv", "aac", "libx264"),
        ("flv", "a.flv", "aac", "libx264"),
        ("avi", "a.avi", "pcm_s16le", "mpeg4"),
        ("au", "a.au", "pcm_s16be", None),
        ("ogg", "a.ogg", "libopus", None),
    ],
)
def test_files_written_into_a_pipe_are_whole(
    tmp_path: Path, form: str, name: str, sound: str, film: str | None
) -> None:
    """As browsers record: no durations, and sizes that are unknown."""
    encode_live(tmp_path / name, form, sound, film)
    assert set(decode(tmp_path / name)) == {"ok"}


def test_a_live_webm_whose_clusters_have_no_size_is_whole(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    """As Chrome's MediaRecorder writes: all sizes of segment and clusters are ones."""
    content = bytearray(whole("live.webm"))
    at = 0
    while (at := content.find(b"\x1f\x43\xb6\x75", at)) >= 0:
        length = 9 - content[at + 4].bit_length()
        content[at + 4 : at + 4 + length] = ((1 << 7 * length + 1) - 1).to_bytes(length, "big")
        at += 4
    path = tmp_path / "a.webm"
    path.write_bytes(content)
    assert decode(path) == ["ok", "ok"]
    path.write_bytes(content[: len(content) // 2])
    assert set(decode(path)) <= LOUD


def test_an_avi_file_without_its_index_is_whole(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    content = whole("a.avi")
    (tmp_path / "a.avi").write_bytes(content[: content.rindex(b"idx1")])
    assert decode(tmp_path / "a.avi") == ["ok", "ok"]


def test_an_mp4_box_that_is_too_long_is_no_cut_where_all_samples_are_there(
    tmp_path: Path, whole: Callable[[str], bytes]
) -> None:
    content = whole("a.mp4")
    at = content.index(b"mdat") - 4
    size = int.from_bytes(content[at : at + 4], "big") + 70_000
    (tmp_path / "a.mp4").write_bytes(content[:at] + struct.pack(">I", size) + content[at + 4 :])
    assert decode(tmp_path / "a.mp4") == ["ok", "ok"]


@pytest.mark.parametrize("share", [0.97, 0.99])
def test_the_last_samples_of_an_mp4_file_are_missed(
    tmp_path: Path, share: float, whole: Callable[[str], bytes]
) -> None:
    """Symptom: up to a quarter of a second was lost without a word. Sound and pictures alternate up to the end."""
    content = whole("a.mp4")
    (tmp_path / "a.mp4").write_bytes(content[: int(len(content) * share)])
    assert "ok" not in decode(tmp_path / "a.mp4")


def test_an_flv_file_with_a_wrong_size_is_whole(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    content = whole("a.flv")
    at = content.index(b"filesize") + 9
    (tmp_path / "a.flv").write_bytes(content[:at] + struct.pack(">d", 1e7) + content[at + 8 :])
    assert decode(tmp_path / "a.flv") == ["ok", "ok"]


def test_an_flv_file_that_ends_between_two_tags_is_cut(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    content, at = whole("a.flv"), 13
    while at < len(content) // 2:
        at += 15 + int.from_bytes(content[at + 1 : at + 4], "big")
    (tmp_path / "a.flv").write_bytes(content[:at])
    assert decode(tmp_path / "a.flv") == ["truncated", "truncated"]


def test_a_broadcast_in_asf_says_nothing(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    content = bytearray(whole("a.wma"))
    at = content.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    content[at + 40 : at + 48] = struct.pack("<Q", 10**9)
    path = tmp_path / "a.wma"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert check_asf(Reader(file), Decoded(None, 6.0))
    content[at + 88] |= 1
    path.write_bytes(content)
    with path.open("rb") as file:
        assert check_asf(Reader(file), Decoded(None, 6.0)) is None


# --- headers that no parser may follow -------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_no_header_stops_or_stalls_a_parser(tmp_path: Path, name: str, whole: Callable[[str], bytes]) -> None:
    """Random bytes where sizes stand, and ends anywhere: each call gives words or nothing."""
    from emoadapt.media.complete import _SIZES

    content, path = whole(name), tmp_path / name
    path.write_bytes(content)
    with av.open(str(path)) as container:
        check, decoded = _SIZES.get(container.format.name), Decoded(container.streams[0], 1.0)
        if check is None:
            pytest.skip("the format's length is its header's duration")
        rng = np.random.default_rng(7)
        for _ in range(60):
            damaged = bytearray(content[: int(rng.integers(0, len(content)))])
            for _ in range(int(rng.integers(1, 30))):
                if damaged:
                    at = int(rng.integers(min(len(damaged), 400)))
                    damaged[at] = int(rng.choice([0, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
            path.write_bytes(damaged)
            with path.open("rb") as file:
                found = check(Reader(file), decoded)
            assert found is None or isinstance(found, str)


def test_a_stream_that_appears_late_is_no_crash(tmp_path: Path, whole: Callable[[str], bytes]) -> None:
    """Symptom: PyAV's IndexError ended the job. In FLV, any tag may be the first one of its stream."""
    content = whole("a.flv")
    at, tags = 13, []
    while at < len(content):
        end = at + 15 + int.from_bytes(content[at + 1 : at + 4], "big")
        tags.append(content[at:end])
        at = end
    sound = [tag for tag in tags if tag[0] == 8]
    film = [tag for tag in tags if tag[0] == 9]
    (tmp_path / "a.flv").write_bytes(content[:4] + b"\x04" + content[5:13] + b"".join(sound + film))
    assert decode(tmp_path / "a.flv") == ["ok", "no_video_stream"]


def test_formats_that_are_compared_are_formats_that_are_read() -> None:
    from emoadapt.media.complete import _SECONDS, _SIZES

    assert (_SIZES.keys() | _SECONDS.keys()) <= set(containers.FORMATS)

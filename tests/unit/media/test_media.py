"""Decoding against soundfile, soxr, and pictures whose content is known."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from emoadapt.errors import ClipError
from emoadapt.media import audio as audio_module
from emoadapt.media import (
    containers,
    decode_audio,
    iterate_audio,
    iterate_frames,
    read_recording,
    video,
)
from emoadapt.samples import from_bytes, to_float

FPS = 25


def make_chirp(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """(channels, n_samples) float32; each channel a sweep of its own with some noise."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0)
    sweeps = [0.4 * np.sin(2 * np.pi * (90 + 40 * k + 300 * time) * time) for k in range(channels)]
    return np.stack([s + 0.02 * noise.standard_normal(len(s)) for s in sweeps]).astype(np.float32)


def encode_audio(path: Path, audio: np.ndarray, rate: int, codec: str, layout: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = layout
        add_audio(container, stream, audio, rate, layout)
    return path


def add_audio(container, stream, audio: np.ndarray, rate: int, layout: str) -> None:
    for begin in range(0, audio.shape[1], 1024):
        block = np.ascontiguousarray(audio[:, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


LEVELS = (20, 90, 160, 230)


def draw_frame(index: int) -> np.ndarray:
    """64 x 48: a red top-left quarter, and the frame's number in base 4 as four grey blocks at the bottom."""
    image = np.full((48, 64, 3), 128, np.uint8)
    image[:24, :32] = (255, 0, 0)
    for place in range(4):
        image[32:, 16 * place : 16 * place + 16] = LEVELS[index // 4**place % 4]
    return image


def encode_video(
    path: Path,
    frames: int = 50,
    codec: str = "libx264",
    audio: bool = False,
    rotation: int | None = None,
    **options: str,
) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 10
        if rotation is not None:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=16000) if audio else None
        if sound is not None:
            sound.layout = "mono"
        for k in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw_frame(k), format="rgb24")))
        container.mux(stream.encode(None))
        if sound is not None:
            add_audio(container, sound, make_chirp(frames / FPS, 16000), 16000, "mono")
    return path


def code_of(call) -> tuple[str, str]:
    with pytest.raises(ClipError) as caught:
        call()
    return caught.value.code, caught.value.status


# --- samples ---------------------------------------------------------------------------------------


def test_to_float_maps_the_full_scale() -> None:
    samples = np.array([-32768, -16384, 0, 16384, 32767], "<i2")
    expected = np.array([-1, -0.5, 0, 0.5, 32767 / 32768], np.float32)
    for audio in (samples, samples.tobytes()):
        values = to_float(audio)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(from_bytes(samples.tobytes()), samples)
    with pytest.raises(TypeError, match="float32"):
        to_float(np.zeros(3, np.float32))


# --- audio: values and length ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_16_khz_mono_comes_through_bit_by_bit(tmp_path: Path, suffix: str) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 20011).astype(np.int16)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, samples, 16000, subtype="PCM_16")
    decoded = decode_audio(path)
    assert decoded.dtype == np.dtype("<i2")
    np.testing.assert_array_equal(decoded, samples)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampling_agrees_with_soxr(tmp_path: Path, rate: int) -> None:
    audio = make_chirp(1.3, rate)[0]
    soundfile.write(tmp_path / "a.wav", audio, rate, subtype="FLOAT")
    decoded = decode_audio(tmp_path / "a.wav")
    expected = soxr.resample(audio, rate, 16000)
    assert len(decoded) == math.ceil(len(audio) * 16000 / rate) == pytest.approx(len(expected), abs=1)
    # Filters differ above 7 kHz, where the noise is, and at the edges, which each library extends in its own way.
    middle = slice(300, len(decoded) - 300)
    found, expected = to_float(decoded)[middle], expected[middle]
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.004
    assert np.corrcoef(found, expected)[0, 1] > 0.9995


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_has_the_same_scale(tmp_path: Path, subtype: str, rate: int) -> None:
    audio = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(tmp_path / "a.wav", audio, rate, subtype=subtype)
    decoded = to_float(decode_audio(tmp_path / "a.wav"))[500:-500]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)[500:-500]
    assert np.abs(decoded - expected).max() < (0.01 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged_with_equal_weights(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(2).integers(-30000, 30000, (5000, channels)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    np.testing.assert_allclose(decode_audio(tmp_path / "a.wav"), samples.astype(float).mean(axis=1), atol=0.51)


def test_5_1_in_a_compressed_film_track(tmp_path: Path) -> None:
    rate, audio = 48000, make_chirp(2, 48000, 6) * 0.5
    path = encode_audio(tmp_path / "film.mkv", audio, rate, "ac3", "5.1")
    decoded = to_float(decode_audio(path))
    # AC-3 keeps only the bass of channel 3 (LFE); the other five are heard in full.
    expected = soxr.resample(audio[[0, 1, 2, 4, 5]].sum(axis=0) / 6, rate, 16000)
    n = min(len(decoded), len(expected))
    correlation = np.correlate(decoded[:n], expected[:n], "full").max()
    assert correlation / np.sqrt(np.sum(decoded[:n] ** 2) * np.sum(expected[:n] ** 2)) > 0.9
    assert len(decoded) == pytest.approx(2 * 16000, abs=1600)


def test_values_beyond_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 1.7, -1.7, 0.5]), 16000, subtype="FLOAT")
    assert decode_audio(tmp_path / "a.wav").tolist() == [0, 32767, -32768, 16384]


def test_pieces_are_the_whole_and_come_while_it_is_decoded(tmp_path: Path) -> None:
    path = encode_audio(tmp_path / "a.flac", make_chirp(5.0, 44100), 44100, "flac", "mono")
    pieces = list(iterate_audio(path))
    assert len(pieces) > 20
    lengths = [len(piece.samples) for piece in pieces]
    assert [piece.position for piece in pieces] == [0, *np.cumsum(lengths)[:-1]]
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), decode_audio(path))
    segment = list(iterate_audio(path, 1.0, 2.5))
    assert segment[0].position == 16000
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in segment]), decode_audio(path, 1.0, 2.5))
    damaged = tmp_path / "cut.flac"
    damaged.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    begun = iterate_audio(damaged)
    assert len(next(begun).samples)
    assert code_of(lambda: list(begun)) == ("truncated", "failed")


# --- audio: segments -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16000, 44100, 11025])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mka"])
@pytest.mark.parametrize(
    ("start", "end"), [(0.0, 1.0), (0.5, 0.75), (2.34567, 3.1), (5.0, None), (None, 2.2), (6.99, 7.5), (4.5, 4.5001)]
)
def test_a_segment_is_a_slice_of_the_whole(
    tmp_path: Path, suffix: str, rate: int, start: float | None, end: float | None
) -> None:
    audio = make_chirp(8.0, rate)
    path = encode_audio(tmp_path / f"a.{suffix}", audio, rate, "flac" if suffix != "wav" else "pcm_s16le", "mono")
    whole = decode_audio(path)
    first, last = round((start or 0) * 16000), len(whole) if end is None else round(end * 16000)
    segment = decode_audio(path, start, end)
    assert len(segment) == last - first
    # One step of rounding: the resampler sums in another order when it starts elsewhere.
    assert np.abs(segment.astype(int) - whole[first:last]).max() <= 1


@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("mp3", "libmp3lame"), ("mkv", "aac"), ("ts", "mp2")])
def test_a_segment_of_lossy_audio_lies_where_it_should(tmp_path: Path, suffix: str, codec: str) -> None:
    path = encode_audio(tmp_path / f"a.{suffix}", make_chirp(8.0, 44100, 2), 44100, codec, "stereo")
    whole, segment = decode_audio(path).astype(float), decode_audio(path, 4.2, 5.2).astype(float)
    assert len(segment) == 16000
    lags = range(-40, 41)
    match = [np.corrcoef(segment, whole[67200 + lag : 83200 + lag])[0, 1] for lag in lags]
    assert lags[int(np.argmax(match))] == 0
    assert max(match) > 0.995


def test_a_segment_reads_only_its_neighbourhood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode_audio(tmp_path / "a.flac", make_chirp(60.0, 16000), 16000, "flac", "mono")
    decoded = []
    original = audio_module.read_channels
    monkeypatch.setattr(
        audio_module, "read_channels", lambda frame, path: decoded.append(frame.samples) or original(frame, path)
    )
    decode_audio(path, 50.0, 50.5)
    assert sum(decoded) < 3 * 16000


def test_audio_that_begins_late_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    audio = make_chirp(3.0, 16000)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("flac", rate=16000)
        sound.layout = "mono"
        for _ in range(100):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")))
        container.mux(video.encode(None))
        for begin in range(0, 48000, 4000):
            frame = av.AudioFrame.from_ndarray(audio[:, begin : begin + 4000], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, begin + 8000, Fraction(1, 16000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    whole = decode_audio(path)
    assert len(whole) == 48000
    np.testing.assert_array_equal(decode_audio(path, 1.0, 2.0), whole[8000:24000])
    assert code_of(lambda: decode_audio(path, 0.0, 0.4)) == ("empty_audio", "failed")


def test_a_segment_outside_the_recording_is_empty(tmp_path: Path) -> None:
    for name, codec in (("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.m4a", "aac")):
        path = encode_audio(tmp_path / name, make_chirp(4.0, 16000), 16000, codec, "mono")
        assert code_of(lambda path=path: decode_audio(path, 30.0, 31.0)) == ("empty_audio", "failed")
        assert code_of(lambda path=path: decode_audio(path, 3.0, 3.0)) == ("empty_audio", "failed")


# --- audio: faults ---------------------------------------------------------------------------------


def test_broken_files_are_failed_clips(tmp_path: Path) -> None:
    for name, content in (
        ("empty.wav", b""),
        ("noise.mp4", np.random.default_rng(3).bytes(5000)),
        ("text.mp4", b"hello\n" * 99),
    ):
        (tmp_path / name).write_bytes(content)
        assert code_of(lambda name=name: decode_audio(tmp_path / name)) == ("undecodable", "failed")
        assert code_of(lambda name=name: list(iterate_frames(tmp_path / name))) == ("undecodable", "failed")
    assert code_of(lambda: decode_audio(tmp_path / "none.wav")) == ("file_missing", "failed")
    assert code_of(lambda: decode_audio(tmp_path / "empty.wav" / "x.wav")) == ("file_missing", "failed")
    assert code_of(lambda: decode_audio(tmp_path)) == ("undecodable", "failed")


def test_a_wav_without_samples_is_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.int16), 16000)
    assert code_of(lambda: decode_audio(tmp_path / "a.wav")) == ("empty_audio", "failed")


@pytest.mark.parametrize(("name", "codec"), [("a.wav", "pcm_s16le"), ("a.flac", "flac")])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
def test_a_cut_file_is_truncated_not_short(tmp_path: Path, name: str, codec: str, share: float) -> None:
    path = encode_audio(tmp_path / name, make_chirp(5.0, 22050), 22050, codec, "mono")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert code_of(lambda: decode_audio(path)) == ("truncated", "failed")


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_cut_mp4_is_truncated(tmp_path: Path, share: float) -> None:
    # The index stands first, as in files meant for streaming; otherwise a cut file does not even open.
    path = encode_video(tmp_path / "a.mp4", 100, audio=True, movflags="+faststart")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert code_of(lambda: decode_audio(path)) == ("truncated", "failed")


def test_a_segment_before_the_cut_is_still_good(tmp_path: Path) -> None:
    path = encode_audio(tmp_path / "a.wav", make_chirp(5.0, 16000), 16000, "pcm_s16le", "mono")
    whole = decode_audio(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    np.testing.assert_array_equal(decode_audio(path, 1.0, 3.0), whole[16000:48000])
    assert code_of(lambda: decode_audio(path, 3.0, 4.0))[0] == "truncated"


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_a_cut_film_is_truncated_not_short(tmp_path: Path, share: float) -> None:
    """Symptom: an MP4 file that broke off gave the faces of its beginning as if that were all."""
    path = encode_video(tmp_path / "a.mp4", 100, movflags="+faststart")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert code_of(lambda: list(iterate_frames(path))) == ("truncated", "failed")
    assert indices(list(iterate_frames(path, 0.2, 0.6))) == list(range(5, 15))


def test_too_long_clips_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = encode_audio(tmp_path / "a.wav", make_chirp(4.0, 16000), 16000, "pcm_s16le", "mono")
    film = encode_video(tmp_path / "a.mp4", 100)
    assert len(read_recording(sound, max_seconds=4.0).samples) == 64000
    assert len(read_recording(sound, 1.0, 3.0, max_seconds=2.0).samples) == 32000
    assert len(read_recording(sound, 3.0, None, max_seconds=1.0).samples) == 16000
    assert len(list(iterate_frames(film, 1.0, 2.0, max_seconds=1.0))) == 25
    monkeypatch.setattr(containers, "decode", lambda *args: pytest.fail("it was decoded"))
    for start, end in ((None, None), (None, 2.5), (1.5, None), (1.0, 3.5)):
        assert code_of(lambda s=start, e=end: read_recording(sound, s, e, max_seconds=2.0)) == ("too_long", "failed")
        assert code_of(lambda s=start, e=end: list(iterate_frames(film, s, e, max_seconds=2.0)))[0] == "too_long"


def test_what_says_nothing_of_its_length_is_decoded_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (audio_module, video):
        monkeypatch.setattr(module, "check_length", lambda *args: None)
    sound = encode_audio(tmp_path / "a.wav", make_chirp(4.0, 16000), 16000, "pcm_s16le", "mono")
    assert code_of(lambda: read_recording(sound, max_seconds=3.9)) == ("too_long", "failed")
    frames = iterate_frames(encode_video(tmp_path / "a.mp4", 100), max_seconds=2.0)
    assert indices([next(frames) for _ in range(51)]) == list(range(51))
    assert code_of(lambda: next(frames)) == ("too_long", "failed")


def test_the_sample_rate_of_the_recording_is_kept(tmp_path: Path) -> None:
    for rate in (8000, 16000, 96000):
        soundfile.write(tmp_path / "a.wav", make_chirp(0.5, rate)[0], rate)
        recording = read_recording(tmp_path / "a.wav")
        assert (recording.source_rate, len(recording.samples)) == (rate, 8000)


def test_a_wav_written_into_a_pipe_is_whole(tmp_path: Path) -> None:
    samples = np.arange(16000, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    where = content.index(b"data") + 4
    content[where : where + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_array_equal(decode_audio(tmp_path / "a.wav"), samples)


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mp2"), ("a.mp3", "libmp3lame")])
def test_a_stream_cut_at_its_beginning_decodes_from_the_first_good_packet(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = encode_audio(tmp_path / name, make_chirp(4.0, 16000), 16000, codec, "mono")
    whole, content = decode_audio(path), path.read_bytes()
    path.write_bytes(content[len(content) // 4 + 37 :])
    rest = decode_audio(path)
    assert len(rest) == pytest.approx(3 * 16000, abs=3000)
    # What follows is undamaged; without its first packet an MP3 file no longer says how much padding it ends with.
    tail, at = rest[-20000:-4000].astype(float), len(whole) - 20000
    match = [np.corrcoef(tail, whole[at - lag : at - lag + 16000])[0, 1] for lag in range(-1500, 1501)]
    assert max(match) > 0.999


def test_samples_that_are_no_numbers_fail_the_clip(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.1]), 16000, subtype="FLOAT")
    assert code_of(lambda: decode_audio(tmp_path / "a.wav")) == ("not_finite", "failed")


def test_a_fault_of_the_machine_is_not_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100, np.int16), 16000)

    def refuse(*args: object, **kwargs: object) -> None:
        raise av.error.OSError(24, "Too many open files")

    def refuse_reading(self: Path, mode: str) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(av, "open", refuse)
    # The file can be read, so the demuxer's complaint is about its content ...
    assert code_of(lambda: decode_audio(tmp_path / "a.wav"))[0] == "undecodable"
    # ... and if it cannot, no clip is to blame.
    monkeypatch.setattr(Path, "open", refuse_reading)
    with pytest.raises(OSError, match="Too many open files") as caught:
        decode_audio(tmp_path / "a.wav")
    assert not isinstance(caught.value, ClipError)


def test_memory_that_a_damaged_header_asks_for_is_not_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: one damaged MP4 file, whose header asked for terabytes, stopped the job."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(av, "open", refuse)
    assert code_of(lambda: decode_audio(tmp_path / "a.mp4")) == ("undecodable", "failed")
    monkeypatch.setattr(containers, "_ORDINARY_BYTES", 1 << 62)
    with pytest.raises(MemoryError):
        decode_audio(tmp_path / "a.mp4")


def test_headers_that_no_decoder_follows(tmp_path: Path) -> None:
    """An unknown codec, a sample rate of 800 MHz, samples of 64 bits: symptoms were an AttributeError, minutes, a ValueError."""
    soundfile.write(tmp_path / "a.wav", np.arange(5000, dtype=np.int16), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "codec.wav").write_bytes(content[:20] + b"\x77\x77" + content[22:])
    (tmp_path / "rate.wav").write_bytes(content[:24] + (800_000_000).to_bytes(4, "little") + content[28:])
    with av.open(str(tmp_path / "wide.wav"), "w") as container:
        stream = container.add_stream("pcm_s64le", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame(format="s64", layout="mono", samples=800)
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for name, detail in (("codec", "nothing here decodes"), ("rate", "800000000 Hz"), ("wide", "format s64")):
        with pytest.raises(ClipError, match=f"^undecodable: .*{detail}"):
            decode_audio(tmp_path / f"{name}.wav")


def test_a_link_to_itself_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert code_of(lambda: decode_audio(tmp_path / "a.wav")) == ("unreadable", "failed")
    assert code_of(lambda: list(iterate_frames(tmp_path / "a.wav"))) == ("unreadable", "failed")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_a_failed_clip(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100, np.int16), 16000)
    (tmp_path / "a.wav").chmod(0)
    assert code_of(lambda: decode_audio(tmp_path / "a.wav")) == ("unreadable", "failed")


def test_a_permission_error_is_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise av.error.PermissionError(13, "Permission denied")

    monkeypatch.setattr(av, "open", refuse)
    assert code_of(lambda: decode_audio(tmp_path / "a.wav")) == ("unreadable", "failed")


def test_odd_file_names(tmp_path: Path) -> None:
    for name in ("http: a%03d é.wav", "concat:b|c.wav", "-x.wav"):
        soundfile.write(tmp_path / name, np.arange(500, dtype=np.int16), 16000)
        assert len(decode_audio(tmp_path / name)) == 500


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files can be counted under Linux")
def test_files_are_closed_even_when_frames_are_left(tmp_path: Path) -> None:
    path = encode_video(tmp_path / "a.mp4", audio=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    frames = iterate_frames(path)
    next(frames)
    frames.close()
    decode_audio(path, 0.0, 0.1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- video -----------------------------------------------------------------------------------------


def indices(frames: list[tuple[float, np.ndarray]]) -> list[int]:
    """Which frames of `encode_video` these are, read from the pictures."""

    def digit(image: np.ndarray, place: int) -> int:
        return round((float(image[36:44, 16 * place + 4 : 16 * place + 12].mean()) - 20) / 70)

    return [sum(digit(image, place) * 4**place for place in range(4)) for _, image in frames]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg1video")]
)
def test_every_frame_in_order_with_its_time(tmp_path: Path, name: str, codec: str) -> None:
    frames = list(iterate_frames(encode_video(tmp_path / name, 50, codec)))
    assert indices(frames) == list(range(50))
    np.testing.assert_allclose([time for time, _ in frames], np.arange(50) / FPS, atol=0.001)
    for _, image in frames:
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    red = frames[0][1][4:20, 4:28].reshape(-1, 3).mean(axis=0)
    assert red[0] > 220 and red[1] < 30 and red[2] < 30


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mpg", "mpeg1video")])
@pytest.mark.parametrize(("start", "end"), [(0.4, 0.8), (2.5, 3.0), (3.3, 3.38), (3.6, None), (None, 0.2)])
def test_a_segment_holds_the_frames_shown_in_it(
    tmp_path: Path, name: str, codec: str, start: float | None, end: float | None
) -> None:
    frames = list(iterate_frames(encode_video(tmp_path / name, 100, codec), start, end))
    expected = [k for k in range(100) if (start or 0) - 1e-6 <= k / FPS < (end or 99) - 1e-6]
    assert indices(frames) == expected


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (5.0, [0, 5, 10, 15, 20]),
        (25.0, list(range(25))),
        (100.0, list(range(25))),
        (1.0, [0]),
        (10.0, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]),
    ],
)
def test_sampling_takes_the_first_frame_of_each_interval(tmp_path: Path, fps: float, expected: list[int]) -> None:
    assert indices(list(iterate_frames(encode_video(tmp_path / "a.mkv", 25), fps=fps))) == expected


def test_frames_of_a_variable_rate_keep_their_times(tmp_path: Path) -> None:
    """Sampling goes by time: 5 frames a second of a film that stands still for a second hold no copies."""
    ticks = [0, 1, 2, 3, 28, 29, 30, 60]
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw_frame(index), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = list(iterate_frames(tmp_path / "a.mp4"))
    assert indices(frames) == list(range(8))
    np.testing.assert_allclose([time for time, _ in frames], np.array(ticks) / FPS, atol=0.001)
    assert indices(list(iterate_frames(tmp_path / "a.mp4", fps=5.0))) == [0, 4, 6, 7]
    assert indices(list(iterate_frames(tmp_path / "a.mp4", 0.05, 1.17))) == [2, 3, 4, 5]


def test_sampling_counts_from_the_start_of_the_segment(tmp_path: Path) -> None:
    assert indices(list(iterate_frames(encode_video(tmp_path / "a.mp4", 75), 1.08, 2.0, fps=5.0))) == [
        27,
        32,
        37,
        42,
        47,
    ]


@pytest.mark.parametrize(
    ("rotation", "shape", "corner"),
    [(0, (48, 64), (8, 8)), (90, (64, 48), (56, 8)), (-90, (64, 48), (8, 40)), (180, (48, 64), (40, 56))],
)
def test_pictures_are_turned_upright(
    tmp_path: Path, rotation: int, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    # The top-left corner goes to the bottom left when a picture is turned counter-clockwise by a quarter.
    _, image = next(iterate_frames(encode_video(tmp_path / "a.mp4", 5, rotation=rotation)))
    assert image.shape == (*shape, 3) and image.flags.c_contiguous
    assert image[corner][0] > 220 and image[corner][1] < 40


def test_absent_streams_are_absent_not_failed(tmp_path: Path) -> None:
    silent_film = encode_video(tmp_path / "a.mp4", 10)
    assert code_of(lambda: decode_audio(silent_film)) == ("no_audio_stream", "absent")
    soundfile.write(tmp_path / "a.wav", np.ones(1000, np.int16), 16000)
    assert code_of(lambda: list(iterate_frames(tmp_path / "a.wav"))) == ("no_video_stream", "absent")


def test_a_picture_is_not_a_video(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((48, 64, 3), 99, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((48, 64, 3), 99, np.uint8)).save(tmp_path / "a.jpg")
    for path in (tmp_path / "a.png", tmp_path / "a.jpg", encode_video(tmp_path / "a.mp4", 1)):
        assert code_of(lambda path=path: list(iterate_frames(path))) == ("still_image", "absent")


def test_cover_art_is_not_a_video(tmp_path: Path) -> None:
    from av.stream import Disposition

    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=16000)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")))
        container.mux(cover.encode(None))
        add_audio(container, sound, make_chirp(1.0, 16000), 16000, "mono")
    assert code_of(lambda: list(iterate_frames(path))) == ("no_video_stream", "absent")
    assert len(decode_audio(path)) >= 16000


def test_a_segment_after_the_last_picture_is_empty(tmp_path: Path) -> None:
    assert code_of(lambda: list(iterate_frames(encode_video(tmp_path / "a.mp4", 50), 10.0, 11.0))) == (
        "empty_video",
        "failed",
    )


# --- real clips ------------------------------------------------------------------------------------

DATA = os.environ.get("EMOADAPT_DATA")


@pytest.mark.skipif(DATA is None, reason="EMOADAPT_DATA is not set")
def test_real_clips_decode() -> None:
    for path in sorted([*Path(DATA, "clips").glob("*.mp4"), *Path(DATA, "formats").glob("*.mpg")]):
        with av.open(str(path)) as container:
            seconds = container.duration / 1e6
        audio = decode_audio(path)
        assert len(audio) / 16000 == pytest.approx(seconds, abs=0.35), path.name
        assert audio.any(), path.name
        times = [time for time, _ in iterate_frames(path, fps=2.0)]
        assert len(times) >= int(seconds * 2 * 0.8), path.name
        assert np.all(np.diff(times) > 0), path.name


@pytest.mark.skipif(DATA is None, reason="EMOADAPT_DATA is not set")
def test_real_flac_equals_soundfile() -> None:
    for path in sorted(Path(DATA, "ravdess").rglob("*.flac"))[:20]:
        np.testing.assert_array_equal(decode_audio(path), soundfile.read(path, dtype="int16")[0])

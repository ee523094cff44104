"""Sound by the clock: second k of every recording here is a tone of 300 + 100 k Hz."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from emoadapt.errors import ClipError
from emoadapt.media import Log, clock, containers, decode_audio, iterate_audio, iterate_frames, read_recording
from emoadapt.media.clock import Clock

RATE = 16000
SECONDS = 12
HOLE = (4.0, 7.0)
"""Seconds of the recordings with a hole that were not sent."""
CONTAINERS = [
    ("a.webm", "libopus"),
    ("a.mkv", "flac"),
    ("a.mkv", "aac"),
    ("a.ts", "mp2"),
    ("a.mp4", "aac"),
    ("a.m4a", "alac"),
]


def make_tones(seconds: int = SECONDS, rate: int = RATE) -> np.ndarray:
    time = np.arange(seconds * rate) / rate
    return (0.3 * np.sin(2 * np.pi * (300 + 100 * np.floor(time)) * time)).astype(np.float32)


def find_second(samples: np.ndarray) -> int | None:
    """Second that a tone stands for; None for silence."""
    if np.abs(samples).max() < 100:
        return None
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
    return round((np.argmax(spectrum) * RATE / (1 << 16) - 300) / 100)


def is_sent(time: float) -> bool:
    return not HOLE[0] <= time < HOLE[1]


def write_sound(
    path: Path,
    codec: str,
    keep: Callable[[float], bool] = lambda time: True,
    shift: Callable[[float], float] = lambda time: 0.0,
    *,
    picture_gop: int | None = None,
    rate: int = RATE,
    container_format: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Tones, of whose packets some are left out and some are stamped later.

    Args:
        path: file to write.
        codec: of the sound.
        keep: whether a packet is written, by its time.
        shift: s by which a packet's stamp is moved, by its time.
        picture_gop: frames from one key frame to the next of a picture stream; None = no pictures.
        rate: Hz.
        container_format: None = by the name.
        options: of the muxer.
    """
    with av.open(str(path), "w", format=container_format, options=options or {}) as container:
        if picture_gop:
            picture = container.add_stream("libx264", rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            picture.codec_context.gop_size = picture_gop
        sound = container.add_stream(codec, rate=48000 if codec == "libopus" else rate)
        sound.layout = "mono"
        if picture_gop:
            for index in range(SECONDS * 25):
                # The brightness of a picture says its second.
                image = np.full((48, 64, 3), 20 * (index // 25), np.uint8)
                container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(picture.encode(None))
        for packet in _encode(sound, sound.rate):
            time = float(packet.pts * packet.time_base)
            if keep(time):
                ticks = round(shift(time) / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                container.mux(packet)
    return path


def _encode(sound, rate: int) -> Iterator:
    tones = make_tones(rate=rate)[np.newaxis]
    step = rate // 50
    for begin in range(0, tones.shape[1], step):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tones[:, begin : begin + step]), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        yield from sound.encode(frame)
    yield from sound.encode(None)


def list_seconds(path: Path) -> list[int | None]:
    return [find_second(decode_audio(path, k + 0.3, k + 0.7)) for k in range(SECONDS)]


EXPECTED = [0, 1, 2, 3, None, None, None, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_segment_after_a_hole_is_the_second_it_names(tmp_path: Path, name: str, codec: str) -> None:
    """Symptom: of a recording whose seconds 4 to 6 were lost, `start: 8, end: 9` gave second 11."""
    path = write_sound(tmp_path / name, codec, is_sent)
    assert list_seconds(path) == EXPECTED
    recording = read_recording(path)
    assert [find_second(recording.samples[k * RATE + 4800 : k * RATE + 11200]) for k in range(SECONDS)] == EXPECTED
    assert len(recording.samples) == pytest.approx(SECONDS * RATE, abs=0.15 * RATE)
    (note,) = recording.notes
    code, seconds = note.split()[:2]
    assert code == "hole_filled:" and float(seconds) == pytest.approx(3.0, abs=0.15)
    assert "in 1 place, the first at 4." in note or "in 1 place, the first at 3.9" in note


@pytest.mark.parametrize("gop", [25, 300])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.ts", "mp2")])
def test_voice_and_face_of_a_segment_are_of_one_time(tmp_path: Path, name: str, codec: str, gop: int) -> None:
    """Symptom: they were 3 s apart, in mp4 depending on where the key frames were."""
    path = write_sound(tmp_path / name, codec, is_sent, picture_gop=gop)
    assert list_seconds(path) == EXPECTED
    for second in (2, 8, 10):
        pictures = [round(float(image.mean()) / 20) for _, image in iterate_frames(path, second + 0.1, second + 0.9)]
        assert set(pictures) == {second}


def test_a_note_names_the_part_of_a_hole_that_lies_in_the_segment(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.m4a", "alac", is_sent)
    begin = 4.096  # ALAC packets of 4,096 samples
    assert read_recording(path, 6.0, 8.0).notes == ("hole_filled: 1.17 s in 1 place, the first at 6.00 s",)
    assert read_recording(path, 8.0, 9.0).notes == ()
    assert read_recording(path, 1.0, 2.0).notes == ()
    assert read_recording(path).notes == (f"hole_filled: 3.07 s in 1 place, the first at {begin:.2f} s",)


@pytest.mark.parametrize(
    ("start", "end"), [(2.5, 3.5), (3.9, 4.5), (5.0, 6.0), (6.9, 7.6), (9.12345, 10.2), (11.0, None)]
)
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "alac"), ("a.mkv", "flac")])
def test_a_segment_of_a_recording_with_a_hole_is_a_slice_of_the_whole(
    tmp_path: Path, name: str, codec: str, rate: int, start: float, end: float | None
) -> None:
    path = write_sound(tmp_path / name, codec, is_sent, rate=rate)
    whole = decode_audio(path)
    first, last = round(start * RATE), len(whole) if end is None else round(end * RATE)
    segment = decode_audio(path, start, end)
    assert len(segment) == last - first
    assert np.abs(segment.astype(int) - whole[first:last]).max() <= 1


@pytest.mark.parametrize("jitter", [0.004, 0.035])
@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "flac"), ("a.m4a", "alac")])
def test_jitter_of_time_stamps_changes_no_sample(tmp_path: Path, name: str, codec: str, jitter: float) -> None:
    clean = write_sound(tmp_path / f"clean_{name}", codec, rate=44100)
    random = np.random.default_rng(0)
    # The first stamp stays, so that the sound begins where it did.
    shaken = write_sound(
        tmp_path / name, codec, shift=lambda time: random.uniform(0, jitter) if time else 0.0, rate=44100
    )
    recording = read_recording(shaken)
    np.testing.assert_array_equal(recording.samples, decode_audio(clean))
    assert recording.notes == ()
    # A segment is a slice of the whole also where the stamp it could be sought by is wrong by some ms.
    for start in (3.3, 7.77, 11.2):
        segment = decode_audio(shaken, start, start + 0.5)
        first = round(start * RATE)
        assert np.abs(segment.astype(int) - recording.samples[first : first + 8000]).max() <= 1


def test_a_segment_of_a_fragmented_file_is_a_slice_of_the_whole(tmp_path: Path) -> None:
    """Symptom: what was sought lay 50 ms elsewhere, by the index of fragments."""
    options = {"movflags": "empty_moov+dash+global_sidx", "frag_duration": "2000000"}
    path = write_sound(tmp_path / "a.mp4", "flac", shift=lambda time: 0.05 * (time > 5), options=options)
    whole = decode_audio(path)
    for start in (3.3, 7.77, 11.2):
        first = round(start * RATE)
        np.testing.assert_array_equal(decode_audio(path, start, start + 0.5), whole[first : first + 8000])


def test_a_stream_without_stamps_after_a_seek_is_read_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: a TypeError, on an MP4 file with a damaged index."""
    path = write_sound(tmp_path / "a.m4a", "alac")
    whole = decode_audio(path)
    original = containers.decode

    def drop_stamps(*args: object) -> Iterator:
        for frame in original(*args):
            frame.pts = None
            yield frame

    monkeypatch.setattr(containers, "decode", drop_stamps)
    np.testing.assert_array_equal(decode_audio(path, 8.0, 9.0), whole[8 * RATE : 9 * RATE])


def test_drift_of_a_recorders_clock_is_bounded_and_noted(tmp_path: Path) -> None:
    """A clock that is 2 % slow is 0.24 s late after 12 s: each time when it has lost 80 ms, these are filled."""
    path = write_sound(tmp_path / "a.mkv", "flac", shift=lambda time: 0.02 * time)
    recording = read_recording(path)
    assert len(recording.samples) == pytest.approx(1.02 * SECONDS * RATE, abs=0.1 * RATE)
    (note,) = recording.notes
    assert note.startswith("hole_filled: 0.") and "in 2 places" in note
    drifted = write_sound(tmp_path / "b.mkv", "flac", shift=lambda time: 0.002 * time)
    assert read_recording(drifted).notes == ()


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "flac"), ("a.webm", "libopus"), ("a.ts", "mp2"), ("a.mp4", "aac")]
)
def test_sound_that_begins_late_says_where_it_lies(tmp_path: Path, name: str, codec: str) -> None:
    """A picture stream begins at 0, so that 0:00 of a player is there."""
    if name.endswith(("webm", "ts")):
        # Without pictures, where these begin is 0:00.
        path = write_sound(tmp_path / name, codec, shift=lambda time: 4.0)
        expected = 0.0
    else:
        path = write_sound(tmp_path / name, codec, shift=lambda time: 4.0, picture_gop=25)
        expected = 4.0
    pieces = list(iterate_audio(path))
    assert pieces[0].position / RATE == pytest.approx(expected, abs=0.1)
    whole = np.concatenate([piece.samples for piece in pieces])
    np.testing.assert_array_equal(read_recording(path).samples, whole)
    assert find_second(decode_audio(path, expected + 2.3, expected + 2.7)) == 2


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.m4a", "alac")])
def test_an_edit_list_that_begins_empty_delays_the_sound(tmp_path: Path, name: str, codec: str) -> None:
    path = write_sound(tmp_path / name, codec, shift=lambda time: 2.0)
    recording = read_recording(path)
    assert len(recording.samples) == pytest.approx(SECONDS * RATE, abs=2100)
    assert recording.notes == ()
    assert find_second(decode_audio(path, 5.3, 5.7)) == 3
    assert next(iterate_audio(path)).position == pytest.approx(2 * RATE, abs=1100)


def test_an_edit_list_that_begins_empty_and_ends_early_is_whole(tmp_path: Path) -> None:
    """Symptom: `truncated`, as the end was compared by count with a length that holds the empty edit."""
    path = write_sound(tmp_path / "a.m4a", "alac", shift=lambda time: 2.0)
    content = bytearray(path.read_bytes())
    at = content.index(b"elst")
    entry = at + 24  # version and flags, number of entries, and the empty edit lie before the second one
    assert int.from_bytes(content[at + 8 : at + 12], "big") == 2
    content[entry : entry + 4] = (5000).to_bytes(4, "big")
    path.write_bytes(content)
    recording = read_recording(path)
    assert len(recording.samples) == pytest.approx(5 * RATE, abs=4096)
    assert find_second(decode_audio(path, 4.3, 4.7)) == 2


def test_repeated_sound_is_cut(tmp_path: Path) -> None:
    """A recorder of a stream that reconnects: the second file repeats the seconds 5 and 6."""
    first = write_sound(tmp_path / "a.ts", "mp2", lambda time: time < 7)
    second = write_sound(tmp_path / "b.ts", "mp2", lambda time: time >= 5)
    path = tmp_path / "c.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    recording = read_recording(path)
    assert list_seconds(path) == list(range(SECONDS))
    assert len(recording.samples) == pytest.approx(SECONDS * RATE, abs=0.15 * RATE)
    (note,) = recording.notes
    assert note.startswith(("overlap_cut: 2.0", "overlap_cut: 1.9")) and "in 1 place, the first at 7." in note


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mp2"), ("a.webm", "libopus"), ("a.mkv", "flac")])
def test_joined_recordings_follow_each_other(tmp_path: Path, name: str, codec: str) -> None:
    """Files of a few seconds that were joined with `cat`: the stamps of the second begin anew, and nothing of it is cut."""
    part = write_sound(tmp_path / f"part_{name}", codec, lambda time: time < 3)
    path = tmp_path / name
    path.write_bytes(2 * part.read_bytes())
    samples, (note,) = read_recording(path).samples, read_recording(path).notes
    assert [find_second(samples[k * RATE + 6400 : k * RATE + 11200]) for k in range(6)] == [0, 1, 2, 0, 1, 2]
    assert note.startswith("clock_restart: time stamps jump by -3.") or note.startswith(
        "clock_restart: time stamps jump by -2.9"
    )


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mp2"), ("a.mkv", "flac")])
def test_pictures_of_joined_recordings_follow_each_other_too(tmp_path: Path, name: str, codec: str) -> None:
    """Symptom: sound was counted on and pictures were not: voice and face of a segment came from two recordings."""
    part = write_sound(tmp_path / f"part_{name}", codec, picture_gop=25)
    path = tmp_path / name
    path.write_bytes(2 * part.read_bytes())
    notes: list[str] = []
    times = [time for time, _ in iterate_frames(path, notes=notes)]
    assert times == sorted(times) and len(times) == 2 * SECONDS * 25
    assert len(notes) == 1 and notes[0].startswith("clock_restart: time stamps jump by -1")
    for second in (3, 14):
        begin, end = second + 0.4, second + 0.8
        pictures = {round(float(image.mean()) / 20) for _, image in iterate_frames(path, begin, end)}
        assert pictures == {find_second(decode_audio(path, begin, end))} == {second % SECONDS}


def test_time_stamps_of_a_transport_stream_wrap_around(tmp_path: Path) -> None:
    """They have 33 bits, and begin anew after 26.5 hours."""
    path = write_sound(tmp_path / "a.ts", "mp2", is_sent, shift=lambda time: 2**33 / 90000 - 6.0)
    assert list_seconds(path) == EXPECTED


# --- stamps that no muxer writes ----------------------------------------------------------------------


def make_frames(stamps: list[float | None], samples: int = 1600) -> Iterator[SimpleNamespace]:
    return iter([SimpleNamespace(time=stamp, samples=samples, sample_rate=RATE) for stamp in stamps])


def place(
    stamps: list[float | None], last: float | None = None, **options: bool
) -> tuple[list[float], tuple[str, ...]]:
    """Seconds that are missing before each frame of 0.1 s, and the notes."""
    log = Log()
    placed = Clock(0.0, last, log, **options).place(make_frames(stamps))
    return [surplus / RATE for _, surplus in placed], log.list_notes()


def test_frames_without_stamps_follow_each_other() -> None:
    assert place([None, None, 5.0, 5.1, None, 5.3]) == ([0.0] * 6, ())


def test_a_single_damaged_stamp_is_ignored() -> None:
    """Symptom: 9 s of silence, and the 9 s of sound after it cut."""
    for wrong in (9.2, 0.05, 3e5):
        assert place([0.0, 0.1, wrong, 0.3, 0.4]) == ([0.0] * 5, ())


def test_packets_that_are_sent_now_and_then_each_lie_at_their_time() -> None:
    """Comfort noise of Opus: a packet every 0.4 s."""
    gaps, notes = place([0.0, 0.4, 0.8, 1.2])
    assert gaps == pytest.approx([0, 0.3, 0.3, 0.3])
    assert notes == ("hole_filled: 0.90 s in 3 places, the first at 0.10 s",)


def test_small_holes_add_up_until_they_matter() -> None:
    gaps, _ = place([0.0, 0.13, 0.26, 0.39, 0.49])
    assert gaps == pytest.approx([0, 0, 0, 0.09, 0])


def test_an_overlap_is_cut_to_the_sample() -> None:
    gaps, notes = place([0.0, 0.1, 0.2, 0.3, 0.15, 0.25, 0.35, 0.45])
    # The sound reaches 0.4 s; of the frame at 0.35 s the second half is new.
    assert gaps == pytest.approx([0, 0, 0, 0, -0.1, -0.1, -0.05, 0])
    assert notes == ("overlap_cut: 0.25 s in 1 place, the first at 0.40 s",)


def test_rounded_stamps_after_an_overlap_cut_nothing_more() -> None:
    gaps, _ = place([0.0, 0.1, 0.2, 0.1, 0.2, 0.3004, 0.3996, 0.4996])
    assert gaps == pytest.approx([0, 0, 0, -0.1, -0.1, 0, 0, 0])


@pytest.mark.parametrize(("jump", "last"), [(5000.0, None), (5000.0, 9e9), (20.0, 1.0), (-20.0, None)])
def test_implausible_jumps_are_not_filled(jump: float, last: float | None) -> None:
    begin = 100.0
    stamps = [begin, begin + 0.1, begin + jump, begin + jump + 0.1, begin + jump + 0.2]
    gaps, (note,) = place(stamps, last)
    assert gaps == [0.0] * 5
    assert note.startswith(f"clock_restart: time stamps jump by {jump - 0.2:+.2f} s at 0.20 s")


def test_a_long_hole_within_the_declared_length_is_filled() -> None:
    gaps, _ = place([0.0, 0.1, 900.0, 900.1], last=901.0)
    assert gaps == pytest.approx([0, 0, 899.8, 0])


def test_holes_without_a_declared_end_are_bounded_in_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged stamps never ask for more than an hour of silence."""
    stamps = [time for k in range(1, 50) for time in (900.0 * k, 900.0 * k + 0.1)]
    gaps, notes = place([0.0, 0.1, *stamps])
    assert sum(gaps) <= 3600
    assert notes[1].startswith("clock_restart")


def test_a_damaged_stamp_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole of 50 minutes is given in pieces, and a limit ends the reading at once."""
    path = write_sound(tmp_path / "a.mkv", "flac", lambda time: time < 2, shift=lambda time: 3000.0 * (time > 1))
    with pytest.raises(ClipError, match="too_long"):
        read_recording(path, max_seconds=600)
    monkeypatch.setattr("emoadapt.media.audio.check_length", lambda *args: None)
    with pytest.raises(ClipError, match="too_long"):
        read_recording(path, max_seconds=600)
    longest = max(len(piece.samples) for piece in iterate_audio(path))
    assert longest <= RATE


def test_stamps_that_were_made_by_counting_say_nothing(tmp_path: Path) -> None:
    """Symptom: FFmpeg's stamps of raw AC-3 drift by 0.2 ms a second, of raw DTS by 0.9; sound would be cut."""
    assert place([0.0, 0.05, 0.9], stamped=False) == ([0.0] * 3, ())
    assert not {"ac3", "eac3", "dts", "wav", "ogg"} & set(clock.STAMPED)

"""Segments of files in which seeking misleads. Second k of the sound is a tone of 300 + 100 k Hz, of the pictures a grey of 20 k."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

from emoadapt.errors import ClipError
from emoadapt.media import Log, containers, iterate_audio, iterate_frames, read_recording
from emoadapt.media.pictures import place_pictures

RATE, FPS, SECONDS = 16000, 25, 12


def make_tones(rate: int = RATE) -> np.ndarray:
    time = np.arange(SECONDS * rate) / rate
    return (0.3 * np.sin(2 * np.pi * (300 + 100 * np.floor(time)) * time)).astype(np.float32)


def find_second(samples: np.ndarray) -> int:
    """Second that a tone stands for."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
    return round((np.argmax(spectrum) * RATE / (1 << 16) - 300) / 100)


def add_picture(container: av.container.OutputContainer, codec: str = "libx264", gop: int = 25, **options: str):
    stream = container.add_stream(codec, rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.gop_size = gop
    return stream


def add_sound(container: av.container.OutputContainer, codec: str):
    stream = container.add_stream(codec, rate=RATE)
    stream.layout = "mono"
    return stream


def mux_pictures(
    container: av.container.OutputContainer, stream, at: Callable[[int], float | None] = lambda index: index / FPS
) -> None:
    """Pictures by the time of each, s; None = it is left out."""
    for index in range(SECONDS * FPS):
        time = at(index)
        if time is not None:
            image = np.full((48, 64, 3), 20 * (index // FPS), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * FPS), Fraction(1, FPS)
            container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def mux_sound(container: av.container.OutputContainer, stream, late: float = 0.0, size: int = 1000) -> None:
    tones = make_tones()[np.newaxis]
    if stream.codec_context.format.name == "s16":
        tones, layout = (tones * 32767).astype(np.int16), "s16"
    else:
        layout = "fltp"
    size = stream.codec_context.frame_size or size
    for begin in range(0, tones.shape[1], size):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tones[:, begin : begin + size]), layout, "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin + round(late * RATE), Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def list_greys(path: Path, start: float | None = None, end: float | None = None, **options) -> list[tuple[float, int]]:
    """Time and second of each picture."""
    return [
        (round(time, 2), round(float(image.mean()) / 20)) for time, image in iterate_frames(path, start, end, **options)
    ]


# --- seeking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_ms", "adpcm_yamaha", "g722", "pcm_s16le", "pcm_mulaw"])
def test_a_segment_of_a_compressed_wav_is_a_slice_of_the_whole(tmp_path: Path, codec: str) -> None:
    """Symptom: segments of ADPCM and G.722 were up to 4 s off, since FFmpeg's stamps are wrong after a seek."""
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        mux_sound(container, add_sound(container, codec))
    whole = read_recording(path).samples
    for start, end in ((3.0, 4.0), (7.3, 8.1), (10.25, 11.0)):
        got = read_recording(path, start, end).samples
        np.testing.assert_array_equal(got, whole[round(start * RATE) : round(end * RATE)])
        assert find_second(got[:8000]) == int(start)


def write_late_picture(path: Path, first: int = 8) -> Path:
    """Sound from 0 s on, pictures from `first` on."""
    with av.open(str(path), "w") as container:
        picture, sound = add_picture(container), add_sound(container, "aac")
        mux_pictures(container, picture, lambda index: index / FPS if index >= first * FPS else None)
        mux_sound(container, sound)
    return path


def test_sound_before_the_first_picture_is_found_by_seeking(tmp_path: Path) -> None:
    """Symptom: the first picture at 8 s was sought, and the sound from 5 s to 8 s was lost."""
    path = write_late_picture(tmp_path / "a.mp4")
    (piece, *_) = iterate_audio(path, 5.0, 7.0)
    assert piece.position == 5 * RATE
    recording = read_recording(path, 5.0, 10.0)
    assert len(recording.samples) == 5 * RATE and recording.notes == ()
    assert [find_second(recording.samples[k * RATE + 3200 : k * RATE + 12800]) for k in range(5)] == [5, 6, 7, 8, 9]
    assert list_greys(path, 5.0, 9.0) == [(round(k / FPS, 2), 8) for k in range(8 * FPS, 9 * FPS)]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_pictures_of_the_second_track_are_whole_after_a_seek(tmp_path: Path, name: str) -> None:
    """Symptom: key frames of the first track were sought, and pictures of the second were lost."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        first, second = add_picture(container, gop=25), add_picture(container, gop=1000, sc_threshold="0")
        first.disposition, second.disposition = Disposition(0), Disposition.default
        packets = []
        for stream in (first, second):
            for index in range(SECONDS * FPS):
                image = np.full((48, 64, 3), 20 * (index // FPS), np.uint8)
                packets += stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    assert list_greys(path, 8.5, 9.5) == [(round(k / FPS, 2), k // FPS) for k in range(213, 238)]


# --- times of pictures -----------------------------------------------------------------------------


def test_pictures_of_an_avi_file_with_b_frames_come_in_the_order_of_time(tmp_path: Path) -> None:
    """Symptom: times went back and forth, a false clock_restart was noted, and segments lacked pictures."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        mux_pictures(container, add_picture(container, bf="2", **{"b-adapt": "0"}))
    with av.open(str(path)) as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    assert stamps != sorted(stamps), "FFmpeg itself gives the times of presentation"
    notes: list[str] = []
    greys = list_greys(path, notes=notes)
    assert notes == [] and [grey for _, grey in greys] == [k // FPS for k in range(SECONDS * FPS)]
    assert [time for time, _ in greys] == pytest.approx([k / FPS for k in range(SECONDS * FPS)], abs=0.081)
    steps = np.diff([time for time, _ in greys])
    assert steps.min() > 0 and np.count_nonzero(np.abs(steps - 1 / FPS) > 0.001) <= 1
    assert len(list_greys(path, 2.0, 3.0)) == FPS


def stamp_frames(times: list[float | None]) -> list[SimpleNamespace]:
    return [SimpleNamespace(time=time, number=number) for number, time in enumerate(times)]


def place(times: list[float | None], step: float = 0.04, last: float | None = None) -> tuple[list, tuple[str, ...]]:
    log = Log()
    placed = place_pictures(iter(stamp_frames(times)), step, 0.0, last, log)
    return [(round(time, 2), frame.number) for time, frame in placed], log.list_notes()


def count(begin: float, number: int) -> list[float | None]:
    return [begin + k / FPS for k in range(number)]


def test_pictures_that_are_there_twice_are_cut_and_noted() -> None:
    """Symptom: in a joined recording the pictures went back in time by 4 s, while the sound was cut."""
    placed, notes = place(count(0.0, 250) + count(6.0, 250))
    assert [time for time, _ in placed] == [round(k / FPS, 2) for k in range(400)]
    assert [number for _, number in placed] == [*range(250), *range(350, 500)]
    assert notes == ("overlap_cut: 4.00 s in 1 place, the first at 10.00 s",)


def test_joined_recordings_lose_the_same_seconds_of_voice_and_face(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    parts = []
    for begin in (0.0, 4.0):  # the second part says that it begins 4 s after the first one, which lasts 8 s
        part = tmp_path / f"{begin:g}.ts"
        with av.open(str(part), "w", options={"muxdelay": "0", "muxpreload": "0"}) as container:
            picture, sound = add_picture(container, "mpeg2video", gop=1), add_sound(container, "mp2")
            for packet in list_packets(picture, sound):
                if float(packet.dts * packet.time_base) < 8.0 - 1e-6:
                    ticks = round(begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    container.mux(packet)
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    notes: list[str] = []
    greys = list_greys(path, notes=notes)
    times = [time for time, _ in greys]
    assert times == sorted(set(times)) and len(greys) == pytest.approx(12 * FPS, abs=2)
    recording = read_recording(path)
    assert len(recording.samples) == pytest.approx(12 * RATE, abs=0.1 * RATE)
    (picture_note,), (sound_note,) = notes, recording.notes
    for note in (picture_note, sound_note):
        code, seconds = note.split()[:2]
        assert code == "overlap_cut:" and float(seconds) == pytest.approx(4.0, abs=0.15)
    for second, shown in ((3, 3), (7, 7), (9, 5), (11, 7)):
        assert {grey for time, grey in greys if second + 0.2 < time < second + 0.8} == {shown}
        assert find_second(recording.samples[round((second + 0.2) * RATE) : round((second + 0.8) * RATE)]) == shown


def list_packets(*streams) -> list[av.Packet]:
    """Packets of pictures and of sound, in the order of time."""
    picture, sound = streams
    packets = []
    for index in range(SECONDS * FPS):
        image = np.full((48, 64, 3), 20 * (index // FPS), np.uint8)
        packets += picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
    size = 1152  # of MP2
    tones = (make_tones() * 32767).astype(np.int16)[np.newaxis]
    for begin in range(0, tones.shape[1], size):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tones[:, begin : begin + size]), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        packets += sound.encode(frame)
    return sorted(packets, key=lambda packet: packet.dts * packet.time_base)


@pytest.mark.parametrize("stamp", [5.0, 0.2])
def test_single_stamp_that_its_successor_contradicts_is_ignored(stamp: float) -> None:
    times = count(0.0, 50)
    times[20] = stamp
    assert place(times) == ([(round(k / FPS, 2), k) for k in range(50)], ())


def test_irregular_pictures_keep_their_times() -> None:
    times = [0.0, 0.04, 0.17, 0.18, 0.5, 3.5, 3.51, 9.0, 9.04]
    assert place(times) == ([(time, k) for k, time in enumerate(times)], ())


def test_pictures_continue_at_their_own_distance_after_an_implausible_jump() -> None:
    """Symptom: a gap of 4,000 s raised the average distance to 8 s; pictures continued at 16 s, sound at 8 s."""
    placed, notes = place([*count(0.0, 200), *count(4008.0, 50)], step=8.04, last=4010.0)
    assert placed == [(round(k / FPS, 2), k) for k in range(250)]
    assert notes == ("clock_restart: time stamps jump by +4000.00 s at 8.00 s; what follows is placed by count",)


def test_pictures_after_a_pause_continue_at_their_usual_distance() -> None:
    placed, _ = place([*count(0.0, 25), *count(6.0, 1), *count(0.0, 25)])
    assert [time for time, _ in placed[24:28]] == [0.96, 6.0, 6.04, 6.08]


def test_film_with_a_pause_before_it_and_a_trimmed_end_is_whole(tmp_path: Path) -> None:
    """Symptom: `truncated: the video ends after 6.00 s of 8.00 s`. The length that is declared includes the pause."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        picture = add_picture(container, bf="0")
        mux_pictures(container, picture, lambda index: index / FPS + 2.0)
    content = bytearray(path.read_bytes())
    entries = content.index(b"elst") + 12
    pause, shown = (int.from_bytes(content[at : at + 4], "big") for at in (entries, entries + 12))
    assert (pause, shown) == (2000, 12000), "edits, ms"
    content[entries + 12 : entries + 16] = (6000).to_bytes(4, "big")
    path.write_bytes(content)
    assert list_greys(path) == [(round(2.0 + k / FPS, 2), k // FPS) for k in range(6 * FPS)]


def write_slides(path: Path) -> Path:
    """Pictures at 0, 5 and 9 s, the last one of which is shown for as long as a picture of a film."""
    with av.open(str(path), "w") as container:
        mux_pictures(
            container, add_picture(container, bf="0"), lambda index: index / FPS if index in (0, 125, 225) else None
        )
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_segment_between_two_slides_shows_the_first_one(tmp_path: Path, name: str) -> None:
    """Symptom: `empty_video`, though a player shows a picture all the time."""
    path = write_slides(tmp_path / name)
    notes: list[str] = []
    assert list_greys(path, 6.1, 8.0, notes=notes) == [(6.1, 5)]
    assert notes == ["held_picture: no picture begins in the segment; that of 5.00 s is shown during it"]
    assert list_greys(path, 1.0, 2.0, fps=5.0) == [(1.0, 0)]
    notes.clear()
    assert list_greys(path, 4.0, 6.0, notes=notes) == [(5.0, 5)] and notes == []


@pytest.mark.parametrize(("start", "end"), [(9.5, 10.0), (9.5, None), (3.0, 3.0)])
def test_no_picture_is_held_after_the_last_one(tmp_path: Path, start: float, end: float | None) -> None:
    path = write_slides(tmp_path / "a.mp4")
    with pytest.raises(ClipError, match="empty_video"):
        list_greys(path, start, end)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (5.0, 9.0, ["segment_before: asked for 5.00-9.00 s, the first picture is at 8.00 s"]),
        (5.0, None, ["segment_before: asked for 5.00 s to its end, the first picture is at 8.00 s"]),
        (7.6, 12.4, []),
        (9.0, 13.0, ["segment_beyond: asked for 9.00-13.00 s, the last picture ends at 12.00 s"]),
        (None, 13.0, ["segment_beyond: asked for 0.00-13.00 s, the last picture ends at 12.00 s"]),
        (None, None, []),
    ],
)
@pytest.mark.parametrize("fps", [None, 1.0])
def test_segment_that_lasts_beyond_the_pictures_is_noted(
    tmp_path: Path, start: float | None, end: float | None, expected: list[str], fps: float | None
) -> None:
    notes: list[str] = []
    assert list_greys(write_late_picture(tmp_path / "a.mp4"), start, end, fps=fps, notes=notes)
    assert notes == expected


def test_segment_with_a_slide_that_lasts_is_within_the_pictures(tmp_path: Path) -> None:
    """Symptom: `segment_beyond: asked for 4.00-8.00 s, the last picture is at 5.00 s`, which is shown until 9 s."""
    notes: list[str] = []
    assert list_greys(write_slides(tmp_path / "a.mp4"), 4.0, 8.0, notes=notes) == [(5.0, 5)]
    assert notes == []


def test_a_segment_of_joined_flac_files_is_a_slice_of_the_whole(tmp_path: Path) -> None:
    """Symptom: their frames are numbered anew, by which FFmpeg seeks: the segment 4-5 held second 10 of the whole."""
    parts = []
    for number in range(2):
        part = tmp_path / f"{number}.flac"
        soundfile.write(part, np.roll(make_tones()[: 6 * RATE], number * 777), RATE)
        parts.append(part.read_bytes())
    path = tmp_path / "joined.flac"
    path.write_bytes(b"".join(parts))
    whole = read_recording(path).samples
    assert len(whole) == 12 * RATE
    for start, end in ((4.0, 5.0), (5.5, 6.5), (7.25, 8.0)):
        np.testing.assert_array_equal(
            read_recording(path, start, end).samples, whole[round(start * RATE) : round(end * RATE)]
        )


def test_a_segment_of_a_single_flac_file_is_still_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, make_tones()[: 8 * RATE], RATE)
    places = []
    seek = containers._seek
    monkeypatch.setattr(containers, "_seek", lambda *args: places.append(args[2]) or seek(*args))
    assert len(read_recording(path, 6.0, 7.0).samples) == RATE
    assert len(places) == 1

"""Levels that are not what they seem."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from emoadapt.errors import ClipError
from emoadapt.media import Log, Recording, audio, decode_audio, examine, iterate_audio, read_recording

RATE = 16000


def make_voice(seconds: float = 2.0, peak: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return peak * np.sin(2 * np.pi * 220 * time) * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * time))


def write(path: Path, samples: np.ndarray, subtype: str = "PCM_16") -> Path:
    if subtype == "PCM_16" and samples.dtype != np.int16:
        samples = np.rint(samples * 32768).astype(np.int16)
    soundfile.write(path, samples, RATE, subtype=subtype)
    return path


def list_notes(path: Path) -> list[str]:
    return examine(read_recording(path), 0.1)


def code_of(path: Path) -> tuple[str, str]:
    with pytest.raises(ClipError) as caught:
        examine(read_recording(path), 0.1)
    return caught.value.code, caught.value.status


def test_an_ordinary_recording_has_no_notes(tmp_path: Path) -> None:
    voice = make_voice()
    assert list_notes(write(tmp_path / "a.wav", voice)) == []
    assert list_notes(write(tmp_path / "b.wav", np.stack([voice, voice], 1))) == []
    assert list_notes(write(tmp_path / "c.wav", voice, "FLOAT")) == []


# --- floating-point samples ---------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_integers_in_a_floating_point_file_are_refused(tmp_path: Path, subtype: str, channels: int) -> None:
    """Symptom: 96 % of the samples ended at full scale, `ok`."""
    samples = np.repeat(make_voice()[:, np.newaxis] * 32768, channels, axis=1)
    path = write(tmp_path / "a.wav", samples, subtype)
    with pytest.raises(
        ClipError, match=r"^float_scale: a.wav holds samples up to 9\d\d\d, and full scale is 1"
    ) as caught:
        decode_audio(path)
    assert caught.value.status == "failed"


def test_inverted_integers_in_a_floating_point_file_are_refused(tmp_path: Path) -> None:
    """Their mean is zero, so that only the channels show it."""
    voice = make_voice() * 32768
    assert code_of(write(tmp_path / "a.wav", np.stack([voice, -voice], 1), "FLOAT"))[0] == "float_scale"


def test_a_recording_that_overshoots_full_scale_is_noted(tmp_path: Path) -> None:
    voice = make_voice(peak=1.6)
    share = np.mean(np.abs(np.rint(voice * 32768)) >= 32767)
    assert share > 0.1
    (note,) = list_notes(write(tmp_path / "a.wav", voice, "FLOAT"))
    assert note == f"clipped: {share:.1%} of the samples are at full scale"


def test_a_few_samples_at_full_scale_are_not_noted(tmp_path: Path) -> None:
    voice = make_voice()
    voice[5000:5100] = 1.2
    assert list_notes(write(tmp_path / "a.wav", voice, "FLOAT")) == []


# --- inverted channels --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.0005])
def test_the_voice_is_kept_where_a_channel_is_inverted(tmp_path: Path, noise: float) -> None:
    """Symptom: `silent`, or 39 of 9,830 of the voice, `ok`."""
    voice = make_voice()
    hiss = noise * np.random.default_rng(0).standard_normal(len(voice))
    path = write(tmp_path / "a.wav", np.stack([voice, hiss - voice], 1))
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.samples, soundfile.read(path, dtype="int16")[0][:, 0])
    (note,) = examine(recording, 0.1)
    level = r"over 120 dB" if noise == 0 else f"{10 * np.log10(np.mean(voice**2) / np.mean((hiss / 2) ** 2)):.0f} dB"
    assert note == f"inverted_channel: the mean of the channels is {level} below them; the first channel is used"


def test_a_segment_of_an_inverted_recording_is_a_slice_of_it(tmp_path: Path) -> None:
    voice = make_voice(6.0)
    path = write(tmp_path / "a.flac", np.stack([voice, -voice], 1))
    whole = decode_audio(path)
    np.testing.assert_array_equal(decode_audio(path, 4.25, 5.0), whole[68000:80000])


def invert_part(seconds: float, first: float, last: float) -> np.ndarray:
    """(n_samples, 2) of a voice whose second channel is inverted between two times."""
    voice = make_voice(seconds)
    time = np.arange(len(voice)) / RATE
    return np.stack([voice, np.where((first <= time) & (time < last), -voice, voice)], 1)


def test_a_segment_is_judged_by_itself(tmp_path: Path) -> None:
    """Second 3 of this recording is inverted, which is no reason to drop a channel from other segments."""
    path = write(tmp_path / "a.wav", invert_part(6.0, 3.0, 4.0))
    assert read_recording(path, 1.0, 2.0).notes == read_recording(path, 4.5, 5.5).notes == ()
    (note,) = read_recording(path, 3.2, 3.8).notes
    assert note.startswith("inverted_channel")


@pytest.mark.parametrize(("seconds", "first", "last"), [(20.0, 6.0, 12.5), (30.0, 4.0, 5.4), (4.0, 1.0, 1.5)])
def test_a_channel_inverted_for_a_part_of_a_clip_loses_nothing(
    tmp_path: Path, seconds: float, first: float, last: float
) -> None:
    """Symptom: the clip was silent there, without a word, though the segment alone had the voice."""
    path = write(tmp_path / "a.wav", invert_part(seconds, first, last))
    recording = read_recording(path)
    channel = soundfile.read(path, dtype="int16")[0][:, 0]
    np.testing.assert_array_equal(recording.samples, channel)
    inverted = read_recording(path, first, last).samples
    np.testing.assert_array_equal(inverted, channel[round(first * RATE) : round(last * RATE)])
    (note,) = recording.notes
    found = re.fullmatch(
        r"inverted_channel: the channels cancel each other for ([\d.]+) s of ([\d.]+) s of sound; the first channel is used",
        note,
    )
    assert found and float(found[1]) == pytest.approx(last - first, abs=0.3)
    assert float(found[2]) == pytest.approx(seconds, rel=0.1)


def test_channels_that_cancel_for_a_moment_or_in_silence_are_averaged(tmp_path: Path) -> None:
    samples = invert_part(10.0, 4.0, 4.15)
    samples[5 * RATE :] *= 0.01
    samples[6 * RATE :, 1] *= -1
    path = write(tmp_path / "a.wav", samples)
    assert read_recording(path).notes == ()


def test_opposite_offsets_of_two_speakers_lose_neither(tmp_path: Path) -> None:
    """Symptom: in the pauses the offsets cancelled each other, and only the speaker of the first channel was left."""
    turns = (np.arange(6 * RATE) // RATE) % 3
    voices = [make_voice(6.0) * (turns == turn) for turn in (0, 1)]
    path = write(tmp_path / "a.wav", np.stack([voices[0] + 0.004, voices[1] - 0.004], 1))
    recording = read_recording(path)
    assert recording.notes == ()
    np.testing.assert_allclose(recording.samples, (voices[0] + voices[1]) / 2 * 32768, atol=1.5)


@pytest.mark.parametrize("channels", [2, 6])
def test_independent_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, (RATE, channels)).astype(np.int16)
    path = write(tmp_path / "a.wav", samples)
    assert list_notes(path) == []
    np.testing.assert_allclose(decode_audio(path), samples.mean(axis=1), atol=0.51)


def test_one_voice_among_silent_channels_is_averaged(tmp_path: Path) -> None:
    samples = np.zeros((2 * RATE, 8))
    samples[:, 5] = make_voice()
    assert list_notes(write(tmp_path / "a.wav", samples)) == []


def test_energies_of_long_recordings_do_not_pile_up() -> None:
    log = Log()
    for second in range(3600):
        log.note_hole(second, 0.5)
        log.add_energies(second, 0.0, 1.0, 1.0)
        log.forget(second - 10.0)
    assert len(log._energies) <= 12 and len(log._holes) <= 12
    assert log.is_cancelled(3590.0, 3599.0)


# --- offset and silence -------------------------------------------------------------------------------


def test_a_constant_is_silent_whatever_its_value(tmp_path: Path) -> None:
    for value in (0, 500):
        path = write(tmp_path / "a.wav", np.full(2 * RATE, value, np.int16))
        with pytest.raises(ClipError, match=f"silent: all 32000 samples are {value}") as caught:
            examine(read_recording(path), 0.1)
        assert caught.value.status == "absent"


def test_channels_that_are_all_zero_are_silent_not_inverted(tmp_path: Path) -> None:
    assert code_of(write(tmp_path / "a.wav", np.zeros((2 * RATE, 2)))) == ("silent", "absent")


@pytest.mark.parametrize(
    ("peak", "offset", "noted"),
    [
        (0.3, 0.004, False),
        (0.3, 0.06, True),
        (0.3, -0.06, True),
        (0.01, 0.015, True),
        (0.001, 0.004, False),
        (0.3, 0.03, False),
    ],
)
def test_an_offset_that_matters_is_noted(tmp_path: Path, peak: float, offset: float, noted: bool) -> None:
    samples = make_voice(peak=peak) + offset
    notes = list_notes(write(tmp_path / "a.wav", samples))
    if noted:
        mean, deviation = 32768 * np.mean(samples), 32768 * np.std(samples)
        assert notes == [f"offset: the mean of the samples is {mean:.0f}, their standard deviation {deviation:.0f}"]
    else:
        assert notes == []


def test_notes_stand_in_the_order_of_what_changed_the_sound() -> None:
    samples = np.tile(np.array([32767, 0], np.int16), RATE)
    notes = examine(Recording(samples, 8000, ("hole_filled: 1.00 s in 1 place, the first at 2.00 s",)), 0.1)
    assert [note.split(":")[0] for note in notes] == ["hole_filled", "clipped", "offset", "narrow_band"]


def test_reading_twice_is_left_to_inverted_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", np.stack([make_voice(), make_voice()], 1))
    opened = []
    original = audio.open_container
    monkeypatch.setattr(audio, "open_container", lambda path: opened.append(path) or original(path))
    read_recording(path)
    assert len(opened) == 1


def test_inversion_is_seen_in_compressed_sound(tmp_path: Path) -> None:
    voice = make_voice(4.0).astype(np.float32)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout, stream.bit_rate = "stereo", 128_000
        for begin in range(0, len(voice), 1024):
            block = np.stack([voice[begin : begin + 1024], -voice[begin : begin + 1024]])
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    recording = read_recording(path)
    assert recording.notes[0].startswith("inverted_channel")
    assert np.abs(recording.samples).max() > 9000
    assert np.abs(np.concatenate([piece.samples for piece in iterate_audio(path)])).max() < 900

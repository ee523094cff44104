"""Decoding in worker processes and from pipes, levels and peaks."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emoadapt.inference import decoding
from emoadapt.inference.decoding import DecodedClip, decode_files
from emoadapt.inference.predict import choose_listening, look_ahead

from .conftest import write_noise

CALM = 10 ** (-50 / 20)


def decode(files: list[Path], n_workers: int = 0, **options: Any) -> list[decoding.Item]:
    given = {"window": 1.0, "hop": 1.0, "whole": False, "transcripts": None} | options
    return list(decode_files(files, choose_listening(**given), n_workers))


def describe(item: decoding.Item) -> tuple[str, Any, str]:
    """File, times or begin, and content or reason."""
    if isinstance(item, DecodedClip):
        return item.file.name, item.times, str(hash(item.samples.tobytes()))
    return item.file.name, item.start, f"{item.status} {item.reason}"


def set_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_workers_give_what_this_process_gives(tmp_path: Path) -> None:
    files = [write_noise(tmp_path / f"{seed}.wav", 0.3 + seed, seed=seed) for seed in range(4)]
    files.insert(1, tmp_path / "missing.wav")
    here = list(map(describe, decode(files)))
    assert [name for name, *_ in here] == ["0.wav", "missing.wav", "1.wav", "1.wav", *["2.wav"] * 3, *["3.wav"] * 4]
    assert list(map(describe, decode(files, n_workers=2))) == here


def test_file_that_crashes_the_decoder_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a file on which a codec crashed ended the command, with all that was still to come."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(decoding, "Decoder", importlib.import_module("fake_decoders").Fragile)
    files = [write_noise(tmp_path / name, 2.0) for name in ("a.wav", "bad.wav", "c.wav")]
    found = decode(files, n_workers=1)
    assert [item.file.name for item in found] == ["a.wav"] * 2 + ["bad.wav"] * 2 + ["c.wav"] * 2
    crash = found[3]
    assert (crash.status, crash.start) == ("failed", None)
    assert crash.reason == "crashed: the worker process ended with signal SIGSEGV, twice"
    assert all(isinstance(item, DecodedClip) for item in (*found[:3], *found[4:]))


def test_pipe_stands_among_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_noise(tmp_path / "a.wav", 2.5, rate=44_100)
    set_stdin(monkeypatch, file.read_bytes())
    found = decode([file, Path("-"), file])
    assert [item.file.name for item in found] == ["a.wav"] * 3 + ["-"] * 3 + ["a.wav"] * 3
    assert [describe(item)[1:] for item in found[3:6]] == [describe(item)[1:] for item in found[:3]]


def test_windows_of_a_pipe_that_breaks_off_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_stdin(monkeypatch, write_noise(tmp_path / "a.wav", 4.0).read_bytes()[:80_000])
    *windows, end = decode([Path("-")])
    assert [window.times for window in windows] == [(0, 1), (1, 2)]
    assert end.status == "failed" and end.reason.startswith("truncated: the standard input ended after 80,000 bytes")


def test_inverted_channel_of_a_pipe_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = soundfile.read(write_noise(tmp_path / "a.wav", 4.0))[0]
    time = np.arange(len(voice)) / 16_000
    other = np.where((time > 0.9) & (time < 2.1), -voice, 0.5 * voice)
    soundfile.write(tmp_path / "b.wav", np.stack([voice, other], 1), 16_000)
    set_stdin(monkeypatch, (tmp_path / "b.wav").read_bytes())
    file, pipe = decode([tmp_path / "b.wav"]), decode([Path("/dev/stdin")])
    assert [(item.notes or "").partition(":")[0] for item in file] == ["", "inverted_channel", "", ""]
    assert [(describe(item)[1:], item.notes) for item in pipe] == [(describe(item)[1:], item.notes) for item in file]


def test_windows_of_a_pipe_are_groups_of_their_own(tmp_path: Path) -> None:
    """A live pipe gives no more for a while: nobody waits for a batch."""
    clips = [DecodedClip(Path(name), (0.0, 1.0), np.zeros(16_000, np.int16)) for name in ("a", "b", "-", "-", "c")]
    groups = look_ahead((clip for clip in clips), batch_size=8)
    assert [[str(clip.file) for clip in group] for group in groups] == [["a", "b"], ["-"], ["-"], ["c"]]


def test_quiet_windows_are_absent(tmp_path: Path) -> None:
    """The loudest 0.1 s counts: a short word in a quiet second is speech."""
    tone = np.sqrt(2) * np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000)
    word = np.where(np.arange(16_000) // 1600 == 3, 1, 0.01)
    samples = np.concatenate([tone * CALM * 1.01, tone * CALM * 0.97, tone * CALM * 1.01 * word])
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    found = decode([tmp_path / "a.wav"], quietest=-50.0, peaks=True)
    assert [type(item) for item in found] == [DecodedClip, decoding.Prediction, DecodedClip]
    assert (found[1].status, found[1].start, found[1].end) == ("absent", 1, 2)
    assert found[1].reason == "quiet: the loudest 0.1 s is at -50.3 dB of full scale, below -50 dB"
    assert found[1].peaks.shape == (100, 2)
    assert all(isinstance(item, DecodedClip) for item in decode([tmp_path / "a.wav"]))


def test_peaks_are_the_lowest_and_highest_samples(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-3000, 3000, 1650).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    (clip,) = decode([tmp_path / "a.wav"], peaks=True)
    assert clip.peaks.tolist() == [[part.min(), part.max()] for part in np.split(samples, range(160, 1650, 160))]

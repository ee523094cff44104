"""Rows of the audio table."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest
import soundfile

from emoadapt import schema
from emoadapt.features.audio import Config as AudioConfig
from emoadapt.features.audio import load as load_audio
from emoadapt.features.audio import note_segment
from emoadapt.features.base import Context, Extractor
from emoadapt.storage.notes import split_notes


@pytest.fixture
def extractor(tmp_path: Path) -> Extractor:
    return load_audio(AudioConfig(min_seconds=0.1), Context(tmp_path))


def make_row(path: Path, start: float | None = None, end: float | None = None) -> dict[str, object]:
    return {"utterance_id": "c/x", "path": path, "start": start, "end": end}


def test_rows_keep_their_order_and_a_bad_clip_stays_one_row(extractor: load_audio, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, 16000).astype(np.int16)
    soundfile.write(tmp_path / "good.wav", samples, 16000)
    soundfile.write(tmp_path / "short.wav", samples[:1599], 16000)
    soundfile.write(tmp_path / "enough.wav", samples[:1600], 16000)
    soundfile.write(tmp_path / "silent.wav", 0 * samples, 16000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    names = ["good", "short", "enough", "silent", "broken", "missing"]
    results = extractor.extract([make_row(tmp_path / f"{name}.wav") for name in names])
    found = [(r.get("status"), (r.get("reason") or "").split(":")[0], r.get("n_samples")) for r in results]
    assert found == [
        (None, "", 16000),
        ("failed", "too_short", None),
        (None, "", 1600),
        ("absent", "silent", None),
        ("failed", "undecodable", None),
        ("failed", "file_missing", None),
    ]
    np.testing.assert_array_equal(np.frombuffer(results[0]["audio"], "<i2"), samples)


def test_segments_of_one_file(extractor: load_audio, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, 48000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    path = tmp_path / "a.wav"
    results = extractor.extract([make_row(path, 0.5, 1.0), make_row(path, 2.9, None), make_row(path, 2.95, None)])
    np.testing.assert_array_equal(np.frombuffer(results[0]["audio"], "<i2"), samples[8000:16000])
    assert results[1]["n_samples"] == 1600
    assert results[2]["reason"].startswith("too_short: 0.050 s")


def test_results_fit_the_table(extractor: load_audio, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.arange(2000, dtype=np.int16), 16000)
    result = extractor.extract([make_row(tmp_path / "a.wav")])[0]
    table = pa.Table.from_pylist(
        [{"utterance_id": "c/x", "key": "k", "status": "ok", **result}], schema=schema.feature_table("audio")
    )
    assert len(table["audio"][0].as_py()) == 2 * table["n_samples"][0].as_py()


def test_segment_that_ends_beyond_its_file_is_noted(extractor: load_audio, tmp_path: Path) -> None:
    """Symptom: an `end` beyond the file shortened the clip without a word."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * 8000), 8000)
    path = tmp_path / "a.wav"
    beyond, within, rounded = extractor.extract(
        [make_row(path, 1.0, 5.5), make_row(path, 1.0, 4.0), make_row(path, 3.0, 4.04)]
    )
    narrow, note = split_notes(beyond["reason"])
    assert narrow.startswith("narrow_band: ")
    assert note == "segment_beyond: asked for 1.00-5.50 s, the audio ends at 4.00 s"
    assert beyond["n_samples"] == 48000
    assert within["reason"] == rounded["reason"] == narrow


@pytest.mark.parametrize(
    ("start", "end", "n_samples", "noted"),
    [(None, None, 5, False), (2.0, None, 5, False), (None, 1.0, 16000, False), (None, 1.0, 15200, False),
     (None, 1.0, 15199, True), (0.5, 1.0, 8000, False), (0.5, 1.0, 7199, True)],
)  # fmt: skip
def test_segments_that_lack_more_than_a_frame_are_noted(
    start: float | None, end: float | None, n_samples: int, noted: bool
) -> None:
    position = round((start or 0.0) * schema.SAMPLE_RATE)
    assert bool(note_segment(start, end, position, n_samples)) == noted


@pytest.mark.parametrize(
    ("start", "end", "codes"),
    [
        (2.0, 6.0, ["segment_before: asked for 2.00-6.00 s, the audio begins at 4.00 s"]),
        (2.0, None, ["segment_before: asked for 2.00 s to its end, the audio begins at 4.00 s"]),
        (3.96, 6.0, []),
        (None, 6.0, []),
        (2.0, 9.0, ["segment_before: asked for 2.00-9.00 s, the audio begins at 4.00 s",
                    "segment_beyond: asked for 2.00-9.00 s, the audio ends at 7.00 s"]),
        (5.0, 9.0, ["segment_beyond: asked for 5.00-9.00 s, the audio ends at 7.00 s"]),
    ],
)  # fmt: skip
def test_segment_of_audio_that_begins_late_says_at_which_end_it_lacks(
    extractor: load_audio, tmp_path: Path, start: float | None, end: float | None, codes: list[str]
) -> None:
    """Symptom: `segment_beyond: asked for 2.00-6.00 s, the audio ends at 4.00 s`, where it begins at 4 s."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("flac", rate=16000)
        sound.layout = "mono"
        for _ in range(200):
            image = np.zeros((48, 64, 3), np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(picture.encode(None))
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 48000)).astype(np.float32)
        for begin in range(0, 48000, 4000):
            frame = av.AudioFrame.from_ndarray(noise[:, begin : begin + 4000].copy(), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, begin + 64000, Fraction(1, 16000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    (result,) = extractor.extract([make_row(path, start, end)])
    assert split_notes(result["reason"]) == codes


def test_all_that_is_odd_stands_in_the_reason(extractor: load_audio, tmp_path: Path) -> None:
    voice = 0.3 * np.sin(2 * np.pi * 220 * np.arange(16000) / 8000) + 0.1
    soundfile.write(tmp_path / "a.wav", np.stack([voice, -voice], 1), 8000)
    (result,) = extractor.extract([make_row(tmp_path / "a.wav")])
    assert result["n_samples"] == 32000
    inverted, offset, band = split_notes(result["reason"])
    assert inverted.startswith("inverted_channel: the mean of the channels is ")
    assert offset.startswith("offset: the mean of the samples is 327")
    assert band == "narrow_band: recorded at 8000 Hz, nothing above 4000 Hz"

"""Predictions of files: any format, any length, any company."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from emoadapt.errors import ClipError, ConfigError, ModelError
from emoadapt.features.audio import Config as AudioConfig
from emoadapt.features.audio import load as load_audio
from emoadapt.features.base import Context
from emoadapt.inference import decoding, judging, predict
from emoadapt.inference.predict import predict_files
from emoadapt.media import Piece, decode_audio, examine, read_recording
from emoadapt.samples import to_float
from emoadapt.storage.notes import join_notes

from .conftest import CLASSES, make_classifier, write_noise


def expect(classifier, samples: np.ndarray) -> dict[str, float]:
    """Scores of a clip on its own."""
    with torch.no_grad():
        return dict(zip(CLASSES, classifier([torch.from_numpy(to_float(samples))])[0].softmax(0).tolist(), strict=True))


def make_square(n_samples: int) -> np.ndarray:
    return np.resize(np.array([1000, -1000], np.int16), n_samples)


def test_short_files_are_judged_whole_at_any_rate(classifier, tmp_path: Path) -> None:
    files = [write_noise(tmp_path / "a.wav", 1.5), write_noise(tmp_path / "b.flac", 0.7, seed=1, rate=44_100)]
    found = list(predict_files(classifier, files))
    assert [prediction.file for prediction in found] == files
    for prediction, seconds in zip(found, (1.5, 0.7), strict=True):
        expected = expect(classifier, decode_audio(prediction.file))
        assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
        assert prediction.label == max(expected, key=expected.__getitem__)
        assert (prediction.start, prediction.status, prediction.reason) == (0.0, "ok", None)
        assert prediction.end == pytest.approx(seconds, abs=0.001)


def test_long_recordings_come_in_windows_with_times(classifier, tmp_path: Path) -> None:
    file = write_noise(tmp_path / "long.wav", 31.0)
    found = list(predict_files(classifier, [file]))
    assert [(p.start, p.end) for p in found] == [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30), (21, 31)]
    samples = decode_audio(file)
    for prediction in found:
        part = samples[round(prediction.start * 16_000) : round(prediction.end * 16_000)]
        assert prediction.probabilities == pytest.approx(expect(classifier, part), abs=1e-5)
    (whole,) = predict_files(classifier, [file], whole=True)
    assert (whole.start, whole.end) == (0, 31)
    assert whole.probabilities == pytest.approx(expect(classifier, samples), abs=1e-5)


@pytest.mark.parametrize(("norm", "head"), [("layer", "mlp"), ("group", "hf"), ("layer", "challenge")])
def test_result_does_not_depend_on_the_company_and_comes_in_order(norm: str, head: str, tmp_path: Path) -> None:
    classifier = make_classifier("hubert", norm, head)
    lengths = [0.9, 0.2, 2.0, 0.5, 1.4, 0.3, 0.8]
    files = [write_noise(tmp_path / f"{i}.wav", length, seed=i) for i, length in enumerate(lengths)]
    together = list(predict_files(classifier, files, batch_size=3))
    assert [prediction.file for prediction in together] == files
    for prediction in together:
        (alone,) = predict_files(classifier, [prediction.file], batch_size=1)
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)
    assert len({round(prediction.probabilities["calm"], 4) for prediction in together}) == len(files)


def test_broken_files_have_a_reason_and_stop_no_other_file(classifier, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio at all")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000, np.float32), 16_000)
    write_noise(tmp_path / "blip.wav", 0.05)
    data = write_noise(tmp_path / "cut.wav", 20).read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    write_noise(tmp_path / "good.wav", 1)
    names = ["missing.wav", "text.wav", "silent.wav", "blip.wav", "cut.wav", "good.wav"]
    found = list(predict_files(classifier, [tmp_path / name for name in names], window=4, hop=4))
    faults = [(p.file.name, p.status, p.reason.split(":")[0]) for p in found if p.status != "ok"]
    assert faults == [
        ("missing.wav", "failed", "file_missing"),
        ("text.wav", "failed", "undecodable"),
        ("silent.wav", "absent", "silent"),
        ("blip.wav", "failed", "too_short"),
        ("cut.wav", "failed", "truncated"),
    ]
    # The windows before the damage are told, as they were judged before it was met.
    assert [(p.file.name, p.start) for p in found if p.status == "ok"] == [
        ("cut.wav", 0), ("cut.wav", 4), ("good.wav", 0),
    ]  # fmt: skip
    assert all(p.label is None and p.probabilities is None for p in found if p.status != "ok")


def write_odd_files(folder: Path) -> dict[str, Path]:
    """A file of each oddity that is a status or a note."""
    time = np.arange(32_000) / 16_000
    voice = 0.3 * np.sin(2 * np.pi * 220 * time)
    kinds = {
        "plain": (voice, 16_000, "PCM_16"),
        "silent": (np.full(32_000, 500 / 32768), 16_000, "PCM_16"),
        "inverted_channel": (np.stack([voice, -voice], 1), 16_000, "PCM_16"),
        "offset": (voice / 30 + 0.05, 16_000, "PCM_16"),
        "clipped": (6 * voice, 16_000, "FLOAT"),
        "float_scale": (32_768 * voice, 16_000, "FLOAT"),
        "narrow_band": (voice, 8_000, "PCM_16"),
        "too_short": (voice[:800], 16_000, "PCM_16"),
    }
    for kind, (samples, rate, subtype) in kinds.items():
        soundfile.write(folder / f"{kind}.wav", samples, rate, subtype=subtype)
    return {kind: folder / f"{kind}.wav" for kind in kinds} | {"hole_filled": write_hole(folder / "hole_filled.mkv")}


def write_hole(path: Path, seconds: float = 4.0, begin: float = 0.0) -> Path:
    """Noise of which the seconds from 1 to 2.5 are missing, in a file whose pictures begin `begin` s before the sound."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=1)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("flac", rate=16_000)
        sound.layout = "mono"
        for _ in range(2):
            container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(picture.encode(None))
        random = np.random.default_rng(0)
        for at in range(0, round(seconds * 16_000), 1600):
            frame = av.AudioFrame.from_ndarray(random.integers(-9000, 9000, (1, 1600)).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, at, Fraction(1, 16_000)
            for packet in sound.encode(frame):
                write_later(container, packet, begin)
        for packet in sound.encode(None):
            write_later(container, packet, begin)
    return path


def write_later(container, packet, begin: float) -> None:
    if not 1.0 <= packet.pts * packet.time_base < 2.5:
        packet.pts += round(begin / packet.time_base)
        packet.dts = packet.pts
        container.mux(packet)


def test_notes_on_a_file_equal_those_of_extraction(classifier, tmp_path: Path) -> None:
    """Symptom: a constant was `silent` when extracted, and had a label when predicted."""
    files = write_odd_files(tmp_path)
    extractor = load_audio(AudioConfig(), Context(tmp_path))
    rows = extractor.extract([{"path": path, "start": None, "end": None} for path in files.values()])
    found = list(predict_files(classifier, files.values()))
    for kind, row, prediction in zip(files, rows, found, strict=True):
        assert (prediction.status, prediction.reason) == (row.get("status", "ok"), row["reason"])
        assert (row["reason"] or "plain").split(":")[0] == kind
        assert (prediction.label is not None) == (prediction.status == "ok")
        if prediction.status == "ok":
            samples = np.frombuffer(row["audio"], "<i2")
            assert prediction.probabilities == pytest.approx(expect(classifier, samples), abs=1e-5)


@pytest.mark.parametrize("kind", ["inverted_channel", "hole_filled"])
def test_a_window_is_the_segment_of_its_times(classifier, tmp_path: Path, kind: str) -> None:
    file = write_odd_files(tmp_path)[kind]
    found = list(predict_files(classifier, [file], window=0.8, hop=0.4))
    assert len(found) >= 4
    for window in found:
        recording = read_recording(file, window.start, window.end)
        try:
            assert window.reason == join_notes(examine(recording, 0.1))
        except ClipError as error:
            assert (window.status, window.reason) == ("absent", str(error))
        else:
            assert window.probabilities == pytest.approx(expect(classifier, recording.samples), abs=1e-5)


def test_windows_after_a_part_that_is_inverted_are_those_of_the_mean(classifier, tmp_path: Path) -> None:
    voice = write_noise(tmp_path / "a.wav", 4.0)
    samples = soundfile.read(voice)[0]
    time = np.arange(len(samples)) / 16_000
    other = np.where((time > 0.9) & (time < 2.1), -samples, 0.5 * samples)
    soundfile.write(tmp_path / "b.wav", np.stack([samples, other], 1), 16_000)
    found = list(predict_files(classifier, [tmp_path / "b.wav"], window=1.0, hop=1.0))
    assert [(window.reason or "").split(":")[0] for window in found] == ["", "inverted_channel", "", ""]
    for window in found:
        expected = expect(classifier, decode_audio(tmp_path / "b.wav", window.start, window.end))
        assert window.probabilities == pytest.approx(expected, abs=1e-5)


def test_windows_lie_on_the_clock_of_a_player(classifier, tmp_path: Path) -> None:
    """Symptom: sound that begins at 4 s was reported from 0."""
    file = write_hole(tmp_path / "a.mkv", begin=4.0)
    (whole,) = predict_files(classifier, [file])
    assert (whole.start, whole.end) == pytest.approx((4.0, 8.0), abs=0.1)
    found = list(predict_files(classifier, [file], window=0.5, hop=0.5))
    assert [window.status for window in found] == ["ok", "ok", "ok", "absent", "absent", "ok", "ok", "ok"]
    for window in found:
        if window.status == "ok":
            expected = expect(classifier, decode_audio(file, window.start, window.end))
            assert window.probabilities == pytest.approx(expected, abs=1e-5)


def test_disk_error_names_the_file(classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path, **options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(decoding, "iterate_audio", fail)
    (found,) = predict_files(classifier, [tmp_path / "a.wav"])
    assert (found.status, found.reason) == ("failed", "unreadable: Input/output error")


def test_looks_ahead_a_bounded_number_of_files(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def decode(file: Path, log):
        opened.append(file)
        log.source_rate = 16_000
        yield Piece(0, make_square(3200))

    monkeypatch.setattr(decoding, "iterate_audio", decode)
    found = predict_files(classifier, [Path(f"{i}.wav") for i in range(100)], batch_size=2)
    next(found)
    assert len(opened) == 2 * predict.BATCHES_AHEAD
    monkeypatch.setattr(predict, "SECONDS_AHEAD", 0.6)
    assert len(list(found)) == 99
    assert len(opened) == 100


def test_looks_ahead_a_bounded_number_of_seconds(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def decode(file: Path, log):
        opened.append(file)
        log.source_rate = 16_000
        yield Piece(0, make_square(3200))

    monkeypatch.setattr(decoding, "iterate_audio", decode)
    monkeypatch.setattr(predict, "SECONDS_AHEAD", 0.6)
    next(predict_files(classifier, [Path(f"{i}.wav") for i in range(100)], batch_size=50))
    assert len(opened) == 3


def test_long_recordings_come_in_smaller_batches(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(judging, "WHOLE_SECONDS", 0.5)
    monkeypatch.setattr(decoding, "iterate_audio", lambda file, log: iter([Piece(0, make_square(int(file.stem)))]))
    classifier.register_forward_pre_hook(lambda _, inputs: sizes.append([len(clip) for clip in inputs[0]]))
    list(predict_files(classifier, [Path(f"{n}.wav") for n in (4000, 16000, 4100, 32000)], whole=True, batch_size=4))
    assert sizes == [[4000, 4100], [16000], [32000]]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory."),
            ModelError,
            "out of memory with 1 clips of up to 1 s in a batch; set a",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), ModelError, "memory with 1 clips"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), RuntimeError, "illegal memory access"),
    ],
)
def test_out_of_memory_is_explained(
    error: Exception, expected: type, message: str, classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_):
        raise error

    monkeypatch.setattr(classifier, "forward", fail)
    with pytest.raises(expected, match=message):
        list(predict_files(classifier, [write_noise(tmp_path / "a.wav", 1)]))


def test_scores_that_are_no_numbers_are_no_prediction(
    classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: a model that had diverged called everything by the name of its first class."""
    monkeypatch.setattr(classifier, "forward", lambda audio: torch.full((len(audio), 3), torch.nan))
    (found,) = predict_files(classifier, [write_noise(tmp_path / "a.wav", 1)])
    assert (found.status, found.reason) == ("failed", "not_finite: the model gives no numbers for it")
    assert (found.label, found.probabilities, found.end) == (None, None, 1.0)


def test_convolutions_are_those_of_cudnn_without_tf32(classifier, tmp_path: Path) -> None:
    """Symptom: cuDNN was switched off, and a GPU fell back to slow convolutions."""
    seen = []
    classifier.register_forward_pre_hook(
        lambda *_: seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
    )
    list(predict_files(classifier, [write_noise(tmp_path / "a.wav", 1)]))
    assert seen == [(True, False)]


def test_missing_gpu_is_refused_at_once(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU was found"):
        predict_files(classifier, [], device="cuda")
